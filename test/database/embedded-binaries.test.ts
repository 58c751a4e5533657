// npm does not unpack symbolic links, and with --ignore-scripts nobody makes them; we do.
import { mkdir, mkdtemp, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { linkLibraries } from "../../lib/database/embedded/binaries.js";

let root: string;
let links: string;
beforeEach(async () => {
  const base = await mkdtemp(join(tmpdir(), "bin-"));
  root = join(base, "package");
  links = join(base, "links");
  await mkdir(join(root, "native/lib"), { recursive: true });
  await writeFile(join(root, "native/lib/liba.so.1.2"), "library");
  await describeLinks([{ source: "native/lib/liba.so.1.2", target: "native/lib/liba.so.1" }]);
});
afterEach(() => rm(join(root, ".."), { recursive: true, force: true }));

const describeLinks = (list: unknown) =>
  writeFile(join(root, "native/pg-symlinks.json"), JSON.stringify(list));

it("makes the links that are missing, and no others", async () => {
  expect(await linkLibraries(root, links)).toEqual({});
  expect(await readlink(join(root, "native/lib/liba.so.1"))).toBe("liba.so.1.2");
  expect(await linkLibraries(root, links)).toEqual({});
});

it("replaces a link that leads nowhere", async () => {
  await symlink("gone", join(root, "native/lib/liba.so.1"));
  await linkLibraries(root, links);
  expect(await readFile(join(root, "native/lib/liba.so.1"), "utf8")).toBe("library");
});

it("makes them elsewhere when the package cannot be written to", async () => {
  await describeLinks([{ source: "native/lib/liba.so.1.2", target: "native/absent/liba.so.1" }]);
  expect(await linkLibraries(root, links)).toEqual({ LD_LIBRARY_PATH: links });
  expect(await readFile(join(links, "liba.so.1"), "utf8")).toBe("library");
});

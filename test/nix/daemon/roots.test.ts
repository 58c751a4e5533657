/** Symlinks that are roots: replaced in one step, also under the longest names. */
import { mkdtemp, readdir, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { replaceSymlink } from "../../../lib/nix/daemon/roots.js";
import { parseStorePath } from "../../../lib/nix/index.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "roots-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it.each([1, 202, 207, 211])("a root of a name of %d characters is made and replaced", async (length) => {
  const name = parseStorePath(`${"0".repeat(32)}-${"n".repeat(length)}`);
  const link = join(folder, "roots", name);
  await replaceSymlink("/nix/store/first", link);
  await replaceSymlink("/nix/store/second", link);
  expect(await readlink(link)).toBe("/nix/store/second");
  expect(await readdir(join(folder, "roots"))).toEqual([name]);
});

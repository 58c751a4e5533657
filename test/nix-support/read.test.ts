import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseStoreDir, parseStorePath } from "../../lib/nix/path/store-path.js";
import { readNixSupport } from "../../lib/nix-support/index.js";
import { splitProductPath } from "../../lib/nix-support/read.js";

const storeDir = parseStoreDir("/nix/store");
const output = parseStorePath("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-out-1.0");
const other = parseStorePath("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-other");

let root: string;
let place: { storeDir: typeof storeDir; realStoreDir: string };

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "nix-support-"));
  place = { storeDir, realStoreDir: join(root, "store") };
  await mkdir(place.realStoreDir);
});

afterEach(() => rm(root, { recursive: true, force: true }));

async function put(path: string, text: string | Uint8Array): Promise<void> {
  const file = join(place.realStoreDir, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}

const read = (name = "out") => readNixSupport(place, name, output);

describe("an output", () => {
  test("without nix-support is its own product when it is a folder", async () => {
    await put(`${output}/file`, "x");
    expect(await read("doc")).toEqual({
      failed: false,
      releaseName: undefined,
      metrics: [],
      products: [
        {
          type: "nix-build",
          subtype: "doc",
          storePath: output,
          subPath: "",
          name: "out-1.0",
          defaultPath: "",
          isRegular: false,
          sha256: undefined,
          fileSize: undefined,
        },
      ],
    });
    expect((await read("out")).products[0]?.subtype).toBe("");
  });

  test("which is a file, or is not there, has no products", async () => {
    expect((await read()).products).toEqual([]);
    await put(output, "text");
    expect((await read()).products).toEqual([]);
  });

  test("is read with all four files", async () => {
    await put(`${output}/share/some text.txt`, "hello\n");
    await put(`${other}/x.iso`, "iso");
    await put(`${output}/nix-support/failed`, "");
    await put(`${output}/nix-support/hydra-release-name`, "r-1\n");
    await put(`${output}/nix-support/hydra-metrics`, "size 12 KiB\n");
    await put(
      `${output}/nix-support/hydra-build-products`,
      [
        `doc none "/nix/store/${output}/share/some text.txt"`,
        `doc manual /nix/store/${output}/share index.html`,
        `file iso /nix/store/${other}/x.iso`,
        `file iso /nix/store/${output}/missing`,
        "file iso /etc/passwd",
      ].join("\n"),
    );
    const found = await read();
    expect(found).toMatchObject({
      failed: true,
      releaseName: "r-1",
      metrics: [{ name: "size", value: 12, unit: "KiB" }],
    });
    expect(found.products).toEqual([
      {
        type: "doc",
        subtype: "none",
        storePath: output,
        subPath: "share/some text.txt",
        name: "some text.txt",
        defaultPath: "",
        isRegular: true,
        sha256: createHash("sha256").update("hello\n").digest("hex"),
        fileSize: 6,
      },
      expect.objectContaining({
        subPath: "share",
        defaultPath: "index.html",
        isRegular: false,
        fileSize: undefined,
      }),
      expect.objectContaining({ storePath: other, name: "x.iso", fileSize: 3 }),
    ]);
  });

  test("with an empty list of products has none", async () => {
    await put(`${output}/nix-support/hydra-build-products`, "");
    expect((await read()).products).toEqual([]);
  });

  test("with a list that is not UTF-8 has none", async () => {
    await put(`${output}/nix-support/hydra-build-products`, Uint8Array.of(0xff, 0xfe));
    expect((await read()).products).toEqual([]);
  });
});

describe("a hostile output", () => {
  const list = (line: string) => put(`${output}/nix-support/hydra-build-products`, line);

  test("cannot name files outside of the store with dots", async () => {
    await writeFile(join(root, "secret"), "secret");
    await list(`file x /nix/store/${output}/../../secret`);
    expect((await read()).products).toEqual([]);
  });

  test("cannot lead out of the store with a symbolic link", async () => {
    await writeFile(join(root, "secret"), "secret");
    await put(`${output}/keep`, "");
    await symlink("../../secret", join(place.realStoreDir, output, "relative"));
    await symlink(join(root, "secret"), join(place.realStoreDir, output, "absolute"));
    await list(`file x /nix/store/${output}/relative\nfile x /nix/store/${output}/absolute`);
    expect((await read()).products).toEqual([]);
  });

  test("cannot make us go round in circles", async () => {
    await put(`${output}/keep`, "");
    await symlink("loop", join(place.realStoreDir, output, "loop"));
    await list(`file x /nix/store/${output}/loop`);
    expect((await read()).products).toEqual([]);
  });

  test("may link to another store path by its logical name", async () => {
    await put(`${other}/file`, "abc");
    await put(`${output}/keep`, "");
    await symlink(`/nix/store/${other}/file`, join(place.realStoreDir, output, "link"));
    await list(`file x /nix/store/${output}/link`);
    expect((await read()).products[0]).toMatchObject({ subPath: "link", isRegular: true, fileSize: 3 });
  });
});

test("a product path is split behind the store path, and must stay there", () => {
  const split = (path: string) => splitProductPath(storeDir, path);
  expect(split(`/nix/store/${output}`)).toEqual({ storePath: output, subPath: "" });
  expect(split(`/nix/store/${output}//a/./b/../c/`)).toEqual({ storePath: output, subPath: "a/c" });
  expect(split(`/nix/store/${output}/..`)).toBeUndefined();
  expect(split(`/nix/store/${output}/a/../../x`)).toBeUndefined();
  expect(split("/nix/store/not-a-path/x")).toBeUndefined();
  expect(split(`/other/${output}/x`)).toBeUndefined();
});

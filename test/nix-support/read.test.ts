import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseStoreDir, parseStorePath } from "../../lib/nix/path/store-path.js";
import { type FileLine, fileLines } from "../../lib/nix-support/file-lines.js";
import { printDroppedLine, readNixSupport } from "../../lib/nix-support/index.js";
import { splitProductPath } from "../../lib/nix-support/read.js";
import { longestTurn } from "../support/longest-turn.js";

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
      dropped: [],
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

  test("with a list that is not UTF-8 has no product, and says so", async () => {
    await put(`${output}/nix-support/hydra-build-products`, Uint8Array.of(0xff, 0xfe));
    const found = await read();
    expect(found.products).toEqual([]);
    expect(found.dropped).toEqual([{ file: "hydra-build-products", line: 1, reason: "not UTF-8 text" }]);
  });
});

describe("outputs of odd shapes", () => {
  test("which are files or dangling links have no products", async () => {
    await put(output, "unit\n");
    expect(await read()).toMatchObject({ products: [], metrics: [], failed: false, dropped: [] });
    await rm(join(place.realStoreDir, output));
    await symlink("/no/such/place", join(place.realStoreDir, output));
    expect(await read()).toMatchObject({ products: [], metrics: [], failed: false, dropped: [] });
  });

  test("whose nix-support is a file are products themselves", async () => {
    await put(`${output}/nix-support`, "none\n");
    expect((await read()).products).toMatchObject([{ type: "nix-build", subtype: "", subPath: "" }]);
  });

  test("whose nix-support is a link are read through it", async () => {
    await put(`${output}/m.txt`, "m\n");
    await put(`${output}/real/hydra-build-products`, `file x /nix/store/${output}/m.txt\n`);
    await put(`${output}/real/hydra-release-name`, "rel-2\n");
    await put(`${output}/real/hydra-metrics`, "m 1\n");
    await symlink("real", join(place.realStoreDir, output, "nix-support"));
    expect(await read()).toMatchObject({
      releaseName: "rel-2",
      products: [{ type: "file", subtype: "x", subPath: "m.txt" }],
      metrics: [{ name: "m", value: 1 }],
      dropped: [],
    });
  });
});

test.each([
  [
    "blanks, tabs and comments",
    "file   text\t%s/f.txt   \n\n# no product\nfile text %s/f.txt\t\n",
    ["f.txt", "f.txt"],
  ],
  [
    "carriage returns",
    "file text %s/f.txt\r\ndoc manual %s/doc/html index.html\r\n",
    ["f.txt", "doc/html index.html"],
  ],
  ["a missing last newline", "file text %s/f.txt", ["f.txt"]],
  ["dots and links", "report coverage %s//doc/./html/\nfile linked %s/link\n", ["doc/html", "link"]],
  [
    "paths that are elsewhere or not there",
    "file a %s/missing\nfile b %s/f.txt\nfile c /etc/passwd\nfile d %s/outside\nfile e %s/../../../etc/passwd\nfile f relative/f.txt\n",
    ["f.txt"],
  ],
])("product lines with %s", async (_, format, expected) => {
  await put(`${output}/f.txt`, "y\n");
  await put(`${output}/doc/html/index.html`, "i\n");
  await symlink("f.txt", join(place.realStoreDir, output, "link"));
  await symlink("/etc/passwd", join(place.realStoreDir, output, "outside"));
  await put(`${output}/nix-support/hydra-build-products`, format.replaceAll("%s", `/nix/store/${output}`));
  const { products } = await read();
  expect(products.map(({ subPath, defaultPath }) => `${subPath} ${defaultPath}`.trim())).toEqual(expected);
});

describe("what does not count is named, and costs nothing else:", () => {
  const line = (text: string): Buffer => Buffer.from(`${text}\n`, "latin1");

  test("a byte that is not UTF-8 loses its own line only", async () => {
    await put(`${output}/a.txt`, "a\n");
    await put(`${output}/b.txt`, "b\n");
    await put(
      `${output}/nix-support/hydra-build-products`,
      Buffer.concat(
        ["a", "caf\u00e9", "b"].map((name) => line(`file text /nix/store/${output}/${name}.txt`)),
      ),
    );
    await put(
      `${output}/nix-support/hydra-metrics`,
      Buffer.concat([line("before 1 KiB"), line("caf\u00e9 2"), line("nul\0 2"), line("after 3")]),
    );
    const found = await read();
    expect(found.products.map((product) => product.name)).toEqual(["a.txt", "b.txt"]);
    expect(found.metrics).toEqual([
      { name: "before", value: 1, unit: "KiB" },
      { name: "after", value: 3, unit: undefined },
    ]);
    expect(found.dropped.map(printDroppedLine)).toEqual([
      "nix-support/hydra-metrics, line 2: not UTF-8 text",
      "nix-support/hydra-metrics, line 3: not UTF-8 text",
      "nix-support/hydra-build-products, line 2: not UTF-8 text",
    ]);
  });

  test("relative paths, paths elsewhere, and lines that are no products", async () => {
    await put(`${output}/f`, "f");
    await put(
      `${output}/nix-support/hydra-build-products`,
      [
        "# a comment",
        "",
        "file f relative/f.txt",
        "file c /etc/passwd",
        `file a /nix/store/${output}/missing`,
        "doc none",
        `file b /nix/store/${output}/f`,
      ].join("\n"),
    );
    const found = await read();
    expect(found.products.map((product) => product.subtype)).toEqual(["b"]);
    expect(found.dropped.map(({ line: number, reason }) => `${number} ${reason}`)).toEqual([
      "3 the path is relative",
      "4 the path is not in the store",
      "5 nothing in the store has this path",
      "6 a product is 'type subtype path [entry]'",
    ]);
  });

  test("files that are too large, or no files", async () => {
    await put(`${output}/nix-support/hydra-release-name`, "x".repeat(2000));
    await put(`${output}/nix-support/hydra-metrics/folder`, "");
    await put(`${output}/nix-support/hydra-build-products`, Buffer.alloc((4 << 20) + 1));
    const found = await read();
    expect(found).toMatchObject({ releaseName: undefined, metrics: [], products: [] });
    expect(found.dropped.map(({ file }) => file)).toEqual([
      "hydra-release-name",
      "hydra-metrics",
      "hydra-build-products",
    ]);
  });

  test("more than 10,000 rows, of which only the first are named", async () => {
    const metrics = Array.from({ length: 10_200 }, (_, index) => `m${index} 1`);
    await put(`${output}/nix-support/hydra-metrics`, [...metrics, "m3 7"].join("\n"));
    const found = await read();
    expect(found.metrics).toHaveLength(10_000);
    expect(found.metrics[3]?.value).toBe(7);
    expect(found.dropped[0]).toMatchObject({ line: 10_001, reason: "more than 10000 metrics" });
    expect(found.dropped.at(-1)).toMatchObject({ line: undefined, reason: "150 more lines were left out" });
    expect(found.dropped).toHaveLength(51);
  });
});

test("lines are those of the text, whatever the blocks they are read in", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.stringMatching(/^[a-z]{0,9}$/), fc.nat(3000)), { maxLength: 40 }),
      fc.boolean(),
      async (parts, bad) => {
        const texts = parts.map(([text, times]) => text.repeat(times)).concat(bad ? ["\u00ff"] : []);
        const file = Buffer.from(texts.join("\n"), "latin1");
        const read: FileLine[] = [];
        for await (const lines of fileLines(file)) read.push(...lines);
        const expected = file.length === 0 ? [] : texts.map((text) => (text === "\u00ff" ? undefined : text));
        if (expected.at(-1) === "") expected.pop();
        expect(read.map(({ text }) => text)).toEqual(expected);
        expect(read.map(({ number }) => number)).toEqual(read.map((_, index) => index + 1));
      },
    ),
    { numRuns: 50 },
  );
});

describe("a hostile output", () => {
  test("cannot keep the event loop from others with a file of 4 MiB", async () => {
    await put(`${output}/nix-support/hydra-metrics`, `m ${"1".repeat((4 << 20) - 8)}\n`);
    await put(`${output}/nix-support/hydra-build-products`, "\n".repeat(4 << 20));
    expect(await longestTurn(read)).toBeLessThan(250);
  });

  test("has a file hashed once, however many lines name it", async () => {
    // Hashed for each line this would take minutes.
    await put(`${output}/big`, Buffer.alloc(32 << 20));
    await put(`${output}/keep`, "");
    await symlink("big", join(place.realStoreDir, output, "link"));
    const names = (index: number): string => (index % 2 === 0 ? "big" : `./${index}/../link`);
    const lines = Array.from({ length: 10_000 }, (_, index) => `file x /nix/store/${output}/${names(index)}`);
    await put(`${output}/nix-support/hydra-build-products`, lines.join("\n"));
    const found = await read();
    expect(found.products).toHaveLength(10_000);
    expect(new Set(found.products.map((product) => product.fileSize))).toEqual(new Set([32 << 20]));
  });

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

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type DerivationModulo,
  hashDerivationModulo,
  makeOutputPath,
} from "../../lib/nix/derivation/paths.js";
import {
  computeDerivationPath,
  type Derivation,
  decodeNix32,
  defaultStoreDir,
  derivationOutputPath,
  dumpPath,
  dumpTree,
  encodeNix32,
  makeFixedOutputPath,
  type NarEvent,
  type NarTree,
  NixFormatError,
  PublicKey,
  parseDerivation,
  parseFullStorePath,
  parseHash,
  parseNar,
  parseNarInfo,
  parseStorePath,
  pathFingerprint,
  printDerivation,
  printHash,
  printListing,
  printNarInfo,
  Signer,
  type StorePath,
  verifySignature,
} from "../../lib/nix/index.js";
import { ListingBuilder } from "../../lib/nix/nar/listing.js";
import { type ByteString, byteStringFromText } from "../../lib/nix/path/byte-string.js";

const dir = defaultStoreDir;
const secret =
  "test.example.org-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA==";
const publicKey = "test.example.org-1:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";

const narInfoText = `StorePath: /nix/store/g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-tree-1.0
URL: nar/1vv1jivvb46l47q5xkbjv7imznqj3dl9c1m740863jjlpxb05l9r.nar
Compression: none
FileHash: sha256:1vv1jivvb46l47q5xkbjv7imznqj3dl9c1m740863jjlpxb05l9r
FileSize: 2384
NarHash: sha256:1vv1jivvb46l47q5xkbjv7imznqj3dl9c1m740863jjlpxb05l9r
NarSize: 2384
References: g1w7hy3qg1w7hy3qg1w7hy3qg1w7hy3q-tree-1.0 h5yj9nwhrzgw40zh0mkpfr339m7qq7ih-greeting
Deriver: 0c0xk2rpdj6xrb9xsd0rlvf1v7mkbbq6-tree-1.0.drv
Sig: test.example.org-1:DxW+ykYS70nhaslztWvr9LhMrQ3LP24TYLhBNJ528Kv4ByfQOnltoqHIRGKNXnpiSchGuRx/1E5Vb3DuOVitDQ==
`;

async function collect(stream: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(Uint8Array.from(part));
  return Buffer.concat(parts);
}

/** Cuts bytes into pieces of the given sizes, so that parsers meet every boundary. */
async function* cut(bytes: Uint8Array, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let offset = 0;
  for (let index = 0; offset < bytes.length; index++) {
    const size = sizes[index % sizes.length] ?? 1;
    yield bytes.subarray(offset, offset + size);
    offset += size;
  }
}

async function events(stream: AsyncIterable<Uint8Array>): Promise<NarEvent[]> {
  const all: NarEvent[] = [];
  for await (const event of parseNar(stream)) {
    all.push(event.kind === "contents" ? { ...event, bytes: Uint8Array.from(event.bytes) } : event);
  }
  return all;
}

async function treeOf(stream: AsyncIterable<Uint8Array>): Promise<NarTree> {
  type Directory = { kind: "directory"; entries: Map<string, NarTree> };
  let root: NarTree | undefined;
  const open: Directory[] = [];
  let file: { chunks: Uint8Array[]; place: (contents: Uint8Array) => void } | undefined;
  const place = (path: string, tree: NarTree): void => {
    const parent = open.at(-1);
    const name = Buffer.from(path.slice(path.lastIndexOf("/") + 1), "latin1").toString("utf8");
    if (parent === undefined) root = tree;
    else parent.entries.set(name, tree);
  };
  const finishFile = (): void => {
    file?.place(Buffer.concat(file.chunks));
    file = undefined;
  };
  for await (const event of parseNar(stream)) {
    if (event.kind !== "contents") finishFile();
    switch (event.kind) {
      case "directory": {
        const directory: Directory = { kind: "directory", entries: new Map() };
        place(event.path, directory);
        open.push(directory);
        break;
      }
      case "endDirectory":
        open.pop();
        break;
      case "symlink":
        place(event.path, { kind: "symlink", target: Buffer.from(event.target, "latin1").toString("utf8") });
        break;
      case "regular": {
        const { path, executable } = event;
        file = {
          chunks: [],
          place: (contents) =>
            place(path, { kind: "regular", contents: new Uint8Array(contents), executable }),
        };
        break;
      }
      case "contents":
        file?.chunks.push(Uint8Array.from(event.bytes));
        break;
    }
  }
  finishFile();
  if (root === undefined) throw new Error("no root");
  return root;
}

const fileName = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 12 })
  .filter((name) => !/[/\0]/.test(name) && name !== "." && name !== "..");
const { tree: anyTree } = fc.letrec<{ tree: NarTree; directory: NarTree; leaf: NarTree }>((tie) => ({
  leaf: fc.oneof(
    fc.record({
      kind: fc.constant("regular" as const),
      contents: fc.uint8Array({ maxLength: 70 }),
      executable: fc.boolean(),
    }),
    fc.record({ kind: fc.constant("symlink" as const), target: fileName }),
  ),
  directory: fc
    .dictionary(fileName, tie("tree"), { maxKeys: 4, noNullPrototype: true })
    .map((entries) => ({ kind: "directory" as const, entries: new Map(Object.entries(entries)) })),
  tree: fc.oneof({ maxDepth: 4 }, tie("leaf"), tie("directory")),
}));

describe("hashes", () => {
  it("prints the published texts of the empty SHA-256", () => {
    const empty = parseHash("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(printHash(empty, "nix32")).toBe("sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73");
    expect(printHash(empty, "sri")).toBe("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    expect(printHash(parseHash("143xibwh31h9bvxzalr0sjvbbvpa6ffs", "sha1"), "base16", false)).toBe(
      "da39a3ee5e6b4b0d3255bfef95601890afd80709",
    );
  });

  it("reads back every encoding of every digest", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.constantFrom("nix32" as const, "base16" as const, "base64" as const, "sri" as const),
        (digest, encoding) => {
          const text = printHash({ algorithm: "sha256", digest }, encoding);
          expect(Buffer.from(parseHash(text).digest)).toEqual(Buffer.from(digest));
        },
      ),
    );
  });

  it("round-trips base 32 of any length and refuses surplus bits", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(Buffer.from(decodeNix32(encodeNix32(bytes)))).toEqual(Buffer.from(bytes));
      }),
    );
    expect(() => decodeNix32("zz")).toThrow(NixFormatError);
    expect(() => decodeNix32("e0")).toThrow(/not a base-32 digit/);
  });
});

describe("store paths", () => {
  it.each(["", "x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "eaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-x"])(
    "refuses %j",
    (text) => expect(() => parseStorePath(text)).toThrow(NixFormatError),
  );
  it.each(["-", "-a/b", "-.", "-..", "-.-x", "- x", `-${"x".repeat(212)}`])(
    "refuses the name in %j",
    (rest) => expect(() => parseStorePath("a".repeat(32) + rest)).toThrow(NixFormatError),
  );
  it("computes the path of contents with a known address", () => {
    const hash = parseHash("sha256:00zns3gj9hwz2a4b0i07y7nmxybq59lh24bl3xsxblcl6333mjil");
    expect(makeFixedOutputPath(dir, "greeting", { method: "nixArchive", hash })).toBe(
      "h5yj9nwhrzgw40zh0mkpfr339m7qq7ih-greeting",
    );
  });
});

describe("derivations of the recordings", () => {
  const cases = JSON.parse(readFileSync("test/fixtures/observed/cases.json", "utf8")) as {
    readonly derivations?: Record<string, string>;
  }[];
  const texts = new Map(
    cases.flatMap((entry) =>
      Object.entries(entry.derivations ?? {}).map(
        ([path, text]) => [parseFullStorePath(dir, path), text] as const,
      ),
    ),
  );
  const parsed = new Map(
    [...texts].map(([path, text]) => [
      path,
      parseDerivation(dir, path.slice(33, -".drv".length), byteStringFromText(text)),
    ]),
  );

  it("are written back byte for byte, and their own path follows from the text", () => {
    expect(parsed.size).toBeGreaterThan(15);
    for (const [path, derivation] of parsed) {
      expect(printDerivation(dir, derivation)).toBe(byteStringFromText(texts.get(path) ?? ""));
      expect(computeDerivationPath(dir, derivation)).toBe(path);
    }
  });

  it("have the output paths that follow from their inputs", () => {
    const complete = (drv: Derivation): boolean =>
      [...drv.inputDerivations.keys()].every((input) => {
        const found = parsed.get(input);
        return found !== undefined && complete(found);
      });
    const modulo = (path: StorePath): DerivationModulo => {
      const found = parsed.get(path);
      if (found === undefined) throw new Error(`no ${path}`);
      return hashDerivationModulo(dir, found, modulo, false);
    };
    let checked = 0;
    for (const derivation of parsed.values()) {
      if (!complete(derivation)) continue;
      const hash = hashDerivationModulo(dir, derivation, modulo, true);
      for (const [name, output] of derivation.outputs) {
        if (output.kind !== "inputAddressed" || hash.kind !== "regular") continue;
        expect(makeOutputPath(dir, hash.hash, derivation.name, name)).toBe(output.path);
        expect(derivationOutputPath(dir, derivation, name)).toBe(output.path);
        checked++;
      }
    }
    expect(checked).toBeGreaterThan(10);
  });

  it("survive no mutation unnoticed: a parser error, or a text that is written back as it is", () => {
    const sample = byteStringFromText([...texts.values()].at(0) ?? "");
    fc.assert(
      fc.property(fc.nat(sample.length - 1), fc.nat(255), (position, byte) => {
        const mutated = (sample.slice(0, position) +
          String.fromCharCode(byte) +
          sample.slice(position + 1)) as ByteString;
        let derivation: Derivation;
        try {
          derivation = parseDerivation(dir, "hello", mutated);
        } catch (error) {
          expect(error).toBeInstanceOf(NixFormatError);
          return;
        }
        const sorted = parseDerivation(dir, "hello", printDerivation(dir, derivation));
        expect(sorted).toEqual(derivation);
      }),
      { numRuns: 500 },
    );
    for (let length = 0; length < sample.length; length++) {
      expect(() => parseDerivation(dir, "hello", sample.slice(0, length) as ByteString)).toThrow(
        NixFormatError,
      );
    }
  });
});

describe("NARs", () => {
  const tree = async (): Promise<string> => {
    const root = await mkdtemp(join(tmpdir(), "nar-"));
    await mkdir(join(root, "t/bin"), { recursive: true });
    await mkdir(join(root, "t/empty"));
    await mkdir(join(root, "t/lib/debug/.build-id/ab"), { recursive: true });
    await mkdir(join(root, "t/nix-support"));
    await writeFile(join(root, "t/bin/hi"), "#!/bin/sh\necho hi\n");
    await chmod(join(root, "t/bin/hi"), 0o755);
    await writeFile(
      join(root, "t/lib/debug/.build-id/ab/cdef0123456789abcdef0123456789abcdef01.debug"),
      "ELF!",
    );
    await symlink("bin/hi", join(root, "t/link"));
    await writeFile(
      join(root, "t/nix-support/propagated"),
      "/nix/store/h5yj9nwhrzgw40zh0mkpfr339m7qq7ih-greeting\n",
    );
    await writeFile(join(root, "t/zero"), "");
    return root;
  };

  it("of a file has the published bytes", async () => {
    const nar = await collect(dumpTree({ kind: "regular", contents: Buffer.from("hello world\n") }));
    expect(nar.toString("base64")).toBe(
      "DQAAAAAAAABuaXgtYXJjaGl2ZS0xAAAAAQAAAAAAAAAoAAAAAAAAAAQAAAAAAAAAdHlwZQAAAAAHAAAAAAAAAHJlZ3VsYXIACAAAAAAAAABjb250ZW50cwwAAAAAAAAAaGVsbG8gd29ybGQKAAAAAAEAAAAAAAAAKQAAAAAAAAA=",
    );
  });

  it("of a tree on disk has the published hash, and its listing the published offsets", async () => {
    const root = await tree();
    try {
      const nar = await collect(dumpPath(join(root, "t")));
      expect(nar.length).toBe(2384);
      expect(createHash("sha256").update(nar).digest("hex")).toBe(
        "39d10256bf54ca611020a70696681b12db5fe3d972cd5ef021d490b5779461ef",
      );
      const listing = new ListingBuilder();
      for await (const event of parseNar(cut(nar, [7, 1, 64]))) listing.add(event);
      const published: unknown = JSON.parse(
        '{"version":1,"root":{"type":"directory","entries":{"bin":{"type":"directory","entries":{"hi":{"type":"regular","size":18,"executable":true,"narOffset":400}}},"empty":{"type":"directory","entries":{}},"lib":{"type":"directory","entries":{"debug":{"type":"directory","entries":{".build-id":{"type":"directory","entries":{"ab":{"type":"directory","entries":{"cdef0123456789abcdef0123456789abcdef01.debug":{"type":"regular","size":4,"executable":false,"narOffset":1400}}}}}}}}},"link":{"type":"symlink","target":"bin/hi"},"nix-support":{"type":"directory","entries":{"propagated":{"type":"regular","size":53,"executable":false,"narOffset":2064}}},"zero":{"type":"regular","size":0,"executable":false,"narOffset":2336}}}}',
      );
      expect(JSON.parse(printListing(listing.finish()))).toEqual(published);
    } finally {
      await rm(root, { recursive: true });
    }
  });

  it("round-trip through any cut of the stream", async () => {
    await fc.assert(
      fc.asyncProperty(
        anyTree,
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
        async (any, sizes) => {
          const nar = await collect(dumpTree(any));
          const read = await treeOf(cut(nar, sizes));
          expect(await collect(dumpTree(read))).toEqual(nar);
        },
      ),
      { numRuns: 100 },
    );
  });

  it("that are cut short, padded wrongly or continued are refused with a position", async () => {
    const nar = await collect(
      dumpTree({
        kind: "directory",
        entries: new Map([["a", { kind: "regular", contents: Buffer.from("abc") }]]),
      }),
    );
    for (let length = 0; length < nar.length; length++) {
      await expect(events(cut(nar.subarray(0, length), [13]))).rejects.toThrow(NixFormatError);
    }
    await expect(events(cut(Buffer.concat([nar, Buffer.from("x")]), [50]))).rejects.toThrow(/after the end/);
    for (let position = 0; position < nar.length; position++) {
      const broken = Buffer.from(nar);
      broken[position] = (broken[position] ?? 0) ^ 0xff;
      await events(cut(broken, [29])).catch((error: unknown) => expect(error).toBeInstanceOf(NixFormatError));
    }
  });
});

describe("narinfos and signatures", () => {
  it("are read and written back as published", () => {
    expect(printNarInfo(dir, parseNarInfo(dir, narInfoText))).toBe(narInfoText);
  });

  it("carry the signature that the published key makes", () => {
    const info = parseNarInfo(dir, narInfoText);
    const signer = Signer.parse(`${secret}\n`);
    expect(signer.publicKey).toBe(publicKey);
    expect(signer.sign(pathFingerprint(dir, info))).toBe(info.signatures[0]);
    expect(verifySignature(dir, info, [PublicKey.parse(publicKey)])).toBe(true);
    expect(verifySignature(dir, { ...info, narSize: 1 }, [PublicKey.parse(publicKey)])).toBe(false);
  });

  it.each([
    ["nothing", ""],
    ["no name", ":AAAA"],
    ["a short key", "k:AAAA"],
    ["halves of different keys", secret.replace(/.{4}uA==$/, "AAAAuA==")],
  ])("refuse a secret key with %s and never print it", (_, text) => {
    expect(() => Signer.parse(text)).toThrow(NixFormatError);
    try {
      Signer.parse(text);
    } catch (error) {
      expect(String(error)).not.toContain("AAEC");
    }
  });

  it.each(["StorePath", "URL", "NarHash", "NarSize"])("refuse a narinfo without %s", (key) => {
    const text = narInfoText.replace(new RegExp(`^${key}: .*\n`, "m"), "");
    expect(() => parseNarInfo(dir, text)).toThrow(new RegExp(`${key} is missing`));
  });
});

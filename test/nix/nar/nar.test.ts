/** NARs: published bytes, round trips, what is refused, and hostile archives. */
import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dumpPath, dumpTree, NixFormatError, parseNar, printListing } from "../../../lib/nix/index.js";
import { ListingBuilder } from "../../../lib/nix/nar/listing.js";
import { narStrings } from "../../../lib/nix/nar/writer.js";
import { anyTree, collect, cut, drain, events, stream, treeOf } from "./trees.js";

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

describe("NARs that mean harm", () => {
  const nested = (depth: number): Uint8Array => {
    const open = narStrings("(", "type", "directory", "entry", "(", "name", "a", "node");
    return Buffer.concat([narStrings("nix-archive-1"), ...Array.from({ length: depth }, () => open)]);
  };

  it("are refused when directories are nested too deep, with a position", async () => {
    await expect(drain(parseNar(stream(nested(50_000))))).rejects.toMatchObject({
      code: "nar",
      message: expect.stringContaining("nested too deep"),
    });
  });

  it("cannot make us allocate what they only announce", async () => {
    const huge = Buffer.alloc(8);
    huge.writeBigUInt64LE(2n ** 50n);
    const header = narStrings("nix-archive-1", "(", "type", "regular", "contents");
    await expect(drain(parseNar(stream(header, huge, Buffer.alloc(100))))).rejects.toThrow("unexpected end");
    await expect(drain(parseNar(stream(huge)))).rejects.toThrow("a text of");
  });
});

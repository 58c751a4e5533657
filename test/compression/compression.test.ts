// The codecs against the real programs, and what they do when something goes wrong.
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  CompressionError,
  type CompressionMethod,
  compress,
  compressionMethods,
  decodeZstdFrame,
  decompress,
  methodExtension,
  parseCompressionMethod,
  unlimitedOutput,
  zstdFrame,
} from "../../lib/compression/index.js";
import { storedFrame } from "../../lib/compression/zstd/in-process.js";

const maxOutput = unlimitedOutput;

async function* pieces(data: Uint8Array, size = 50_000): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < data.length; offset += size) yield data.subarray(offset, offset + size);
}

/** Each piece is overwritten when the next one is asked for. */
async function* lent(data: Uint8Array, size = 50_000): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.alloc(size);
  for (let offset = 0; offset < data.length; offset += size) {
    const piece = data.subarray(offset, offset + size);
    buffer.set(piece);
    yield buffer.subarray(0, piece.length);
    buffer.fill(0xff);
  }
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}

/** Half text, half noise, a little over a megabyte. */
const sample = Buffer.concat([
  Buffer.from(Array.from({ length: 20_000 }, (_, i) => `line ${i * 7919} of the log\n`).join("")),
  randomBytes(600_000),
]);

const programs: Partial<Record<CompressionMethod, string>> = {
  xz: "xz",
  zstd: "zstd",
  bzip2: "bzip2",
  gzip: "gzip",
};

function childrenOf(pid: number): string {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
}

it("zstd: a size that is small by its hint is compressed without a program", async () => {
  const large = Buffer.concat(Array.from({ length: Math.ceil((3 << 20) / sample.length) }, () => sample));
  const children = async (sizeHint: number | undefined): Promise<ReadonlySet<string>> => {
    const seen = new Set<string>();
    async function* watched() {
      for await (const piece of lent(large)) {
        yield piece;
        seen.add(childrenOf(process.pid));
      }
    }
    const packed = await collect(compress(watched(), { method: "zstd", sizeHint }));
    const back = execFileSync("zstd", ["-dc"], { input: packed, maxBuffer: 1 << 26 });
    expect(back.equals(large)).toBe(true);
    return seen;
  };
  const before = childrenOf(process.pid);
  expect(await children(large.length)).toEqual(new Set([before]));
  expect(await children(undefined)).not.toEqual(new Set([before]));
});

it("zstd: up to 1 KiB is stored as it is, however it comes; more is compressed", async () => {
  const small = Buffer.alloc(1024, "a");
  const large = Buffer.alloc(1025, "a");
  const ways = {
    unknown: (data: Buffer) => compress(pieces(data, 100), { method: "zstd" }),
    hinted: (data: Buffer) => compress(lent(data, 100), { method: "zstd", sizeHint: data.length }),
    frame: (data: Buffer) => zstdFrame(lent(data, 100)),
  };
  for (const way of Object.values(ways)) {
    const stored = await collect(way(small));
    expect(stored.length).toBeGreaterThan(small.length);
    expect(execFileSync("zstd", ["-dcq"], { input: stored }).equals(small)).toBe(true);
    const packed = await collect(way(large));
    expect(packed.length).toBeLessThan(100);
    expect(execFileSync("zstd", ["-dcq"], { input: packed }).equals(large)).toBe(true);
  }
});

describe("compress and decompress", () => {
  for (const method of compressionMethods) {
    it(`${method}: round trip, and empty data`, async () => {
      const packed = await collect(compress(pieces(sample), { method, level: 1 }));
      expect((await collect(decompress(pieces(packed, 777), { method, maxOutput }))).equals(sample)).toBe(
        true,
      );
      const empty = await collect(compress(pieces(Buffer.alloc(0)), { method }));
      expect(await collect(decompress(pieces(empty), { method, maxOutput }))).toHaveLength(0);
    });
    if (method !== "none") {
      it(`${method}: uses no piece of its source once the next one is asked for`, async () => {
        const packed = await collect(compress(lent(sample), { method, level: 1 }));
        const read = await collect(decompress(pieces(packed), { method, maxOutput }));
        expect(read.equals(sample)).toBe(true);
      });
    }
    const program = programs[method];
    if (program !== undefined) {
      it(`${method}: understood by, and understanding, the program`, async () => {
        const ours = await collect(compress(pieces(sample), { method, parallel: true }));
        const back = execFileSync(program, ["-dc"], { input: ours, maxBuffer: 1 << 26 });
        expect(back.equals(sample)).toBe(true);
        const theirs = execFileSync(program, ["-c"], { input: sample, maxBuffer: 1 << 26 });
        const twice = Buffer.concat([theirs, theirs]);
        expect(
          (await collect(decompress(pieces(twice), { method, maxOutput }))).equals(
            Buffer.concat([sample, sample]),
          ),
        ).toBe(true);
      });
    }
    if (method !== "none") {
      it(`${method}: cut off and damaged data are errors`, async () => {
        const packed = await collect(compress(pieces(sample), { method }));
        for (const cut of [0, 3, 1000, packed.length - 1]) {
          const error = await collect(
            decompress(pieces(packed.subarray(0, cut)), { method, maxOutput }),
          ).catch((thrown: unknown) => thrown);
          expect(error).toBeInstanceOf(CompressionError);
          // A program may not know a head of three bytes for one of its own files.
          if (cut !== 3) expect((error as CompressionError).code).toBe("truncated");
        }
        await expect(collect(decompress(pieces(sample), { method, maxOutput }))).rejects.toBeInstanceOf(
          CompressionError,
        );
      });
    }
    it(`${method}: an error of the source comes through, and nothing stays behind`, async () => {
      const before = childrenOf(process.pid);
      async function* failing(): AsyncGenerator<Uint8Array> {
        yield sample;
        throw new Error("the disk is gone");
      }
      await expect(collect(compress(failing(), { method }))).rejects.toThrow("the disk is gone");
      expect(childrenOf(process.pid)).toBe(before);
    });
    it(`${method}: early return and abort end everything`, async () => {
      const before = childrenOf(process.pid);
      let ended = 0;
      async function* endless(): AsyncGenerator<Uint8Array> {
        try {
          for (;;) yield randomBytes(65_536);
        } finally {
          ended += 1;
        }
      }
      for await (const chunk of compress(endless(), { method, level: 1 })) {
        expect(chunk.length).toBeGreaterThan(0);
        break;
      }
      const controller = new AbortController();
      const aborted = (async () => {
        for await (const _ of compress(endless(), { method, level: 1, signal: controller.signal })) {
          controller.abort(new Error("enough"));
        }
      })();
      await expect(aborted).rejects.toThrow("enough");
      await expect.poll(() => ended).toBe(2);
      expect(childrenOf(process.pid)).toBe(before);
    });
    it(`${method}: reads no further than the consumer does`, async () => {
      let read = 0;
      async function* counted(): AsyncGenerator<Uint8Array> {
        for (let i = 0; i < 400; i++) {
          read += 65_536;
          yield randomBytes(65_536);
        }
      }
      const packed = compress(counted(), { method, level: 1 });
      await packed.next();
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(read).toBeLessThan(400 * 65_536);
      await packed.return(undefined);
    });
  }

  it("knows names and file name endings", () => {
    expect(parseCompressionMethod(" ZST ")).toBe("zstd");
    expect(parseCompressionMethod("lzip")).toBeUndefined();
    expect(compressionMethods.map(methodExtension)).toEqual(["", ".xz", ".zst", ".br", ".bz2", ".gz"]);
  });

  it("says which program is missing", async () => {
    const path = process.env.PATH;
    process.env.PATH = "/nowhere";
    try {
      const error = await collect(compress(pieces(sample), { method: "xz" })).catch(
        (thrown: unknown) => thrown,
      );
      expect(error).toMatchObject({ code: "missing-program", message: expect.stringContaining("'xz'") });
      // The optional package is the last resort.
      const packed = await collect(compress(lent(sample), { method: "zstd" }));
      expect((await collect(decompress(pieces(packed), { method: "zstd", maxOutput }))).equals(sample)).toBe(
        true,
      );
    } finally {
      process.env.PATH = path;
    }
  });
});

describe("zstd frames", () => {
  const frames = {
    zstdFrame,
    flushed: (source: AsyncIterable<Uint8Array>) => zstdFrame(source, { flushEachChunk: true }),
    storedFrame,
  };
  for (const [name, make] of Object.entries(frames)) {
    it(`${name}: one frame that the program reads`, async () => {
      for (const data of [Buffer.alloc(0), Buffer.from("x"), sample]) {
        const packed = await collect(make(pieces(data, 200_000)));
        expect(execFileSync("zstd", ["-dcq"], { input: packed, maxBuffer: 1 << 26 }).equals(data)).toBe(true);
        expect(packed.indexOf(Buffer.from("28b52ffd", "hex"), 4)).toBe(-1);
        expect((await collect(decodeZstdFrame(pieces(packed, 100), { maxOutput }))).equals(data)).toBe(true);
      }
    });
  }

  it("reads what the program writes: large windows, checksums, unknown sizes, several frames", async () => {
    const large = Buffer.concat(Array.from({ length: 10 }, () => sample));
    for (const args of [["-1"], ["-3", "--check"], ["-3", "--no-check"], ["--long=24"], ["--zstd=wlog=23"]]) {
      const packed = execFileSync("zstd", ["-cq", ...args], { input: large, maxBuffer: 1 << 27 });
      for (const live of [true, false]) {
        expect((await collect(decodeZstdFrame(pieces(packed), { live, maxOutput }))).equals(large)).toBe(
          true,
        );
      }
      const two = Buffer.concat([packed, packed]);
      const skipped = Buffer.concat([two, Buffer.from("502a4d1803000000616263", "hex")]);
      const back = await collect(decodeZstdFrame(pieces(skipped, 1_000_000), { maxOutput }));
      expect(back.equals(Buffer.concat([large, large]))).toBe(true);
    }
    // Machine code, eight times as long as the window of this level, in a frame that says its size.
    const code = readFileSync(process.execPath).subarray(0, 16 << 20);
    const known = execFileSync("zstd", ["-cq", "-3", `--stream-size=${code.length}`], {
      input: code,
      maxBuffer: 1 << 28,
    });
    expect(known.readUInt32LE(6)).toBe(code.length);
    expect((await collect(decodeZstdFrame(pieces(known), { maxOutput }))).equals(code)).toBe(true);
  });

  it("yields a block before the next one has come", async () => {
    const lines: string[] = [];
    let written = 0;
    async function* log(): AsyncGenerator<Uint8Array> {
      for (; written < 5; written++) yield Buffer.from(`line ${written} of a slow build\n`);
    }
    for await (const chunk of decodeZstdFrame(zstdFrame(log(), { flushEachChunk: true }), { maxOutput })) {
      lines.push(Buffer.from(chunk).toString());
      // Neither side has gone far ahead of what was read.
      expect(written - lines.length).toBeLessThanOrEqual(3);
    }
    expect(lines.join("")).toBe([0, 1, 2, 3, 4].map((i) => `line ${i} of a slow build\n`).join(""));
    expect(written).toBe(5);
  });

  it("refuses cut off frames, other data and gigantic windows", async () => {
    const packed = await collect(zstdFrame(pieces(sample)));
    for (const live of [true, false]) {
      for (const cut of [0, 2, 7, 100_000, packed.length - 1]) {
        const run = collect(decodeZstdFrame(pieces(packed.subarray(0, cut)), { live, maxOutput }));
        await expect(run).rejects.toMatchObject({ code: "truncated" });
      }
      await expect(collect(decodeZstdFrame(pieces(sample), { live, maxOutput }))).rejects.toMatchObject({
        code: "corrupt",
      });
      const huge = Buffer.from("28b52ffd00a0", "hex");
      await expect(collect(decodeZstdFrame(pieces(huge), { live, maxOutput }))).rejects.toMatchObject({
        code: "corrupt",
      });
    }
  });

  it("stops waiting for data when it is aborted", async () => {
    const controller = new AbortController();
    async function* silent(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("28b52ffd0038", "hex");
      await new Promise(() => undefined);
    }
    const reading = collect(decodeZstdFrame(silent(), { signal: controller.signal, maxOutput }));
    setTimeout(() => controller.abort(new Error("no patience")), 20);
    await expect(reading).rejects.toThrow("no patience");
  });

  it("any data in any pieces survives", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 }),
        fc.boolean(),
        fc.integer({ min: 1, max: 40 }),
        async (chunks, flushEachChunk, step) => {
          async function* source(): AsyncGenerator<Uint8Array> {
            yield* chunks;
          }
          const packed = await collect(flushEachChunk ? storedFrame(source()) : zstdFrame(source()));
          const back = await collect(decodeZstdFrame(pieces(packed, step), { maxOutput }));
          expect(back.equals(Buffer.concat(chunks))).toBe(true);
        },
      ),
      { numRuns: 25 },
    );
  });
});

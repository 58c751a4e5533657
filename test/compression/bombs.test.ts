// A little input that stands for gigabytes: each decoder stops at its limit, in bounded memory, and in small turns.
import { execFile, execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const run = promisify(execFile);
const entrance = new URL("../../dist/lib/compression/index.js", import.meta.url).href;
const limit = 16 * 2 ** 20;
let scratch = "";

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "bombs-"));
});
afterAll(() => rm(scratch, { recursive: true }));

interface Cost {
  readonly code: string | undefined;
  readonly bytes: number;
  readonly largestChunk: number;
  /** The most resident memory beyond what there was before, in bytes. */
  readonly memory: number;
  /** The most work between two turns of the event loop, in milliseconds of CPU time: others may keep the CPU busy. */
  readonly gap: number;
}

/** A process of its own, so that memory and the event loop are those of the decoder. */
function program(file: string, call: string): string {
  return `
    import { readFileSync } from "node:fs";
    import { decodeZstdFrame, decompress, usualWindow } from ${JSON.stringify(entrance)};
    const data = readFileSync(${JSON.stringify(file)});
    async function* source() {
      for (let at = 0; at < data.length; at += 65536) yield data.subarray(at, at + 65536);
    }
    let gap = 0;
    const used = () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    };
    let seen = used();
    const probe = setInterval(() => {
      gap = Math.max(gap, used() - seen);
      seen = used();
    }, 5);
    await new Promise((resolve) => setTimeout(resolve, 50));
    gap = 0;
    const before = process.memoryUsage.rss();
    let memory = 0, bytes = 0, largestChunk = 0, code;
    try {
      for await (const chunk of ${call}) {
        bytes += chunk.length;
        largestChunk = Math.max(largestChunk, chunk.length);
        memory = Math.max(memory, process.memoryUsage.rss() - before);
      }
    } catch (error) {
      code = error.code ?? String(error);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
    clearInterval(probe);
    console.log(JSON.stringify({ code, bytes, largestChunk, memory, gap }));`;
}

async function cost(data: Uint8Array, call: string): Promise<Cost> {
  const file = join(scratch, "input");
  await writeFile(file, data);
  const { stdout } = await run(process.execPath, ["--input-type=module", "-e", program(file, call)]);
  return JSON.parse(stdout) as Cost;
}

function expectCheap(found: Cost): void {
  expect(found.largestChunk).toBeLessThanOrEqual(256 * 1024);
  expect(found.memory).toBeLessThan(50e6);
  expect(found.gap).toBeLessThan(250);
}

const live = `decodeZstdFrame(source(), { maxOutput: ${limit}, maxWindow: usualWindow })`;
const notLive = `decodeZstdFrame(source(), { maxOutput: ${limit}, maxWindow: usualWindow, live: false })`;

/** The first bytes of a frame with a window of `2 ** log` bytes that does not say its size. */
function head(log: number): Buffer {
  return Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, (log - 10) << 3]);
}

function blockHeader(kind: 0 | 1 | 2, size: number, last: boolean): Buffer {
  const header = Buffer.alloc(3);
  header.writeUIntLE((size << 3) | (kind << 1) | (last ? 1 : 0), 0, 3);
  return header;
}

/** A frame of `count` blocks that repeat one byte. */
function repeated(log: number, count: number, size = 131_072): Buffer {
  const block = Buffer.concat([blockHeader(1, size, false), Buffer.from("A")]);
  const blocks = Array.from({ length: count }, () => block);
  return Buffer.concat([head(log), ...blocks, blockHeader(0, 0, true)]);
}

/** Blocks that ask for `sequences` matches of 64 KiB each, with hardly any bits to say so. */
function manySequences(): Buffer {
  const tables = Buffer.from([0b01_01_01_00, 0, 1, 52]);
  const counts = Buffer.from([255, 0xff, 0xff]);
  const payload = Buffer.concat([Buffer.from([0]), counts, tables, Buffer.alloc(16, 0xff)]);
  const block = Buffer.concat([blockHeader(2, payload.length, false), payload]);
  const blocks = Array.from({ length: 3000 }, () => block);
  return Buffer.concat([head(20), ...blocks, blockHeader(0, 0, true)]);
}

describe("zstd that expands to gigabytes", () => {
  const frames: Readonly<Record<string, () => Uint8Array>> = {
    "4 GiB of repeated blocks": () => repeated(17, 32_768),
    "1 GiB with a window of 8 MiB": () => repeated(23, 8192),
    "several frames": () => Buffer.concat(Array.from({ length: 8 }, () => repeated(20, 8192))),
    "real zstd data": () => {
      const one = execFileSync("zstd", ["-cq", "-3"], { input: Buffer.alloc(2 ** 28) });
      return Buffer.concat(Array.from({ length: 16 }, () => one));
    },
  };
  for (const [name, make] of Object.entries(frames)) {
    it.each([
      ["live", live],
      ["by its method", `decompress(source(), { method: "zstd", maxOutput: ${limit} })`],
    ])(`${name}, %s: stops at the limit`, async (_, call) => {
      const found = await cost(make(), call);
      expect(found).toMatchObject({ code: "too-large", bytes: limit });
      expectCheap(found);
    });
  }

  const refused: Readonly<Record<string, () => Uint8Array>> = {
    "a window of 128 MiB": () => repeated(27, 8192),
    "a window of 2 GiB": () => repeated(31, 8192),
    "one segment of 4 GiB": () =>
      Buffer.concat([Buffer.from("28b52ffda0ffffffff", "hex"), repeated(17, 32_768).subarray(6)]),
    "blocks of 2 MiB": () => repeated(23, 8192, 2 ** 21 - 1),
    "blocks larger than the window": () => repeated(12, 8192, 131_072),
    "sequences without bits": manySequences,
  };
  for (const [name, make] of Object.entries(refused)) {
    it.each([
      ["live", live],
      ["not live", notLive],
    ])(`${name}, %s: is refused`, async (_, call) => {
      const found = await cost(make(), call);
      expect(found).toMatchObject({ code: "corrupt", bytes: 0 });
      expectCheap(found);
    });
  }

  it("very many blocks and frames of nearly nothing are decoded in turns", async () => {
    const tiny = repeated(17, 1, 1);
    for (const data of [
      repeated(23, 40_000, 1),
      repeated(23, 40_000, 0),
      Buffer.concat(Array.from({ length: 10_000 }, () => tiny)),
    ]) {
      const found = await cost(data, live);
      expect(found.code).toBeUndefined();
      expectCheap(found);
    }
  });
});

describe("other methods", () => {
  const zeros = Buffer.alloc(2 ** 26);
  const repeat = (part: Uint8Array): Buffer => Buffer.concat(Array.from({ length: 16 }, () => part));
  const packed: Readonly<Record<string, () => Uint8Array>> = {
    none: () => repeat(zeros.subarray(0, 2 ** 21)),
    gzip: () => repeat(zlib.gzipSync(zeros, { level: 1 })),
    br: () => zlib.brotliCompressSync(zeros, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 } }),
    xz: () => repeat(execFileSync("xz", ["-zcq1"], { input: zeros })),
    bzip2: () => repeat(execFileSync("bzip2", ["-zcq1"], { input: zeros })),
  };
  for (const [method, make] of Object.entries(packed)) {
    it(`${method}: stops at the limit`, async () => {
      const call = `decompress(source(), { method: "${method}", maxOutput: ${limit} })`;
      const found = await cost(make(), call);
      expect(found).toMatchObject({ code: "too-large", bytes: limit });
      expectCheap(found);
    });
  }

  it("xz: a file that asks for gigabytes of memory is refused", async () => {
    const greedy = execFileSync("xz", ["-zcq", "--lzma2=dict=1536MiB,mode=fast,mf=hc3,nice=4"], {
      input: "x",
    });
    const found = await cost(greedy, `decompress(source(), { method: "xz", maxOutput: ${limit} })`);
    expect(found).toMatchObject({ code: "corrupt", bytes: 0 });
  });
});

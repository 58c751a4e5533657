/** A log whose reader stands still, or is gone, stops no program and fills no memory. */
import { execFile } from "node:child_process";
import { Writable } from "node:stream";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { turn } from "../../lib/async/index.js";
import { logOutput } from "../../lib/process/index.js";
import { type ScratchFolder, scratchFolder } from "./child.js";

let scratch: ScratchFolder;
beforeAll(async () => {
  scratch = await scratchFolder();
});
afterAll(() => scratch[Symbol.asyncDispose]());

/** Takes one piece, and the next when it is told to. */
class SlowReader extends Writable {
  readonly pieces: string[] = [];
  #next: (() => void) | undefined;

  constructor() {
    super({ decodeStrings: false, highWaterMark: 16 });
  }

  override _write(piece: string, _: BufferEncoding, done: () => void): void {
    this.pieces.push(piece);
    this.#next = done;
  }

  goOn(): void {
    const next = this.#next;
    this.#next = undefined;
    next?.();
  }
}

test("lines of one moment are one write, in their order", async () => {
  const reader = new SlowReader();
  const write = logOutput(reader);
  for (const line of ["a", "b", "c"]) write(line);
  await turn();
  expect(reader.pieces).toEqual(["a\nb\nc\n"]);
});

test("what a reader does not take is held up to a limit, and the rest is counted", async () => {
  const reader = new SlowReader();
  const leftOut: number[] = [];
  const write = logOutput(reader, { mostBytes: 100, onLeftOut: (lines) => leftOut.push(lines) });
  for (let line = 0; line < 1_000; line++) {
    write(`line ${line}`);
    await Promise.resolve();
  }
  expect(reader.writableLength).toBeLessThan(120);
  for (let piece = 0; leftOut.length === 0 && piece < 100; piece++) {
    reader.goOn();
    await turn();
  }
  expect(leftOut).toEqual([1_000 - reader.pieces.length]);
  write("again");
  await turn();
  reader.goOn();
  await turn();
  expect(reader.pieces.at(-1)).toBe("again\n");
});

const talks = `
const write = lib.logOutput(process.stderr, { onLeftOut: (lines) => write("left out: " + lines) });
for (let line = 0; line < 20_000; line++) {
  write("x".repeat(1_000));
  if (line % 100 === 0) await new Promise(setImmediate);
}
console.log(process.memoryUsage.rss() < 120e6 ? "small" : process.memoryUsage.rss());
`;

test("a program goes on, and stays small, while its log is not read", async () => {
  const child = await scratch.start(`${talks}
process.on("SIGTERM", () => process.exit(0));
setInterval(() => {}, 1_000);`);
  child.process.stderr?.pause();
  expect(await child.line()).toBe("small");
  child.process.stderr?.resume();
  await expect.poll(() => child.errors()).toMatch(/\nleft out: 1\d{4}\n$/);
  child.process.kill();
});

test("a program goes on when the reader of its log is gone", async () => {
  const child =
    await scratch.start(`console.log("begun"); await new Promise((resolve) => setTimeout(resolve, 200));
${talks}
process.exit(0);`);
  expect(await child.line()).toBe("begun");
  child.process.stderr?.destroy();
  expect(await child.line()).toBe("small");
  expect(await child.ended).toMatchObject({ code: 0 });
});

test("a program goes on when the disk of its log is full", async () => {
  const program = await scratch.write(`
const write = lib.logOutput(process.stderr);
for (let line = 0; line < 5; line++) {
  write("a line");
  await new Promise((resolve) => setTimeout(resolve, 20));
}
console.log("alive");`);
  const script = `${process.execPath} ${program} 2> /dev/full`;
  expect((await promisify(execFile)("bash", ["-c", script])).stdout).toBe("alive\n");
});

test("the last lines of a program that ends at once, or for a fault, are written", async () => {
  for (const end of ["process.exit(3)", "throw new Error('a fault')"]) {
    const child = await scratch.start(
      `const write = lib.logOutput(process.stderr); write("last words"); ${end};`,
    );
    expect((await child.ended).stderr).toContain("last words\n");
  }
});

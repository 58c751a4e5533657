/** Takes the bytes of a file apart into lines, each of which is UTF-8 or not. */

import { isUtf8 } from "node:buffer";
import { turn } from "../async/index.js";

/** A line without its newline. */
export interface FileLine {
  /** From 1. */
  readonly number: number;
  /** Undefined when the line is not UTF-8 or holds a NUL, which PostgreSQL stores in no text. */
  readonly text: string | undefined;
}

/** Bytes after which the event loop gets a turn; a longer line is not divided. */
const bytesPerTurn = 16 << 10;

/** The lines of a file, in time linear in its size, with pauses in which other work goes on. */
export async function* fileLines(bytes: Buffer): AsyncGenerator<readonly FileLine[]> {
  for (let at = 0, number = 1; at < bytes.length; ) {
    const block = bytes.subarray(at, blockEnd(bytes, at));
    const lines = blockLines(block, number);
    yield lines;
    at += block.length;
    number += lines.length;
    await turn();
  }
}

/** Where a block of whole lines ends that begins at `start`. */
function blockEnd(bytes: Buffer, start: number): number {
  if (bytes.length - start <= bytesPerTurn) return bytes.length;
  const last = bytes.lastIndexOf(0x0a, start + bytesPerTurn - 1);
  if (last >= start) return last + 1;
  const next = bytes.indexOf(0x0a, start + bytesPerTurn);
  return next < 0 ? bytes.length : next + 1;
}

function blockLines(block: Buffer, first: number): FileLine[] {
  const terminated = block.at(-1) === 0x0a ? block.subarray(0, -1) : block;
  if (isText(terminated)) {
    const texts = terminated.toString("utf8").split("\n");
    return texts.map((text, index) => ({ number: first + index, text }));
  }
  const lines: FileLine[] = [];
  for (let at = 0; at <= terminated.length; ) {
    const newline = terminated.indexOf(0x0a, at);
    const end = newline < 0 ? terminated.length : newline;
    const line = terminated.subarray(at, end);
    lines.push({ number: first + lines.length, text: isText(line) ? line.toString("utf8") : undefined });
    at = end + 1;
  }
  return lines;
}

function isText(bytes: Buffer): boolean {
  return isUtf8(bytes) && !bytes.includes(0);
}

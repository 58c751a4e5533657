/**
 * The log's way out of the process. Who reads it may stand still or be gone; that costs lines, and neither the program's
 * work nor its memory.
 */
import type { Writable } from "node:stream";
import { aFunction, anAmount, checkArgument, checkMembers, having, optional } from "../argument-checks.js";

/** How a log is written. */
export interface LogOutputOptions {
  /** Bytes that may wait for the reader; lines beyond are left out. Default 4 MiB. */
  readonly mostBytes?: number;
  /** Called when the reader has taken what waited, with the number of lines that were left out before. */
  readonly onLeftOut?: (lines: number) => void;
}

/**
 * Makes what writes the lines of a log to `stream`, usually `process.stderr`. Lines of one moment are written together.
 *
 * Errors of the stream are ignored from now on: there is no place to tell them.
 */
export function logOutput(stream: Writable, options: LogOutputOptions = {}): (line: string) => void {
  checkArgument("logOutput", "stream", stream, having("a writable stream", ["write", "on"]));
  checkMembers("logOutput", options, { mostBytes: optional(anAmount), onLeftOut: optional(aFunction) });
  const { mostBytes = 4 * 1024 * 1024, onLeftOut } = options;
  let lines: string[] = [];
  let leftOut = 0;
  const flush = (): void => {
    if (lines.length === 0) return;
    const text = `${lines.join("\n")}\n`;
    lines = [];
    if (stream.writable) stream.write(text);
  };
  stream.on("error", () => {});
  stream.on("drain", () => {
    const count = leftOut;
    leftOut = 0;
    if (count > 0) onLeftOut?.(count);
  });
  // A program that ends, also for a fault, says why in its last lines.
  process.on("exit", flush);
  return (line) => {
    if (stream.writableLength > mostBytes) {
      leftOut += 1;
      return;
    }
    if (lines.push(line) === 1) queueMicrotask(flush);
  };
}

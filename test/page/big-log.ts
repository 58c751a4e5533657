// A log as long as the runner keeps them, that grows while it is read; and how long the page's tasks took for it.
import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";

export interface BigLog {
  /** Sends what there is, and what comes later when the reader follows it. */
  readonly send: (response: ServerResponse, follows: boolean) => void;
  readonly grow: (text: string) => void;
  readonly end: () => void;
}

const chunkLines = 2_000;

function* beginning(mebibytes: number): Generator<Buffer> {
  let sent = 0;
  for (let number = 1; sent < mebibytes * 2 ** 20; number += chunkLines) {
    const lines = Array.from(
      { length: chunkLines },
      (_, index) =>
        `[${number + index}/999999] \u001b[32mCC\u001b[0m -O2 -g -Wall -o obj/file-${number + index}.o src/file-${number + index}.c`,
    );
    if (number === 1) lines[1_000] = "a needle in the haystack";
    const chunk = Buffer.from(`${lines.join("\n")}\n`);
    sent += chunk.length;
    yield chunk;
  }
  yield Buffer.from("the last line of the beginning\n");
}

export function bigLog(mebibytes: number): BigLog {
  const readers = new Set<ServerResponse>();
  return {
    send: (response, follows) => {
      response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
      const source = Readable.from(beginning(mebibytes), { highWaterMark: 1 });
      source.pipe(response, { end: !follows });
      if (follows) readers.add(response);
      response.on("close", () => readers.delete(response));
    },
    grow: (text) => {
      for (const reader of readers) reader.write(text);
    },
    end: () => {
      for (const reader of readers) reader.end();
    },
  };
}

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  /** Processor time of the thread, microseconds. */
  readonly tdur?: number;
  readonly args?: { readonly name?: string };
}

/** The longest task of a page's thread in a trace, in milliseconds of processor time, as others use the machine too. */
export function longestTaskMs(trace: Buffer): number {
  const { traceEvents } = JSON.parse(trace.toString()) as { readonly traceEvents: readonly TraceEvent[] };
  const threads = new Set(
    traceEvents
      .filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain")
      .map(({ pid, tid }) => `${pid} ${tid}`),
  );
  const tasks = traceEvents.filter(({ ph, pid, tid }) => ph === "X" && threads.has(`${pid} ${tid}`));
  return Math.max(...tasks.map(({ tdur = 0 }) => tdur)) / 1_000;
}

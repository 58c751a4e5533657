/** Reads a log as it grows, and goes on where it was when the connection breaks. */
import { noteAnswer, noteSilence } from "../data/live.js";
import { apiUrl } from "../data/request.js";

/** How far a log is. `live`: more will come. */
export type LogState = "loading" | "live" | "finished" | "broken" | "missing";

/** What a reader is notified of. */
export interface LogReader {
  readonly text: (text: string) => void;
  readonly state: (state: LogState) => void;
  /** The log began again from its first byte. */
  readonly restart: () => void;
}

const retryMs = 2000;

/** Milliseconds of reading at a time; then the page draws and takes input. What is there already comes without a pause. */
const sliceMs = 30;
/** Bytes that are read without a look at the clock. */
const pieceLength = 64 * 1024;

function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve);
  });
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, retryMs);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Address of the raw log of a try. */
export function logUrl(drv: string, tryNumber: string): URL {
  return apiUrl(`steps/${encodeURIComponent(drv)}/log?try=${encodeURIComponent(tryNumber)}`);
}

/** Reads until the log is complete or `signal` ends it. `isLive`: the try still runs. */
export async function readLog(
  url: URL,
  isLive: boolean,
  reader: LogReader,
  signal: AbortSignal,
): Promise<void> {
  const target = new URL(url);
  if (isLive) target.searchParams.set("follow", "1");
  let received = 0;
  let decoder = new TextDecoder();
  while (!signal.aborted) {
    try {
      const headers: Record<string, string> = received === 0 ? {} : { range: `bytes=${received}-` };
      const response = await fetch(target, { headers, signal });
      noteAnswer(undefined);
      if (response.status === 404) return reader.state("missing");
      // Everything was there already.
      if (response.status === 416) return reader.state("finished");
      if (!response.ok || response.body === null) throw new Error(`status ${response.status}`);
      if (received > 0 && response.status !== 206) {
        received = 0;
        decoder = new TextDecoder();
        reader.restart();
      }
      reader.state(isLive ? "live" : "loading");
      const body = response.body.getReader();
      let sliceEnd = performance.now() + sliceMs;
      for (;;) {
        const { done, value } = await body.read();
        if (done) break;
        received += value.length;
        for (let at = 0; at < value.length; at += pieceLength) {
          reader.text(decoder.decode(value.subarray(at, at + pieceLength), { stream: true }));
          if (performance.now() < sliceEnd) continue;
          await nextTask();
          sliceEnd = performance.now() + sliceMs;
        }
      }
      reader.text(decoder.decode());
      return reader.state("finished");
    } catch {
      if (signal.aborted) return;
      noteSilence();
      reader.state("broken");
      await pause(signal);
    }
  }
}

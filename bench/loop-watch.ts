/** How long the event loop stands still. */
import { closeSync, openSync, readSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

/** Processor time of the main thread. The file stays open: it is read a thousand times a second, and that shows. */
class MainThread implements Disposable {
  readonly #file = openProcessFile(`/proc/self/task/${process.pid}/schedstat`);
  readonly #text = Buffer.alloc(100);

  /** Milliseconds that it has had a processor; undefined where the system does not say. */
  get workMs(): number | undefined {
    if (this.#file === undefined) return undefined;
    const length = readSync(this.#file, this.#text, 0, this.#text.length, 0);
    return Number.parseInt(this.#text.toString("latin1", 0, length), 10) / 1e6;
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file);
  }
}

function openProcessFile(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch {
    return undefined;
  }
}

/**
 * Watches the event loop. A block is as long as the loop did not turn and its thread was at work: on a machine that
 * others use as well, time without a processor is not ours (known to a tick of the system's clock). The delay that
 * Node measures has both.
 */
export class LoopWatch {
  readonly #delay = monitorEventLoopDelay({ resolution: 1 });
  readonly #timer = setInterval(() => this.#look(), 1);
  #at = performance.now();
  readonly #thread = new MainThread();
  #work = this.#thread.workMs;
  longestBlockMs = 0;

  constructor() {
    this.#delay.enable();
  }

  get longestDelayMs(): number {
    return this.#delay.max / 1e6;
  }

  #look(): void {
    const [at, work] = [performance.now(), this.#thread.workMs];
    const atWork =
      work === undefined || this.#work === undefined ? Number.POSITIVE_INFINITY : work - this.#work;
    this.longestBlockMs = Math.max(this.longestBlockMs, Math.min(at - this.#at, atWork));
    this.#at = at;
    this.#work = work;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#delay.disable();
    this.#thread[Symbol.dispose]();
  }
}

/** How long the event loop stands still. */
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

/** Milliseconds that the main thread has had a processor; undefined where the system does not say. */
function mainThreadMs(): number | undefined {
  try {
    const [nanoseconds] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ");
    return Number(nanoseconds) / 1e6;
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
  #work = mainThreadMs();
  longestBlockMs = 0;

  constructor() {
    this.#delay.enable();
  }

  get longestDelayMs(): number {
    return this.#delay.max / 1e6;
  }

  #look(): void {
    const [at, work] = [performance.now(), mainThreadMs()];
    const atWork =
      work === undefined || this.#work === undefined ? Number.POSITIVE_INFINITY : work - this.#work;
    this.longestBlockMs = Math.max(this.longestBlockMs, Math.min(at - this.#at, atWork));
    this.#at = at;
    this.#work = work;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#delay.disable();
  }
}

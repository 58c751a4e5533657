/**
 * Time that only passes when the simulation says so.
 *
 * While it is installed, the timers and clocks of the process are its own: whatever the runner's code waits for with
 * them becomes an event in one queue, together with the events of the simulated world. Between two events all promises
 * that can settle do. Work outside of this thread is not waited for: decoders are kept in it.
 */
import { decodeInThisThread } from "../../compression/zstd/decode.js";

interface Event {
  readonly at: number;
  readonly run: () => void;
  /** Set by the code under test, which dies with its process. */
  readonly ofProcess: boolean;
  cancelled: boolean;
}

/** What callers of the replaced `setTimeout` and its kin get. */
class Timer {
  event: Event | undefined;

  unref(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  hasRef(): boolean {
    return true;
  }
}

const realImmediate = setImmediate;

/** What the simulated world needs of time. */
export type WorldTime = Pick<VirtualTime, "now" | "after">;

/** A clock and its timers. */
export class VirtualTime {
  #now: number;
  /** Sorted by time; equal times in the order in which they were asked for. */
  readonly #events: Event[] = [];

  /** `start`: milliseconds since the epoch. */
  constructor(start: number) {
    this.#now = start;
  }

  readonly now = (): number => this.#now;

  /** An event of the simulated world. */
  after(milliseconds: number, run: () => void): void {
    this.#add(milliseconds, run, false);
  }

  /** Timers that the code under test has set. */
  get processTimers(): number {
    return this.#events.filter((event) => event.ofProcess && !event.cancelled).length;
  }

  /** The process is dead: its timers do not go off any more. */
  dropProcessTimers(): void {
    for (const event of this.#events) if (event.ofProcess) event.cancelled = true;
  }

  /** Runs the next event and everything that follows from it at once; false when there is none. */
  async next(): Promise<boolean> {
    for (;;) {
      const event = this.#events.shift();
      if (event === undefined) return false;
      if (event.cancelled) continue;
      this.#now = Math.max(this.#now, event.at);
      event.cancelled = true;
      event.run();
      await settled();
      return true;
    }
  }

  /** Replaces the timers and clocks of the process until the answer is disposed of. */
  async install(): Promise<Disposable> {
    const decoders = await decodeInThisThread();
    const saved = { setTimeout, setInterval, setImmediate, clearTimeout, clearInterval, clearImmediate };
    const dateNow = Date.now;
    const start = this.#now;
    const clear = (timer: unknown): void => {
      if (timer instanceof Timer && timer.event !== undefined) timer.event.cancelled = true;
    };
    const timeout = (run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]): Timer => {
      const timer = new Timer();
      timer.event = this.#add(Math.max(1, ms), () => run(...args), true);
      return timer;
    };
    const interval = (run: (...args: unknown[]) => void, ms = 0, ...args: unknown[]): Timer => {
      const timer = new Timer();
      const again = (): void => {
        const tick = (): void => {
          again();
          run(...args);
        };
        timer.event = this.#add(Math.max(1, ms), tick, true);
      };
      again();
      return timer;
    };
    const immediate = (run: (...args: unknown[]) => void, ...args: unknown[]): Timer => {
      const timer = new Timer();
      timer.event = this.#add(0, () => run(...args), true);
      return timer;
    };
    Object.assign(globalThis, {
      setTimeout: timeout,
      setInterval: interval,
      setImmediate: immediate,
      clearTimeout: clear,
      clearInterval: clear,
      clearImmediate: clear,
    });
    Date.now = this.now;
    Object.defineProperty(performance, "now", { configurable: true, value: () => this.#now - start });
    return {
      [Symbol.dispose]: () => {
        decoders[Symbol.dispose]();
        Object.assign(globalThis, saved);
        Date.now = dateNow;
        Reflect.deleteProperty(performance, "now");
      },
    };
  }

  #add(delay: number, run: () => void, ofProcess: boolean): Event {
    const event: Event = { at: this.#now + delay, run, ofProcess, cancelled: false };
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#events[middle]?.at ?? 0) <= event.at) low = middle + 1;
      else high = middle;
    }
    this.#events.splice(low, 0, event);
    return event;
  }
}

/** Resolves when no promise can settle any more without another event. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    realImmediate(resolve);
  });
}

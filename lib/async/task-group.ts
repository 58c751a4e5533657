/** Work in the background that has to be waited for at the end. */
import { atMost } from "./sleep.js";

/** Background work that a close has to wait for. Errors go to `onError`, never to the process. */
export class TaskGroup {
  readonly #running = new Set<Promise<void>>();
  readonly #onError: (error: unknown) => void;

  /** `onError` gets what a task rejects with; it must not throw. */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
  }

  /** Starts a task without waiting for it. */
  start(work: () => Promise<void>): void {
    const task = work()
      .catch(this.#onError)
      .finally(() => this.#running.delete(task));
    this.#running.add(task);
  }

  /** Tasks under way. */
  get size(): number {
    return this.#running.size;
  }

  /** Resolves with true when nothing runs any more (tasks that tasks started included), with false after `timeoutMs`. */
  async drained(timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (this.#running.size > 0) {
      const left = deadline - performance.now();
      if (left <= 0) return false;
      await atMost(Promise.allSettled(this.#running), left);
    }
    return true;
  }
}

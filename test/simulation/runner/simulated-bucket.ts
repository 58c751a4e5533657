/** A binary cache that may accept everything and answer nothing. */
import type { ProcessLife } from "../../../lib/testing/simulated/process-life.js";
import type { VirtualTime } from "../../../lib/testing/simulated/virtual-time.js";

/** How long a finished build waits for it, as in `Uploads`. Milliseconds. */
const patienceMs = 10 * 60_000;

export class SimulatedBucket {
  readonly #time: VirtualTime;
  readonly #waiting = new Set<() => void>();
  silent = false;

  constructor(time: VirtualTime) {
    this.#time = time;
  }

  /** Resolves when it has answered, or when an upload is left to the journal. */
  answers(life: ProcessLife): Promise<void> {
    if (!this.silent) return Promise.resolve();
    return new Promise((resolve) => {
      const answered = (): void => {
        if (life.alive) resolve();
      };
      this.#waiting.add(answered);
      this.#time.after(patienceMs, answered);
    });
  }

  heal(): void {
    this.silent = false;
    for (const answered of this.#waiting) answered();
    this.#waiting.clear();
  }
}

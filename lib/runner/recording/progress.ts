/** How far running steps are, written now and then: of several reports about one step only the furthest counts. */
import { sleep, turn } from "../../async/index.js";
import { type SqlSession, type StepKey, setBusy } from "../../database/recording/index.js";
import type { Logger } from "../../log.js";

/** Milliseconds between two batches. */
const pauseMs = 100;

/** The progress that is not written yet. */
export class Progress {
  readonly #transaction: (work: (session: SqlSession) => Promise<void>) => Promise<void>;
  readonly #logger: Logger;
  #pending = new Map<string, StepKey & { readonly busy: number }>();
  #active = false;

  constructor(transaction: (work: (session: SqlSession) => Promise<void>) => Promise<void>, logger: Logger) {
    this.#transaction = transaction;
    this.#logger = logger;
  }

  /** Returns at once; an error only costs this piece of information. */
  note(key: StepKey, busy: number): void {
    const id = `${key.build}/${key.stepNumber}`;
    if ((this.#pending.get(id)?.busy ?? 0) >= busy) return;
    this.#pending.set(id, { build: key.build, stepNumber: key.stepNumber, busy });
    if (this.#active) return;
    this.#active = true;
    void this.#writeAll();
  }

  /** The step is over: its progress is not written any more. */
  drop(key: StepKey): void {
    this.#pending.delete(`${key.build}/${key.stepNumber}`);
  }

  /** Writes batch after batch until there is nothing to write. */
  async #writeAll(): Promise<void> {
    await turn();
    while (this.#pending.size > 0) {
      const steps = [...this.#pending.values()];
      this.#pending = new Map();
      try {
        await this.#transaction((session) => setBusy(session, steps));
      } catch (error) {
        this.#logger.debug("progress of steps not written", { steps: steps.length, error });
      }
      await sleep(pauseMs, { ref: false });
    }
    this.#active = false;
  }
}

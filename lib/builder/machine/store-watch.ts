/**
 * Whether the Nix daemon of this machine answers: asked all the time, so that the runner hears of a daemon that hangs or is
 * gone before builds fail or stand still for it.
 */
import { atMost, pause, turn } from "../../async/index.js";
import { errorChain } from "../../errors.js";
import { type Logger, silentLogger } from "../../log.js";
import { parseStorePath } from "../../nix/path/store-path.js";
import type { Store } from "../../nix/store/store.js";

/** What is watched, and how. */
export interface StoreWatchOptions {
  readonly store: Pick<Store, "isValidPath">;
  readonly logger?: Logger | undefined;
  /** Milliseconds without an answer that are trouble. Default 4,000. */
  readonly limitMs?: number | undefined;
  /** Milliseconds between an answer and the next question. Default 4,000. */
  readonly intervalMs?: number | undefined;
}

/** No store has it; any answer will do. */
const absentPath = parseStorePath("00000000000000000000000000000000-health-probe");

/** Asks one question at a time from `run` to the end of its signal. */
export class StoreWatch {
  readonly #options: StoreWatchOptions;
  readonly #listeners = new Set<() => void>();
  #trouble: string | undefined;

  constructor(options: StoreWatchOptions) {
    this.#options = options;
  }

  /** What is wrong, in words; undefined: nothing that is known. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Calls `listener` when trouble begins or ends, until the returned value is disposed of. It must not throw. */
  subscribe(listener: () => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Watches until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, limitMs = 4_000, intervalMs = 4_000 } = this.#options;
    const over = new Promise<undefined>((resolve) => {
      signal.addEventListener("abort", () => resolve(undefined), { once: true });
    });
    while (!signal.aborted) {
      let answered = false;
      const answer = ask(store, signal);
      const heard = answer.finally(() => {
        answered = true;
      });
      await atMost(Promise.race([heard, over]), limitMs);
      // After a stall of ours the answer may be there, and only not read yet.
      await turn();
      if (!answered && !signal.aborted) this.#note(`no answer within ${limitMs / 1000} s`);
      const trouble = await Promise.race([heard, over]);
      if (signal.aborted) return;
      this.#note(trouble);
      await pause(intervalMs, { signal, ref: false });
    }
  }

  #note(trouble: string | undefined): void {
    const changed = (trouble === undefined) !== (this.#trouble === undefined);
    this.#trouble = trouble;
    if (!changed) return;
    const { logger = silentLogger } = this.#options;
    if (trouble === undefined) logger.info("the Nix daemon answers again");
    else logger.warn("the Nix daemon does not answer", { reason: trouble });
    for (const listener of this.#listeners) listener();
  }
}

/** Undefined for an answer, whatever it says; else what went wrong. */
async function ask(store: Pick<Store, "isValidPath">, signal: AbortSignal): Promise<string | undefined> {
  try {
    await store.isValidPath(absentPath, { signal });
    return undefined;
  } catch (error) {
    return errorChain(error);
  }
}

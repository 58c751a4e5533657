/** Answers that are made once for all that ask at about the same time. */

/** How long an answer is kept. */
export interface RememberedOptions {
  /** Milliseconds, at least. Default 1,000. */
  readonly keepMs?: number;
  /** Making it takes at most one part in so many of the time; for answers that cost work, not waiting. Default: no bound. */
  readonly restFactor?: number;
  /** Milliseconds that it is kept at most, however long it takes to make. Default 5,000. */
  readonly longestMs?: number;
  /** Milliseconds; only differences matter. Default `performance.now`. */
  readonly clock?: () => number;
}

/** One answer, made when it is asked for and kept for a second. Those that ask while it is made get the same one. */
export class Remembered<T> {
  readonly #make: () => T | Promise<T>;
  readonly #keepMs: number;
  readonly #restFactor: number;
  readonly #longestMs: number;
  readonly #clock: () => number;
  #answer: Promise<T> | undefined;
  #until = 0;

  constructor(make: () => T | Promise<T>, options: RememberedOptions = {}) {
    this.#make = make;
    this.#keepMs = options.keepMs ?? 1_000;
    this.#restFactor = options.restFactor ?? 0;
    this.#longestMs = options.longestMs ?? 5_000;
    this.#clock = options.clock ?? (() => performance.now());
  }

  /** Rejects with what making it threw; that is not kept. */
  get(): Promise<T> {
    if (this.#answer === undefined || this.#clock() >= this.#until) this.#answer = this.#start();
    return this.#answer;
  }

  async #start(): Promise<T> {
    const began = this.#clock();
    this.#until = Number.POSITIVE_INFINITY;
    try {
      const answer = await this.#make();
      const took = this.#clock() - began;
      this.#until =
        this.#clock() + Math.max(this.#keepMs, Math.min(this.#longestMs, took * this.#restFactor));
      return answer;
    } catch (error) {
      this.#until = 0;
      throw error;
    }
  }
}

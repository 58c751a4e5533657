/** Since when a peer has not answered, for those who must not ask it for anything meanwhile. */
import { pause } from "./sleep.js";

/** What a failed question says about the peer: it answered, it is silent, or neither is known. */
export type SilenceVerdict = "answered" | "silent" | "unknown";

/** How one question is judged. */
export interface QuestionOptions {
  /** How long this answer may take, in milliseconds. Default: that of the `Silence`. */
  readonly tolerateMs?: number | undefined;
  /** Default: every error is silence. */
  readonly judge?: ((error: unknown) => SilenceVerdict) | undefined;
}

/** Follows questions to one peer and their answers. Time is that of `Date.now`. */
export class Silence {
  readonly #tolerateMs: number;
  readonly #onBegin: (() => void)[] = [];
  readonly #onEnd: (() => void)[] = [];
  #since: number | undefined;

  /** `tolerateMs`: how long one answer may take before that counts as silence, in milliseconds. */
  constructor(tolerateMs: number) {
    this.#tolerateMs = tolerateMs;
  }

  /** Milliseconds since the epoch at which the silence began; undefined while the peer answers. */
  get since(): number | undefined {
    return this.#since;
  }

  /** `listener` is called whenever a silence begins. */
  onBegin(listener: () => void): void {
    this.#onBegin.push(listener);
  }

  /** `listener` is called whenever a silence ends. */
  onEnd(listener: () => void): void {
    this.#onEnd.push(listener);
  }

  /** Waits for the answer of one question, and notes when it takes too long or fails. @throws what `question` throws */
  async ask<T>(question: () => Promise<T>, options: QuestionOptions = {}): Promise<T> {
    const { tolerateMs = this.#tolerateMs, judge = () => "silent" } = options;
    const asked = Date.now();
    const settled = new AbortController();
    void pause(tolerateMs, { signal: settled.signal, ref: false }).then(() => {
      if (!settled.signal.aborted) this.began(asked);
    });
    try {
      const answer = await question();
      this.ended();
      return answer;
    } catch (error) {
      const verdict = judge(error);
      if (verdict === "silent") this.began(asked);
      if (verdict === "answered") this.ended();
      throw error;
    } finally {
      settled.abort();
    }
  }

  /** The peer is known to be silent, since `at` (milliseconds since the epoch) at the latest. */
  began(at = Date.now()): void {
    if (this.#since !== undefined) return;
    this.#since = at;
    for (const listener of this.#onBegin) listener();
  }

  /** The peer has answered. */
  ended(): void {
    if (this.#since === undefined) return;
    this.#since = undefined;
    for (const listener of this.#onEnd) listener();
  }
}

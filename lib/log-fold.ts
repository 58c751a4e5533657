/** Lines that repeat themselves are written a few times, then counted: a log says each thing, and how often. */

/** How lines are folded. */
export interface FoldOptions {
  /** Equal lines that are written before the rest is counted. Default 5. */
  readonly written?: number;
  /** Milliseconds over which equal lines are counted together. Default 60,000. */
  readonly windowMs?: number;
  /** Different lines that are remembered. Default 1,000. */
  readonly remembered?: number;
  /** Milliseconds; only differences matter. Default `Date.now`. */
  readonly now?: () => number;
}

interface Entry {
  readonly since: number;
  seen: number;
  /** Writes the line once more, with how often it was not written. */
  readonly summary: (unwritten: number) => void;
}

/** Counts equal lines. */
export class LineFolder {
  readonly #written: number;
  readonly #windowMs: number;
  readonly #remembered: number;
  readonly #now: () => number;
  /** Oldest first, as entries are never moved. */
  readonly #entries = new Map<string, Entry>();
  #timer: NodeJS.Timeout | undefined;

  constructor({ written = 5, windowMs = 60_000, remembered = 1_000, now = Date.now }: FoldOptions = {}) {
    this.#written = written;
    this.#windowMs = windowMs;
    this.#remembered = remembered;
    this.#now = now;
  }

  /** Whether to write a line now. `summary` is called later when equal ones were held back. */
  admit(line: string, summary: (unwritten: number) => void): boolean {
    const now = this.#now();
    this.#flush((entry) => entry.since + this.#windowMs <= now);
    const entry = this.#entries.get(line);
    if (entry === undefined) {
      this.#entries.set(line, { since: now, seen: 1, summary });
      let surplus = this.#entries.size - this.#remembered;
      if (surplus > 0) this.#flush(() => surplus-- > 0);
      return true;
    }
    entry.seen++;
    if (entry.seen <= this.#written) return true;
    this.#arm(entry.since + this.#windowMs - now);
    return false;
  }

  /** Writes what was only counted so far. */
  flush(): void {
    this.#flush(() => true);
  }

  #flush(isDue: (entry: Entry) => boolean): void {
    for (const [line, entry] of this.#entries) {
      if (!isDue(entry)) return;
      this.#entries.delete(line);
      if (entry.seen > this.#written) entry.summary(entry.seen - this.#written);
    }
  }

  /** A log that falls silent still says how often its last line came. */
  #arm(ms: number): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        const now = this.#now();
        this.#flush((entry) => entry.since + this.#windowMs <= now);
        const waiting = [...this.#entries.values()].find(({ seen }) => seen > this.#written);
        if (waiting !== undefined) this.#arm(waiting.since + this.#windowMs - now);
      },
      Math.max(1, ms),
    );
    this.#timer.unref();
  }
}

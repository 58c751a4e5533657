/**
 * Lines that repeat themselves are written a few times, then counted: a log says each thing, and how often. The same goes
 * for lines of one kind that differ in every word of a peer's choice.
 */

/** How lines are folded. */
export interface FoldOptions {
  /** Equal lines that are written before the rest is counted. Default 5. */
  readonly written?: number;
  /** Milliseconds over which lines are counted together. Default 60,000. */
  readonly windowMs?: number;
  /** Different lines, and different kinds, that are remembered. Default 1,000. */
  readonly remembered?: number;
  /** Milliseconds; only differences matter. Default `Date.now`. */
  readonly now?: () => number;
}

/** Counts equal lines, and lines of one kind. */
export class LineFolder {
  readonly #written: number;
  readonly #lines: Counts;
  /** Apart from the lines: a flood of different lines would make it forget their kind. */
  readonly #kinds: Counts;
  /** Apart from other kinds, for the same reason. */
  readonly #named: Counts;

  constructor({ written = 5, windowMs = 60_000, remembered = 1_000, now = Date.now }: FoldOptions = {}) {
    this.#written = written;
    this.#lines = new Counts(windowMs, remembered, now);
    this.#kinds = new Counts(windowMs, remembered, now);
    this.#named = new Counts(windowMs, remembered, now);
  }

  /** Whether to write a line now. `summary` is called later when equal ones were held back. */
  admit(line: string, summary: (unwritten: number) => void): boolean {
    return this.#lines.admit(line, this.#written, summary);
  }

  /** Whether to write one more line of a kind, of which `most` are written in a window. */
  admitKind(kind: string, most: number, summary: (unwritten: number) => void): boolean {
    return this.#kinds.admit(kind, most, summary);
  }

  /** The same for kinds that bear a name of a peer's choice: as many as it likes, so that they may be forgotten. */
  admitNamed(kind: string, most: number, summary: (unwritten: number) => void): boolean {
    return this.#named.admit(kind, most, summary);
  }

  /** Writes what was only counted so far. */
  flush(): void {
    this.#lines.flush(() => true);
    this.#kinds.flush(() => true);
    this.#named.flush(() => true);
  }
}

interface Entry {
  readonly since: number;
  /** Of what was seen, so much was let through. */
  readonly most: number;
  seen: number;
  /** Says how often it was not let through. */
  readonly summary: (unwritten: number) => void;
}

/** What was seen how often since it was seen first, forgotten after a window. */
class Counts {
  readonly #windowMs: number;
  readonly #remembered: number;
  readonly #now: () => number;
  /** Oldest first, as entries are never moved. */
  readonly #entries = new Map<string, Entry>();
  #timer: NodeJS.Timeout | undefined;

  constructor(windowMs: number, remembered: number, now: () => number) {
    this.#windowMs = windowMs;
    this.#remembered = remembered;
    this.#now = now;
  }

  admit(key: string, most: number, summary: (unwritten: number) => void): boolean {
    const now = this.#now();
    this.flush((entry) => entry.since + this.#windowMs <= now);
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      this.#entries.set(key, { since: now, most, seen: 1, summary });
      let surplus = this.#entries.size - this.#remembered;
      if (surplus > 0) this.flush(() => surplus-- > 0);
      return true;
    }
    entry.seen++;
    if (entry.seen <= entry.most) return true;
    this.#arm(entry.since + this.#windowMs - now);
    return false;
  }

  /** Forgets the oldest entries that are due, up to the first that is not. */
  flush(isDue: (entry: Entry) => boolean): void {
    for (const [key, entry] of this.#entries) {
      if (!isDue(entry)) return;
      this.#entries.delete(key);
      if (entry.seen > entry.most) entry.summary(entry.seen - entry.most);
    }
  }

  /** A log that falls silent still says how often its last line came. */
  #arm(ms: number): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        const now = this.#now();
        this.flush((entry) => entry.since + this.#windowMs <= now);
        const waiting = [...this.#entries.values()].find(({ seen, most }) => seen > most);
        if (waiting !== undefined) this.#arm(waiting.since + this.#windowMs - now);
      },
      Math.max(1, ms),
    );
    this.#timer.unref();
  }
}

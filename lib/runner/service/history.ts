/**
 * What a runner did in the last hours, minute by minute: a ring of counters that events feed. What came before the start
 * of the process is read from the database once, when it is first asked for.
 */
import type { ApiHistory, ApiHistoryPoint, ApiProblem } from "../../status/index.js";
import type { EventBus } from "../events/index.js";

/** Slots in use, and slots. */
export interface SlotCount {
  readonly slotsUsed: number;
  readonly slots: number;
}

/** Steps that ended in one minute, as the database has them. */
export interface MinuteCount {
  /** Begin of the minute, in milliseconds since the epoch. */
  readonly at: number;
  readonly done: number;
  readonly failed: number;
}

/** What a history is made with. */
export interface RunHistoryOptions {
  readonly events: Pick<EventBus, "on">;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly slots: () => SlotCount;
  /** Steps that ended in a span (milliseconds since the epoch), from the database. */
  readonly past: (since: number, until: number) => Promise<readonly MinuteCount[]>;
}

interface Minute {
  done: number;
  failed: number;
  waits: number;
  waitedMs: number;
  slots?: number;
  slotsUsed?: number;
}

const minuteMs = 60_000;
/** Hours that are kept. */
export const historyHours = 6;
const minutesKept = historyHours * 60;
const problemsKept = 200;

/** Counters by minute, and the problems that are over. */
export class RunHistory {
  readonly #now: () => number;
  readonly #slots: () => SlotCount;
  readonly #past: RunHistoryOptions["past"];
  #filled: Promise<void> | undefined;
  /** By minute since the epoch; bounded by `minutesKept`. */
  readonly #minutes = new Map<number, Minute>();
  readonly #startedAt: number;
  #current: number;
  #ended: readonly ApiProblem[] = [];

  constructor({ events, now, slots, past }: RunHistoryOptions) {
    this.#now = now;
    this.#past = past;
    this.#slots = slots;
    this.#startedAt = now();
    this.#current = minuteOf(this.#startedAt);
    events.on("stepStarted", ({ at, waitedMs, adopted }) => {
      if (adopted) return;
      const minute = this.#minute(at);
      minute.waits++;
      minute.waitedMs += waitedMs;
    });
    events.on("stepFinished", ({ at, outcome }) => {
      if (outcome.kind === "succeeded") this.#minute(at).done++;
      else if (outcome.kind === "failed") this.#minute(at).failed++;
    });
    events.on("problem", ({ change, problem, at }) => {
      if (change === "ended")
        this.#ended = [{ ...problem, until: at }, ...this.#ended].slice(0, problemsKept);
    });
  }

  /** Problems that are over, the last one first. */
  get endedProblems(): readonly ApiProblem[] {
    return this.#ended;
  }

  /** The minutes of the last `hours`, at most six; the last one is not over yet. */
  async report(hours: number): Promise<ApiHistory> {
    this.#filled ??= this.#fill();
    await this.#filled;
    this.#roll(minuteOf(this.#now()));
    const count = Math.min(minutesKept, Math.max(1, Math.round(hours * 60)));
    const points: ApiHistoryPoint[] = [];
    for (let key = this.#current - count + 1; key <= this.#current; key++) points.push(this.#point(key));
    return { intervalMs: minuteMs, points };
  }

  /** Without the database, the time before the start stays empty until it is asked for again. */
  async #fill(): Promise<void> {
    try {
      const since = (minuteOf(this.#startedAt) - minutesKept) * minuteMs;
      for (const { at, done, failed } of await this.#past(since, this.#startedAt)) {
        // In the minute of the start some ended before it, and some were counted since.
        const minute = this.#at(minuteOf(at));
        minute.done += done;
        minute.failed += failed;
      }
    } catch {
      this.#filled = undefined;
    }
  }

  #point(key: number): ApiHistoryPoint {
    const minute = this.#minutes.get(key);
    const present = key === this.#current ? this.#slots() : undefined;
    return {
      at: key * minuteMs,
      done: minute?.done ?? 0,
      failed: minute?.failed ?? 0,
      waitMs: minute === undefined || minute.waits === 0 ? null : Math.round(minute.waitedMs / minute.waits),
      slotsUsed: present?.slotsUsed ?? minute?.slotsUsed ?? null,
      slots: present?.slots ?? minute?.slots ?? null,
    };
  }

  #minute(at: number): Minute {
    const key = minuteOf(at);
    this.#roll(key);
    return this.#at(key);
  }

  #at(key: number): Minute {
    let minute = this.#minutes.get(key);
    if (minute === undefined) {
      minute = { done: 0, failed: 0, waits: 0, waitedMs: 0 };
      this.#minutes.set(key, minute);
    }
    return minute;
  }

  /** Notes the slots of the minutes that are over. Nothing happened in between, so they are as they were. */
  #roll(to: number): void {
    if (to <= this.#current) return;
    const slots = this.#slots();
    for (let key = Math.max(this.#current, to - minutesKept); key < to; key++) {
      Object.assign(this.#at(key), slots);
    }
    this.#current = to;
    for (const key of this.#minutes.keys()) if (key <= to - minutesKept) this.#minutes.delete(key);
  }
}

function minuteOf(at: number): number {
  return Math.floor(at / minuteMs);
}

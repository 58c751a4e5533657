/**
 * Turns the scheduler's choices into work.
 *
 * A round is synchronous: timers that ran out, then every assignment that is possible now. All I/O starts after the
 * choice, for all assignments side by side. Between rounds it sleeps until somebody triggers it or the scheduler's
 * earliest event is due; there is no polling, except for an optional safety timer.
 */
import { performance } from "node:perf_hooks";
import type { SchedulerApi } from "../../scheduler/api.js";
import type { AttemptId } from "../../scheduler/ids.js";
import type { Assignment, Effect } from "../../scheduler/types.js";

/** What a round did and how long it took. */
export interface DispatchRound {
  readonly assigned: number;
  /** Duration of the round. */
  readonly milliseconds: number;
  /** Time since the round before, or since the dispatcher was made. */
  readonly waitedMs: number;
}

export interface DispatcherOptions {
  readonly scheduler: SchedulerApi;
  readonly newAttemptId: () => AttemptId;
  /** Starts the I/O of one assignment; must not throw. */
  readonly launch: (assignment: Assignment) => void;
  /** Called before steps are handed out; must not throw. */
  readonly beforeAssign?: () => void;
  /** Carries out what the scheduler asks for; must not throw. */
  readonly perform: (effects: readonly Effect[]) => void;
  /** Milliseconds between rounds that nothing asked for; undefined = none. Read before each wait. */
  readonly safetyIntervalMs: () => number | undefined;
  /** Called after each round. */
  readonly onRound?: (round: DispatchRound) => void;
  readonly now?: () => number;
  readonly random?: () => number;
}

/** Node's timers cannot wait longer than this; a longer wait is cut and simply finds nothing to do. */
const longestTimeoutMs = 2_000_000_000;

export class Dispatcher {
  readonly #options: DispatcherOptions;
  readonly #now: () => number;
  readonly #random: () => number;
  #timer: NodeJS.Timeout | undefined;
  #scheduled: NodeJS.Immediate | undefined;
  #closed = false;
  #idleSince = performance.now();

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#random = options.random ?? Math.random;
  }

  /** Something changed; a round follows as soon as the current work of the event loop is done. Bursts coalesce. */
  trigger(): void {
    if (this.#closed || this.#scheduled !== undefined) return;
    this.#scheduled = setImmediate(() => {
      this.#scheduled = undefined;
      this.#round();
    });
  }

  /** No further rounds; assignments already launched are not touched. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearImmediate(this.#scheduled);
    this.#scheduled = undefined;
  }

  #round(): void {
    const { scheduler, launch, perform, beforeAssign, newAttemptId, onRound } = this.#options;
    const started = performance.now();
    const now = this.#now();
    perform(scheduler.advance(now, this.#random));
    beforeAssign?.();
    const assignments = scheduler.assign(now, newAttemptId);
    for (const assignment of assignments) launch(assignment);
    const ended = performance.now();
    onRound?.({
      assigned: assignments.length,
      milliseconds: ended - started,
      waitedMs: started - this.#idleSince,
    });
    this.#idleSince = ended;
    this.#sleep(now);
  }

  #sleep(now: number): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    const event = this.#options.scheduler.nextEventAt();
    const safety = this.#options.safetyIntervalMs();
    const waits = [event === undefined ? undefined : event - now, safety].filter((ms) => ms !== undefined);
    if (waits.length === 0) return;
    const wait = Math.min(longestTimeoutMs, Math.max(1, Math.min(...waits)));
    this.#timer = setTimeout(() => this.trigger(), wait);
  }
}

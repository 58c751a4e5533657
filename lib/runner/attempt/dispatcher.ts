/**
 * Turns the scheduler's choices into work.
 *
 * A round is synchronous: timers that ran out, builds to adopt, then every assignment that is possible now. All I/O
 * starts after the choice, for all assignments side by side. Between rounds it sleeps until a change triggers it or the
 * scheduler's earliest event is due; it does not poll, except for an optional safety timer.
 */
import { performance } from "node:perf_hooks";
import type { TaskGroup } from "../../async/index.js";
import type { AttemptId, MachineId, StepId } from "../../scheduler/ids.js";
import type { Metrics } from "../../status/index.js";
import type { DispatchRounds, RunningScheduler } from "../state/running-scheduler.js";
import type { Adoption } from "./adoption.js";
import type { AttemptLauncher } from "./launcher.js";

/** What a dispatcher works with. */
export interface DispatcherOptions {
  readonly scheduler: RunningScheduler;
  readonly adoption: Adoption;
  readonly launcher: AttemptLauncher;
  readonly tasks: TaskGroup;
  readonly metrics: Metrics;
  /** A new identifier for an attempt at a step on a machine. */
  readonly newAttemptId: (step: StepId, machine: MachineId) => AttemptId;
  /** False while a start could not be recorded: a round then assigns nothing. What ends that requests a round. */
  readonly mayStart: () => boolean;
  /** Milliseconds between rounds that nothing asked for; undefined = none. Read before each wait. */
  readonly safetyIntervalMs: () => number | undefined;
}

/** Node's timers cannot wait longer than this; a longer wait is cut and simply finds nothing to do. */
const longestTimeoutMs = 2_000_000_000;

/** Runs the dispatch rounds. */
export class Dispatcher implements DispatchRounds {
  readonly #scheduler: RunningScheduler;
  readonly #adoption: Adoption;
  readonly #launcher: AttemptLauncher;
  readonly #tasks: TaskGroup;
  readonly #metrics: Metrics;
  readonly #newAttemptId: DispatcherOptions["newAttemptId"];
  readonly #mayStart: () => boolean;
  readonly #safetyIntervalMs: () => number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #scheduled: NodeJS.Immediate | undefined;
  #closed = false;
  #idleSince = performance.now();

  constructor(options: DispatcherOptions) {
    this.#scheduler = options.scheduler;
    this.#adoption = options.adoption;
    this.#launcher = options.launcher;
    this.#tasks = options.tasks;
    this.#metrics = options.metrics;
    this.#newAttemptId = options.newAttemptId;
    this.#mayStart = options.mayStart;
    this.#safetyIntervalMs = options.safetyIntervalMs;
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
    const started = performance.now();
    this.#scheduler.advance();
    this.#adoption.adoptWanted();
    const assignments = this.#mayStart() ? this.#scheduler.assign(this.#newAttemptId) : [];
    for (const assignment of assignments) {
      this.#tasks.start(() => this.#launcher.launch(assignment));
    }
    const ended = performance.now();
    const milliseconds = ended - started;
    this.#metrics.add("dispatcherWakeups");
    this.#metrics.add("dispatchMs", milliseconds);
    this.#metrics.add("dispatcherRunningUs", milliseconds * 1000);
    this.#metrics.add("dispatcherWaitingUs", (started - this.#idleSince) * 1000);
    this.#idleSince = ended;
    this.#sleep();
  }

  #sleep(): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    const event = this.#scheduler.view.nextEventAt();
    const untilEvent = event === undefined ? undefined : event - this.#scheduler.now();
    const waits = [untilEvent, this.#safetyIntervalMs()].filter((ms) => ms !== undefined);
    if (waits.length === 0) return;
    const wait = Math.min(longestTimeoutMs, Math.max(1, Math.min(...waits)));
    this.#timer = setTimeout(() => this.trigger(), wait);
  }
}

/** What happens to steps, as events. */
import { derivationName } from "../../nix/path/store-path.js";
import type { StepStatus } from "../../rpc/types.js";
import type { BuildId, StepId } from "../../scheduler/ids.js";
import type { EventEmitter, EventStep, EventTimes, EventTry } from "../events/index.js";
import type { RunnerSinks } from "../sinks.js";
import type { Attempt } from "../state/attempts.js";
import type { BuildRegistry } from "../state/build-registry.js";
import { type BuildReport, resourcesOf } from "../state/build-report.js";
import { drvOf } from "../state/derivation-catalog.js";
import type { SettledCompletion, SettledFailure } from "../state/running-scheduler.js";
import type { MachineEvents } from "./machine-events.js";

/** What step events are made from. */
export interface StepEventsOptions {
  readonly events: EventEmitter;
  readonly registry: Pick<BuildRegistry, "get">;
  readonly machines: Pick<MachineEvents, "hostnameOf">;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Does not throw. Default: nothing is traced. */
  readonly traceOrder?: RunnerSinks["traceOrder"];
}

/** How an attempt ended, as far as its builder or the runner can tell. */
export interface EndingFacts {
  /** Absent when the builder did not report. */
  readonly report?: BuildReport | undefined;
  /** The builder's words, or the runner's, where they are better than the scheduler's reason. */
  readonly error?: string | undefined;
}

/** Emits the events of steps. */
export class StepEvents {
  readonly #events: EventEmitter;
  readonly #registry: StepEventsOptions["registry"];
  readonly #machines: StepEventsOptions["machines"];
  readonly #now: () => number;
  readonly #traceOrder: StepEventsOptions["traceOrder"];

  constructor({ events, registry, machines, now, traceOrder }: StepEventsOptions) {
    this.#events = events;
    this.#registry = registry;
    this.#machines = machines;
    this.#now = now;
    this.#traceOrder = traceOrder;
  }

  /** The order is on its way, or the attempt was adopted. */
  started(attempt: Attempt): void {
    const at = this.#now();
    const adopted = attempt.adopted === true;
    const waitedMs = adopted ? 0 : Math.max(0, at - attempt.assignment.runnableSince);
    this.#events.emit({ type: "stepStarted", at, ...this.#tryOf(attempt), waitedMs, adopted });
  }

  progress(attempt: Attempt, phase: StepStatus): void {
    this.#events.emit({ type: "stepProgress", at: this.#now(), ...this.#tryOf(attempt), phase });
  }

  /** The scheduler has decided what follows from the end of an attempt; its builds may have left the scheduler. */
  ended(attempt: Attempt | undefined, completion: SettledCompletion, facts: EndingFacts = {}): void {
    if (attempt === undefined) {
      this.#endedBefore(completion, facts);
      return;
    }
    const at = this.#now();
    const started = attempt.sent;
    const times = timesOf(attempt, facts.report, at);
    const used = facts.report === undefined ? undefined : resourcesOf(facts.report);
    const resources = used === undefined ? {} : { resources: used };
    const traceparent = facts.report?.traceparent;
    const traced = traceparent === undefined ? {} : { traceparent };
    switch (completion.kind) {
      case "stale":
        return;
      case "retry": {
        const { reason, at: retryAt, counts } = completion;
        this.#events.emit({
          type: "stepRetried",
          at,
          ...this.#tryOf(attempt),
          reason: facts.error ?? reason,
          retryAt,
          counts,
          started,
          times,
          ...resources,
          ...traced,
        });
        return;
      }
      case "finished":
      case "cancelled":
      case "failed": {
        const { machine, try: tries, ...step } = this.#tryOf(attempt);
        const reason = completion.kind === "failed" ? (facts.error ?? completion.reason) : undefined;
        this.#events.emit({
          type: "stepFinished",
          at,
          ...step,
          outcome: outcomeOf(completion),
          ...(reason === undefined ? {} : { reason }),
          tries,
          started,
          machine,
          times,
          ...resources,
          ...traced,
        });
        return;
      }
    }
  }

  /** A machine was chosen, but the attempt could not begin: its derivation cannot be read, or it was not adopted. */
  #endedBefore(completion: SettledCompletion, { error }: EndingFacts): void {
    if (completion.kind === "failed") this.failed(completion, "unknown", error ?? completion.reason);
    if (completion.kind !== "retry") return;
    const { step, ended, tries, counts, reason, at: retryAt } = completion;
    const at = this.#now();
    this.#events.emit({
      type: "stepRetried",
      at,
      ...this.#stepOf(step, "unknown", ended.build, []),
      machine: { id: ended.machine, hostname: this.#machines.hostnameOf(ended.machine) },
      try: counts ? tries : tries + 1,
      reason: error ?? reason,
      retryAt,
      counts,
      started: false,
      times: { startedAt: ended.startedAt, stoppedAt: at },
    });
  }

  /** The outcome that `ended` announced is in the database. */
  recorded(attempt: Attempt): void {
    const at = this.#now();
    const ms = Math.max(0, at - (attempt.endedAt ?? at));
    this.#events.emit({ type: "stepRecorded", at, ...this.#tryOf(attempt), ms });
  }

  /** What the attempt's order carries for its builder to trace in; see `RunnerSinks.traceOrder`. */
  traceOf(attempt: Attempt): string | undefined {
    return this.#traceOrder?.({ ...this.#tryOf(attempt), attempt: attempt.id });
  }

  /** A step failed without an attempt. */
  failed(failure: SettledFailure, system: string, reason: string | undefined): void {
    const ownBuilds = failure.builds.filter(({ own }) => own).map(({ id }) => id);
    this.#events.emit({
      type: "stepFinished",
      at: this.#now(),
      ...this.#stepOf(failure.step, system, failure.build, ownBuilds),
      outcome: outcomeOf(failure),
      ...(reason === undefined ? {} : { reason }),
      tries: failure.tries,
      started: false,
    });
  }

  #tryOf(attempt: Attempt): EventTry {
    const { assignment, facts, machine: id, hostname } = attempt;
    return {
      ...this.#stepOf(assignment.step, facts.system, assignment.build, assignment.ownBuilds),
      machine: { id, hostname },
      try: assignment.tries + 1,
    };
  }

  #stepOf(
    step: StepId,
    system: string,
    build: BuildId | undefined,
    ownBuilds: readonly BuildId[],
  ): EventStep {
    const drv = drvOf(step);
    const row = build === undefined ? undefined : this.#registry.get(build);
    return {
      drv,
      name: derivationName(drv),
      system,
      ...(build === undefined ? {} : { build }),
      ...(row === undefined ? {} : { project: row.project, jobset: row.jobsetName, job: row.job }),
      ownBuilds,
    };
  }
}

type Ending = Extract<SettledCompletion, { readonly kind: "finished" | "cancelled" | "failed" }>;

function outcomeOf(completion: Ending) {
  switch (completion.kind) {
    case "finished":
      return { kind: "succeeded" } as const;
    case "cancelled":
      return { kind: "cancelled", wantedAgain: completion.wantedAgain } as const;
    case "failed":
      return { kind: "failed", status: completion.status, builds: completion.builds.length } as const;
  }
}

function timesOf(attempt: Attempt, report: BuildReport | undefined, now: number): EventTimes {
  const { startedAt, endedAt = now } = attempt;
  if (report === undefined) return { startedAt, stoppedAt: endedAt };
  const { importMs, buildMs, uploadMs } = report;
  return { startedAt, stoppedAt: endedAt, importMs, buildMs, uploadMs };
}

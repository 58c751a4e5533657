/** What the runner counts: the process-wide metrics, and sums for each machine since it joined. Steps, builds and machines are counted by their events. */
import { failureStatus } from "../../scheduler/types.js";
import type { Metrics, StepTimes } from "../../status/index.js";
import type { EventBus, StepFinished, StepRetried } from "../events/index.js";

const noTimes: StepTimes = { totalMs: 0, importMs: 0, buildMs: 0, uploadMs: 0 };

/** The metrics of a runner, and the sums of its machines. */
export class RunnerCounters {
  /** For what is counted without an event. */
  readonly metrics: Metrics;
  /** By the id of the machine. */
  readonly #times = new Map<string, StepTimes>();

  constructor(metrics: Metrics, events: Pick<EventBus, "on">) {
    this.metrics = metrics;
    events.on("stepStarted", ({ system, waitedMs, adopted }) => {
      if (adopted) return;
      metrics.add("stepsStarted");
      metrics.observeWait(system, waitedMs / 1000);
    });
    events.on("stepFinished", (event) => {
      const { outcome, machine } = event;
      this.#tryEnded(event);
      if (outcome.kind === "cancelled") metrics.add("abortedJobs");
      if (machine === undefined && outcome.kind === "failed" && outcome.status === failureStatus.unsupported)
        metrics.add("unsupportedStepsAborted");
    });
    events.on("stepRetried", (event) => {
      this.#tryEnded(event);
      metrics.add("retries");
      metrics.noteTries(event.counts ? event.try : event.try - 1);
    });
    events.on("buildFinished", () => metrics.add("buildsFinished"));
    events.on("machineLeft", ({ machine }) => {
      metrics.add("machinesLost");
      this.#times.delete(machine.id);
    });
  }

  timesOf(machine: string): StepTimes {
    return this.#times.get(machine) ?? noTimes;
  }

  /** A try that never reached its machine is not counted. */
  #tryEnded(event: StepFinished | StepRetried): void {
    if (!event.started) return;
    const { metrics } = this;
    const succeeded = event.type === "stepFinished" && event.outcome.kind === "succeeded";
    metrics.add("stepsFinished");
    metrics.add(succeeded ? "stepsSucceeded" : "stepsFailed");
    if (event.times?.importMs !== undefined) this.#reported(event, succeeded);
  }

  #reported({ at, system, machine, times, resources }: StepFinished | StepRetried, succeeded: boolean): void {
    if (machine === undefined || times === undefined) return;
    const { metrics } = this;
    const { startedAt, importMs = 0, buildMs = 0, uploadMs = 0 } = times;
    const totalMs = Math.max(0, at - startedAt);
    metrics.add("stepTotalMs", totalMs);
    metrics.add("stepImportMs", importMs);
    metrics.add("stepBuildMs", buildMs);
    metrics.add("stepUploadMs", uploadMs);
    metrics.observeStep(system, succeeded ? "succeeded" : "failed", totalMs / 1000);
    if (resources !== undefined) metrics.observeResources(system, resources);
    const before = this.timesOf(machine.id);
    this.#times.set(machine.id, {
      totalMs: before.totalMs + totalMs,
      importMs: before.importMs + importMs,
      buildMs: before.buildMs + buildMs,
      uploadMs: before.uploadMs + uploadMs,
    });
  }
}

/** What the runner counts: the process-wide metrics, and sums for each machine since it joined. */
import type { MachineId } from "../../scheduler/ids.js";
import type { Metrics, StepTimes } from "../../status/index.js";
import type { Attempt } from "./attempts.js";
import { type BuildReport, resourcesOf } from "./build-report.js";

const noTimes: StepTimes = { totalMs: 0, importMs: 0, buildMs: 0, uploadMs: 0 };

/** Counts steps, for the process and for each machine. */
export class RunnerCounters {
  readonly metrics: Metrics;
  readonly #times = new Map<MachineId, StepTimes>();

  constructor(metrics: Metrics) {
    this.metrics = metrics;
  }

  stepStarted(attempt: Attempt, now: number): void {
    this.metrics.add("stepsStarted");
    this.metrics.observeWait(attempt.facts.system, (now - attempt.assignment.runnableSince) / 1000);
  }

  /** A builder reported; `succeeded` is what the runner made of it. */
  stepReported(report: BuildReport, attempt: Attempt, succeeded: boolean, now: number): void {
    const totalMs = Math.max(0, now - attempt.startedAt);
    this.metrics.add("stepsFinished");
    this.metrics.add(succeeded ? "stepsSucceeded" : "stepsFailed");
    this.metrics.add("stepTotalMs", totalMs);
    this.metrics.add("stepImportMs", report.importMs);
    this.metrics.add("stepBuildMs", report.buildMs);
    this.metrics.add("stepUploadMs", report.uploadMs);
    this.metrics.observeStep(attempt.facts.system, succeeded ? "succeeded" : "failed", totalMs / 1000);
    const used = resourcesOf(report);
    if (used !== undefined) this.metrics.observeResources(attempt.facts.system, used);
    const before = this.#times.get(attempt.machine) ?? noTimes;
    this.#times.set(attempt.machine, {
      totalMs: before.totalMs + totalMs,
      importMs: before.importMs + report.importMs,
      buildMs: before.buildMs + report.buildMs,
      uploadMs: before.uploadMs + report.uploadMs,
    });
  }

  /** An attempt ended without a report of its builder. */
  stepLost(): void {
    this.metrics.add("stepsFinished");
    this.metrics.add("stepsFailed");
  }

  retried(tries: number): void {
    this.metrics.add("retries");
    this.metrics.noteTries(tries);
  }

  timesOf(machine: MachineId): StepTimes {
    return this.#times.get(machine) ?? noTimes;
  }

  machineLeft(machine: MachineId): void {
    this.#times.delete(machine);
  }
}

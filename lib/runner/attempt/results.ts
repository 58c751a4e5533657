/**
 * How an attempt ends: a report of the builder, a lost machine, a deadline, a cancel.
 *
 * Every end takes the same road: the scheduler is told first (it fences by attempt id and says what follows), then
 * the row and all builds that it decides are recorded in one transaction. Builds under way to the database are fenced
 * off from the queue monitor, and recording is retried until the database accepts it, so that nothing is said twice
 * and nothing is lost.
 */

import { atMost, TaskGroup } from "../../async/index.js";
import { machineLeftMessage } from "../../database/queries/earlier-tries.js";
import { stepStatus } from "../../database/status-numbers.js";
import { errorChain } from "../../errors.js";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { BuiltOutput } from "../../rpc/types.js";
import type { SchedulerApi } from "../../scheduler/api.js";
import type { AttemptId, BuildId } from "../../scheduler/ids.js";
import type {
  AttemptOutcome,
  Completion,
  DynamicContinuation,
  FailedCompletion,
  FinishedCompletion,
} from "../../scheduler/types.js";
import { RunnerError } from "../errors.js";
import type { Publication } from "../outputs/uploads.js";
import type { Recorder } from "../recording/recorder.js";
import type { Attempt, AttemptRegistry, StepRow } from "../state/attempts.js";
import { type BuildReport, outcomeOf, summarise } from "../state/build-report.js";
import type { RunnerCounters } from "../state/counters.js";
import type { DerivationCatalog } from "../state/derivation-catalog.js";
import type { RunnerStore } from "../state/runner-store.js";
import { wantingJobsets } from "../state/wanting-jobsets.js";
import { checkOutputsPatiently, type OutputCheckOptions } from "./output-check.js";

export interface ResultsOptions {
  readonly scheduler: SchedulerApi;
  readonly attempts: AttemptRegistry;
  readonly store: RunnerStore;
  readonly catalog: DerivationCatalog;
  readonly recorder: Recorder;
  readonly counters: RunnerCounters;
  readonly logger: Logger;
  readonly now: () => number;
  readonly random: () => number;
  /** Makes outputs safe and public; resolves when builds that need them may be called done. */
  readonly publish: (publication: Publication) => Promise<void>;
  readonly onChange: () => void;
  /** The log of an attempt will not change any more. */
  readonly onLogComplete: (drv: StorePath) => Promise<void>;
  /** Outputs that the cache lacks although a builder that uploads for itself reports success. */
  readonly unpublished: OutputCheckOptions["unpublished"];
  /** An attempt that reached its machine is over; its log is complete on disk. */
  readonly onOver: (attempt: Attempt, row: StepRow | undefined, kind: Completion["kind"]) => void;
  /** A built output named a derivation that a dependent waits for. */
  readonly onDynamic: (continuation: DynamicContinuation, drv: StorePath) => void;
  /** Outputs that only the build could tell, for the steps that are resolved with them. */
  readonly onOutputs: (drv: StorePath, outputs: ReadonlyMap<string, StorePath>) => void;
}

/** How long a log may go on arriving after its attempt has ended. */
const logGraceMs = 5_000;
/** How long an answer is remembered for a builder that did not hear it. */
const answerMemoryMs = 10 * 60_000;

export class Results {
  readonly #options: ResultsOptions;
  readonly #answers = new Map<AttemptId, Promise<void>>();
  readonly #publishing = new Set<StorePath>();
  /** Reports on their way into the database. Who sent one hears of its errors. */
  readonly #taking = new TaskGroup(() => {});

  constructor(options: ResultsOptions) {
    this.#options = options;
  }

  /**
   * A builder's report. Resolves when it is recorded; a repeated report gets the answer of the first.
   *
   * @throws RunnerError `not-owner` when the attempt is not (or no longer) the sender's
   */
  report(report: BuildReport): Promise<void> {
    const known = this.#answers.get(report.attempt);
    if (known !== undefined) return known;
    const attempt = this.#options.attempts.of(report.machine, report.attempt);
    if (attempt === undefined) {
      return Promise.reject(
        new RunnerError("not-owner", `attempt ${report.attempt} is not running on machine ${report.machine}`),
      );
    }
    const answer = this.#take(attempt, report);
    this.#answers.set(report.attempt, answer);
    const forget = setTimeout(() => this.#answers.delete(report.attempt), answerMemoryMs);
    forget.unref();
    answer.catch(() => {});
    this.#taking.start(() => answer);
    return answer;
  }

  /** The step is built, but its outputs are still on their way to the caches and its result to the database. */
  isPublishing(drv: StorePath): boolean {
    return this.#publishing.has(drv);
  }

  /** Resolves when every report that was taken is recorded, or after `timeoutMs`; false then. */
  recorded(timeoutMs: number): Promise<boolean> {
    return this.#taking.drained(timeoutMs);
  }

  /** An attempt that ended without a report; the scheduler has decided already what follows. */
  async ended(attemptId: AttemptId, completion: Completion, error?: string): Promise<void> {
    const attempt = this.#options.attempts.get(attemptId);
    this.#options.attempts.remove(attemptId);
    if (attempt !== undefined) attempt.endedAt ??= this.#options.now();
    if (attempt?.sent === true) this.#options.counters.stepLost();
    const unsent = attempt?.sent === false ? machineLeftMessage : undefined;
    await this.#record(attempt, completion, { error: error ?? unsent, overheadMs: 0, outputs: new Map() });
  }

  /** Ends an attempt from our side: an order that could not be sent, inputs that cannot be resolved, a cancel. */
  async end(attempt: Attempt, outcome: AttemptOutcome, error?: string): Promise<void> {
    const { scheduler, now, random, onChange } = this.#options;
    const completion = scheduler.complete(attempt.id, outcome, now(), random);
    onChange();
    await this.ended(attempt.id, completion, error);
  }

  /** A step that failed without an attempt: no machine can run it. */
  async unsupported(completion: FailedCompletion, system: string): Promise<void> {
    const error = `unsupported system type '${system}'`;
    await this.#record(undefined, completion, { error, overheadMs: 0, outputs: new Map() });
  }

  async #take(attempt: Attempt, report: BuildReport): Promise<void> {
    const { scheduler, attempts, now, random, counters, logger, onChange } = this.#options;
    attempt.endedAt = now();
    scheduler.buildEnded(attempt.id, attempt.endedAt);
    onChange();
    let outcome = outcomeOf(report);
    let error = report.error;
    let toUpload: readonly StorePath[] = [];
    if (outcome.kind === "succeeded") {
      try {
        const isWanted = (): boolean => attempts.get(attempt.id) !== undefined;
        toUpload = await checkOutputsPatiently(this.#options, attempt, report.outputs, isWanted);
      } catch (cause) {
        error = errorChain(cause);
        outcome = {
          kind: "retryable",
          reason: error,
          blame: cause instanceof RunnerError ? "machine" : "other",
        };
        logger.warn("report of success refused", { drv: attempt.drv, host: attempt.hostname, error: cause });
      }
    }
    const succeeded = outcome.kind === "succeeded";
    const wantedBy = wantingJobsets(scheduler, attempt.assignment.step);
    counters.stepReported(report, attempt, succeeded, now());
    if (succeeded) this.#options.onOutputs(attempt.drv, pathsOf(report.outputs));
    const completion = scheduler.complete(attempt.id, outcome, now(), random);
    attempts.remove(attempt.id);
    onChange();
    await this.#record(attempt, completion, {
      error: succeeded ? undefined : error,
      overheadMs: report.importMs + report.uploadMs,
      outputs: report.outputs,
      toUpload,
      wantedBy,
    });
    if (completion.kind === "stale") {
      throw new RunnerError("not-owner", `step ${attempt.drv} belongs to another machine by now`);
    }
  }

  async #record(
    attempt: Attempt | undefined,
    completion: Completion,
    details: {
      readonly error: string | undefined;
      readonly overheadMs: number;
      readonly outputs: ReadonlyMap<string, BuiltOutput>;
      readonly toUpload?: readonly StorePath[];
      readonly wantedBy?: readonly string[];
    },
  ): Promise<void> {
    const { recorder, counters } = this.#options;
    const builds = buildsOf(completion);
    recorder.hold(builds);
    const publishing = completion.kind === "finished" ? attempt?.drv : undefined;
    if (publishing !== undefined) this.#publishing.add(publishing);
    try {
      const row = await this.#rowOf(attempt);
      if (attempt !== undefined) await this.#finishLog(attempt);
      if (attempt?.sent === true) this.#options.onOver(attempt, row, completion.kind);
      switch (completion.kind) {
        case "finished":
          await this.#recordFinished(attempt, row, completion, details);
          break;
        case "failed":
          await this.#recordFailed(attempt, row, completion, details);
          break;
        case "retry":
          counters.retried(completion.tries);
          if (attempt !== undefined && row !== undefined) {
            const error = details.error ?? undefined;
            await recorder.stepEnded(attempt, row, {
              status: stepStatus.aborted,
              error,
              overheadMs: details.overheadMs,
            });
          }
          break;
        case "cancelled":
          if (attempt !== undefined && row !== undefined) {
            await recorder.stepEnded(attempt, row, {
              status: stepStatus.cancelled,
              error: undefined,
              overheadMs: 0,
            });
          }
          break;
        case "stale":
          if (attempt !== undefined && row !== undefined) await recorder.orphanRow(row, stepStatus.aborted);
          break;
      }
    } finally {
      if (publishing !== undefined) this.#publishing.delete(publishing);
      recorder.release(builds);
    }
  }

  /** Whoever hears that a step is over may read its log, so the log has to be complete by then. */
  async #finishLog(attempt: Attempt): Promise<void> {
    if (attempt.log === undefined) return;
    await atMost(attempt.log, logGraceMs);
    await this.#options.onLogComplete(attempt.drv);
  }

  async #recordFinished(
    attempt: Attempt | undefined,
    row: StepRow | undefined,
    completion: FinishedCompletion,
    details: {
      readonly overheadMs: number;
      readonly outputs: ReadonlyMap<string, BuiltOutput>;
      readonly toUpload?: readonly StorePath[];
      readonly wantedBy?: readonly string[];
    },
  ): Promise<void> {
    const { recorder, publish, onDynamic } = this.#options;
    for (const continuation of completion.dynamic) {
      const output = continuation.chain.at(-1);
      const drv = output === undefined ? undefined : details.outputs.get(output)?.path;
      if (drv !== undefined) onDynamic(continuation, drv);
    }
    if (attempt === undefined || row === undefined) return;
    await publish({
      attempt,
      outputs: pathsOf(details.outputs),
      toUpload: details.toUpload ?? [],
      wantedBy: details.wantedBy ?? attempt.jobsets,
      finishesBuilds: completion.ownBuilds.length > 0,
    });
    await recorder.stepSucceeded(attempt, row, {
      overheadMs: details.overheadMs,
      outputs: details.outputs,
      summary: summarise(details.outputs),
      builds: completion.ownBuilds,
      accounted: attempt.assignment.build,
    });
  }

  async #recordFailed(
    attempt: Attempt | undefined,
    row: StepRow | undefined,
    completion: FailedCompletion,
    details: { readonly error: string | undefined; readonly overheadMs: number },
  ): Promise<void> {
    const facts =
      attempt?.facts ?? (await this.#options.catalog.facts(completion.step as unknown as StorePath));
    await this.#options.recorder.stepFailed({
      attempt,
      row,
      facts,
      status: completion.status,
      error: details.error ?? completion.reason,
      overheadMs: details.overheadMs,
      accounted: attempt?.assignment.build ?? completion.build,
      builds: completion.builds,
    });
  }

  /** The row of the attempt, or undefined when none was (or could be) written. */
  async #rowOf(attempt: Attempt | undefined): Promise<StepRow | undefined> {
    try {
      return await attempt?.row;
    } catch {
      return undefined;
    }
  }
}

function pathsOf(outputs: ReadonlyMap<string, BuiltOutput>): Map<string, StorePath> {
  return new Map([...outputs].map(([name, output]) => [name, output.path]));
}

function buildsOf(completion: Completion): readonly BuildId[] {
  switch (completion.kind) {
    case "finished":
      return completion.ownBuilds;
    case "failed":
      return completion.builds.map((build) => build.id);
    case "retry":
    case "cancelled":
    case "stale":
      return [];
  }
}

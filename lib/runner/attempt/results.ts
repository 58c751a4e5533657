/**
 * How an attempt ends: a report of the builder, a lost machine, a deadline, a cancel.
 *
 * Every end takes the same road. The scheduler hears of it first: it fences by attempt id and decides what follows.
 * `AttemptEndings` then records that.
 */

import { TaskGroup } from "../../async/index.js";
import { machineLeftMessage } from "../../database/queries/earlier-tries.js";
import { errorChain } from "../../errors.js";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { BuiltOutput } from "../../rpc/types.js";
import type { AttemptId, MachineId } from "../../scheduler/ids.js";
import { type AttemptOutcome, type Evidence, failureStatus } from "../../scheduler/types.js";
import { RunnerError } from "../errors.js";
import type { Attempt, AttemptRegistry } from "../state/attempts.js";
import { type BuildReport, outcomeOf, outputPathsOf, resourcesOf } from "../state/build-report.js";
import { answerMemoryMs } from "../state/machine-owners.js";
import type { RunningScheduler, SettledCompletion, SettledFailure } from "../state/running-scheduler.js";
import { wantingJobsets } from "../state/wanting-jobsets.js";
import { type AttemptEndings, unreported } from "./attempt-endings.js";
import type { OutcomeListener } from "./built-outputs.js";
import { checkOutputsWhileWanted, type OutputCheckRetries } from "./output-check.js";
import type { StepEvents } from "./step-events.js";

/** What results work with. */
export interface ResultsOptions {
  readonly scheduler: RunningScheduler;
  readonly attempts: AttemptRegistry;
  readonly outputCheck: OutputCheckRetries;
  readonly endings: AttemptEndings;
  readonly listener: OutcomeListener;
  readonly stepEvents: StepEvents;
  readonly logger: Logger;
}

/** An answer that is remembered for a builder that did not get it. */
interface RememberedAnswer {
  readonly machine: MachineId;
  /** A machine that was lost may bring the same build again: then it is another attempt, with a report of its own. */
  readonly attempt: Attempt;
  readonly answer: Promise<void>;
}

/** A report of success after its outputs were checked. */
type Judged =
  | { readonly kind: "accepted"; readonly outcome: AttemptOutcome; readonly toUpload: readonly StorePath[] }
  | { readonly kind: "refused"; readonly outcome: AttemptOutcome; readonly error: string };

/** Ends attempts. */
export class Results {
  readonly #scheduler: RunningScheduler;
  readonly #attempts: AttemptRegistry;
  readonly #outputCheck: OutputCheckRetries;
  readonly #endings: AttemptEndings;
  readonly #listener: OutcomeListener;
  readonly #stepEvents: StepEvents;
  readonly #logger: Logger;
  readonly #answers = new Map<AttemptId, RememberedAnswer>();
  /** Reports on their way into the database. Their senders get the errors. */
  readonly #taking = new TaskGroup(() => {});

  constructor(options: ResultsOptions) {
    this.#scheduler = options.scheduler;
    this.#attempts = options.attempts;
    this.#outputCheck = options.outputCheck;
    this.#endings = options.endings;
    this.#listener = options.listener;
    this.#stepEvents = options.stepEvents;
    this.#logger = options.logger;
  }

  /**
   * A builder's report. Resolves when it is recorded; a repeated report gets the answer of the first.
   *
   * @throws RunnerError `not-owner` when the attempt is not (or no longer) the sender's
   */
  report(report: BuildReport): Promise<void> {
    const known = this.#answers.get(report.attempt);
    const attempt = this.#attempts.of(report.machine, report.attempt);
    const isRepeated = attempt === undefined || attempt === known?.attempt;
    if (known?.machine === report.machine && isRepeated) return known.answer;
    if (attempt === undefined) {
      return Promise.reject(new RunnerError("not-owner", "no such build runs on this machine"));
    }
    const answer = this.#take(attempt, report);
    const remembered = { machine: report.machine, attempt, answer };
    this.#answers.set(report.attempt, remembered);
    const forget = (): void => {
      if (this.#answers.get(report.attempt) === remembered) this.#answers.delete(report.attempt);
    };
    setTimeout(forget, answerMemoryMs).unref();
    // A failure of our own is not remembered as the answer: the report may be taken when it comes again.
    answer.catch((error: unknown) => {
      if (!(error instanceof RunnerError)) forget();
    });
    this.#taking.start(() => answer);
    return answer;
  }

  /** Resolves when every report that was taken is recorded, or after `timeoutMs`; false then. */
  recorded(timeoutMs: number): Promise<boolean> {
    return this.#taking.drained(timeoutMs);
  }

  /** An attempt that ended without a report; the scheduler has decided already what follows. */
  async ended(attemptId: AttemptId, completion: SettledCompletion, error?: string): Promise<void> {
    const attempt = this.#attempts.get(attemptId);
    this.#attempts.remove(attemptId);
    if (attempt !== undefined) attempt.endedAt ??= this.#scheduler.now();
    const unsent = attempt?.sent === false ? machineLeftMessage : undefined;
    this.#stepEvents.ended(attempt, completion, { error });
    await this.#endings.record(attempt, completion, unreported(error ?? unsent));
    if (attempt !== undefined && completion.kind !== "stale") this.#stepEvents.recorded(attempt);
  }

  /** Ends an attempt from our side: an order that could not be sent, inputs that cannot be resolved, a cancel. */
  async end(attempt: Attempt, outcome: AttemptOutcome, error?: string): Promise<void> {
    await this.ended(attempt.id, this.#scheduler.complete(attempt.id, outcome), error);
  }

  /** A step that failed without an attempt: no machine can run it. */
  async unsupported(failure: SettledFailure, system: string): Promise<void> {
    const reason = `unsupported system type '${system}'`;
    this.#stepEvents.failed(failure, system, reason);
    await this.#endings.record(undefined, failure, unreported(reason));
  }

  async #take(attempt: Attempt, report: BuildReport): Promise<void> {
    attempt.endedAt = this.#scheduler.now();
    this.#scheduler.buildEnded(attempt.id);
    const judged = await this.#judge(attempt, report);
    const { outcome } = judged;
    const succeeded = outcome.kind === "succeeded";
    const wantedBy = wantingJobsets(this.#scheduler.view, attempt.assignment.step);
    // An attempt that ended while its outputs were checked proves nothing, nor does it speak for one that has its id now.
    const current = this.#attempts.get(attempt.id) === attempt;
    const toUpload = judged.kind === "accepted" ? judged.toUpload : [];
    if (succeeded && current) this.#listener.built(attempt, outputPathsOf(report.outputs), toUpload);
    const completion: SettledCompletion = current
      ? this.#scheduler.complete(attempt.id, outcome)
      : { kind: "stale" };
    if (current) this.#attempts.remove(attempt.id);
    const refusal = judged.kind === "refused" ? judged.error : report.error;
    this.#stepEvents.ended(attempt, completion, { report, error: succeeded ? undefined : refusal });
    await this.#endings.record(attempt, completion, {
      error: succeeded ? undefined : refusal,
      overheadMs: report.importMs + report.uploadMs,
      outputs: report.outputs,
      resources: resourcesOf(report),
      toUpload,
      wantedBy,
    });
    if (completion.kind === "stale") {
      throw new RunnerError("not-owner", `step ${attempt.drv} belongs to another machine by now`);
    }
    this.#stepEvents.recorded(attempt);
  }

  /** What a report means, and whether the outputs of a reported success are what was asked for. */
  async #judge(attempt: Attempt, report: BuildReport): Promise<Judged> {
    const outcome = outcomeOf(report);
    if (outcome.kind !== "succeeded") return { kind: "accepted", outcome, toUpload: [] };
    try {
      return { kind: "accepted", outcome, toUpload: await this.#checkOutputs(attempt, report.outputs) };
    } catch (cause) {
      const error = errorChain(cause);
      this.#logger.warn("report of success refused", {
        drv: attempt.drv,
        host: attempt.hostname,
        error: cause,
      });
      // Outputs that did not arrive may have been lost on their way, or here.
      const evidence: Evidence =
        cause instanceof RunnerError && cause.code === "output-mismatch"
          ? { says: "broken", fault: "falseReport" }
          : { says: "nothing" };
      const outcome = {
        kind: "retryable",
        reason: error,
        exhausted: failureStatus.aborted,
        evidence,
      } as const;
      return { kind: "refused", outcome, error };
    }
  }

  #checkOutputs(attempt: Attempt, outputs: ReadonlyMap<string, BuiltOutput>): Promise<readonly StorePath[]> {
    const isWanted = (): boolean => this.#attempts.get(attempt.id) === attempt;
    return checkOutputsWhileWanted(this.#outputCheck, attempt, outputs, isWanted);
  }
}

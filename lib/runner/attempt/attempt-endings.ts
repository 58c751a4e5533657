/**
 * The last stretch of an attempt: its log is finished, its outputs are published, and its row and all builds that it
 * decides are recorded in one transaction.
 *
 * Builds on their way to the database are fenced off from the queue monitor, and recording is retried until the database
 * accepts it, so that nothing is recorded twice and nothing is lost.
 */

import { atMost, backoffDelay, retry } from "../../async/index.js";
import { stepStatus } from "../../database/status-numbers.js";
import { isShortage } from "../../errors.js";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { BuiltOutput } from "../../rpc/types.js";
import type { BuildId } from "../../scheduler/ids.js";
import type { StepResources } from "../events/index.js";
import type { Publisher } from "../outputs/publisher.js";
import type { Recorder } from "../recording/recorder.js";
import { troubleOf } from "../recording/retrying-transactions.js";
import type { StepCosts } from "../recording/step-costs.js";
import type { Attempt, StepRow } from "../state/attempts.js";
import { outputPathsOf, summarise } from "../state/build-report.js";
import { type DerivationCatalog, drvOf } from "../state/derivation-catalog.js";
import type { SettledCompletion, SettledFailure, SettledFinish } from "../state/running-scheduler.js";
import type { OutcomeListener } from "./built-outputs.js";

/** What endings work with. */
export interface AttemptEndingsOptions {
  readonly catalog: DerivationCatalog;
  readonly recorder: Recorder;
  /** Where it is kept what attempts used. Default: nowhere. */
  readonly costs?: Pick<StepCosts, "note"> | undefined;
  readonly publisher: Publisher;
  readonly listener: OutcomeListener;
  readonly logger: Logger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Aborts when nothing can be recorded any more. Default: never. */
  readonly stopped?: AbortSignal | undefined;
}

/** What is known of an attempt that is over, besides what the scheduler made of it. */
export interface EndingDetails {
  readonly error: string | undefined;
  /** Milliseconds of transfers; they do not count as time of the step. */
  readonly overheadMs: number;
  /** By output name; empty when there was no success. */
  readonly outputs: ReadonlyMap<string, BuiltOutput>;
  /** What the attempt used, where that is known. */
  readonly resources?: StepResources | undefined;
  /** Outputs that the runner has to upload; they are in its store. */
  readonly toUpload: readonly StorePath[];
  /** `project:jobset` of all who wanted the step at its end; undefined = those who wanted it at its start. */
  readonly wantedBy: readonly string[] | undefined;
}

/** Details of an attempt that ended without a report. */
export function unreported(error: string | undefined): EndingDetails {
  return { error, overheadMs: 0, outputs: new Map(), toUpload: [], wantedBy: undefined };
}

/** Compressing a log holds up its build for no longer than this. */
const logFinishMs = 30_000;
/** Pauses between tries to record an end that the database did not take. */
const firstPauseMs = 1_000;
const longestPauseMs = 60_000;
/** Tries for errors that are not known to pass; the last is more than ten minutes after the first. */
const doubtfulTries = 16;

/** How long a log may go on arriving after its attempt has ended. */
const logGraceMs = 5_000;

/** Records the ends of attempts. */
export class AttemptEndings {
  readonly #catalog: DerivationCatalog;
  readonly #recorder: Recorder;
  readonly #costs: AttemptEndingsOptions["costs"];
  readonly #publisher: Publisher;
  readonly #listener: OutcomeListener;
  readonly #logger: Logger;
  readonly #random: () => number;
  readonly #stopped: AbortSignal | undefined;
  readonly #publishing = new Set<StorePath>();

  constructor(options: AttemptEndingsOptions) {
    this.#catalog = options.catalog;
    this.#recorder = options.recorder;
    this.#costs = options.costs;
    this.#publisher = options.publisher;
    this.#listener = options.listener;
    this.#logger = options.logger;
    this.#random = options.random;
    this.#stopped = options.stopped;
  }

  /** The step is built, but its outputs are still on their way to the caches and its result to the database. */
  isPublishing(drv: StorePath): boolean {
    return this.#publishing.has(drv);
  }

  /**
   * Records what the scheduler has decided; call it in the same turn of the event loop, or the queue monitor may see
   * the builds in between. `attempt`: undefined when the step ended without one.
   */
  async record(
    attempt: Attempt | undefined,
    completion: SettledCompletion,
    details: EndingDetails,
  ): Promise<void> {
    const builds = buildsOf(completion);
    this.#recorder.hold(builds);
    const recorded = attempt && this.#recorder.expectEnd(attempt);
    const publishing = completion.kind === "finished" ? attempt?.drv : undefined;
    if (publishing !== undefined) this.#publishing.add(publishing);
    try {
      const row = await rowOf(attempt);
      if (row !== undefined) this.#costs?.note(row, details.resources);
      if (attempt !== undefined) await this.#finishLog(attempt);
      if (attempt?.sent === true) this.#publisher.attemptOver(attempt, row, completion.kind);
      await this.#write(attempt, row, completion, details);
    } finally {
      if (publishing !== undefined) this.#publishing.delete(publishing);
      recorded?.();
      this.#recorder.release(builds);
    }
  }

  /** Front-ends read the log as soon as a step is over, so it has to be complete by then. */
  async #finishLog(attempt: Attempt): Promise<void> {
    if (attempt.log === undefined) return;
    await atMost(attempt.log, logGraceMs);
    await atMost(this.#publisher.finishLog(attempt.drv), logFinishMs);
  }

  async #write(
    attempt: Attempt | undefined,
    row: StepRow | undefined,
    completion: SettledCompletion,
    details: EndingDetails,
  ): Promise<void> {
    switch (completion.kind) {
      case "finished":
        return this.#writeFinished(attempt, row, completion, details);
      case "failed":
        return this.#writeFailed(attempt, row, completion, details);
      case "retry":
        if (attempt === undefined || row === undefined) return;
        return this.#untilRecorded(() =>
          this.#recorder.stepEnded(attempt, row, {
            status: stepStatus.aborted,
            error: details.error,
            overheadMs: details.overheadMs,
          }),
        );
      case "cancelled":
        if (attempt === undefined || row === undefined) return;
        return this.#untilRecorded(() =>
          this.#recorder.stepEnded(attempt, row, {
            status: stepStatus.cancelled,
            error: undefined,
            overheadMs: 0,
          }),
        );
      case "stale":
        if (attempt === undefined || row === undefined) return;
        return this.#untilRecorded(() => this.#recorder.orphanRow(row, stepStatus.aborted));
    }
  }

  /**
   * The scheduler has forgotten the attempt by now, so an error here would leave its row busy until a restart.
   *
   * @throws what `work` throws when the runner does not own the database any more, or for an error that stays
   */
  #untilRecorded(work: () => Promise<void>): Promise<void> {
    return retry(work, {
      classify: (error) => (isShortage(error) ? "passing" : troubleOf(error)),
      delayMs: (failures) =>
        backoffDelay(failures, { firstMs: firstPauseMs, longestMs: longestPauseMs, random: this.#random }),
      budget: { doubtfulTries },
      signal: this.#stopped,
      ref: false,
      onRetry: ({ error, failures }) =>
        this.#logger.error("the end of a step could not be recorded; trying again", {
          tries: failures,
          error,
        }),
    });
  }

  async #writeFinished(
    attempt: Attempt | undefined,
    row: StepRow | undefined,
    completion: SettledFinish,
    details: EndingDetails,
  ): Promise<void> {
    for (const continuation of completion.dynamic) {
      const output = continuation.chain.at(-1);
      const drv = output === undefined ? undefined : details.outputs.get(output)?.path;
      if (drv !== undefined) this.#listener.dynamicInput(continuation, drv);
    }
    if (attempt === undefined || row === undefined) return;
    await this.#untilRecorded(() =>
      this.#publisher.publish({
        attempt,
        outputs: outputPathsOf(details.outputs),
        toUpload: details.toUpload,
        wantedBy: details.wantedBy ?? attempt.jobsets,
        finishesBuilds: completion.ownBuilds.length > 0,
      }),
    );
    await this.#untilRecorded(() =>
      this.#recorder.stepSucceeded(attempt, row, {
        overheadMs: details.overheadMs,
        outputs: details.outputs,
        summary: summarise(details.outputs),
        builds: completion.ownBuilds,
        accounted: attempt.assignment.build,
      }),
    );
  }

  async #writeFailed(
    attempt: Attempt | undefined,
    row: StepRow | undefined,
    completion: SettledFailure,
    details: EndingDetails,
  ): Promise<void> {
    await this.#untilRecorded(async () =>
      this.#recorder.stepFailed({
        attempt,
        row,
        facts: attempt?.facts ?? (await this.#catalog.facts(drvOf(completion.step))),
        status: completion.status,
        error: details.error ?? completion.reason,
        overheadMs: details.overheadMs,
        accounted: attempt?.assignment.build ?? completion.build,
        builds: completion.builds,
      }),
    );
  }
}

/** The row of the attempt, or undefined when none was (or could be) written. */
async function rowOf(attempt: Attempt | undefined): Promise<StepRow | undefined> {
  try {
    return await attempt?.row;
  } catch {
    return undefined;
  }
}

/** Builds that the completion decides. */
function buildsOf(completion: SettledCompletion): readonly BuildId[] {
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

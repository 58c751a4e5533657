/**
 * The last stretch of an attempt: its log is finished, its outputs are published, and its row and all builds that it
 * decides are recorded in one transaction.
 *
 * Builds on their way to the database are fenced off from the queue monitor, and recording is retried until the database
 * accepts it, so that nothing is recorded twice and nothing is lost.
 */

import { atMost } from "../../async/index.js";
import { stepStatus } from "../../database/status-numbers.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { BuiltOutput } from "../../rpc/types.js";
import type { BuildId } from "../../scheduler/ids.js";
import type { Publisher } from "../outputs/publisher.js";
import type { Recorder } from "../recording/recorder.js";
import type { Attempt, StepRow } from "../state/attempts.js";
import { outputPathsOf, summarise } from "../state/build-report.js";
import type { RunnerCounters } from "../state/counters.js";
import { type DerivationCatalog, drvOf } from "../state/derivation-catalog.js";
import type { SettledCompletion, SettledFailure, SettledFinish } from "../state/running-scheduler.js";
import type { OutcomeListener } from "./built-outputs.js";

/** What endings work with. */
export interface AttemptEndingsOptions {
  readonly catalog: DerivationCatalog;
  readonly recorder: Recorder;
  readonly publisher: Publisher;
  readonly listener: OutcomeListener;
  readonly counters: RunnerCounters;
}

/** What is known of an attempt that is over, besides what the scheduler made of it. */
export interface EndingDetails {
  readonly error: string | undefined;
  /** Milliseconds of transfers; they do not count as time of the step. */
  readonly overheadMs: number;
  /** By output name; empty when there was no success. */
  readonly outputs: ReadonlyMap<string, BuiltOutput>;
  /** Outputs that the runner has to upload; they are in its store. */
  readonly toUpload: readonly StorePath[];
  /** `project:jobset` of all who wanted the step at its end; undefined = those who wanted it at its start. */
  readonly wantedBy: readonly string[] | undefined;
}

/** Details of an attempt that ended without a report. */
export function unreported(error: string | undefined): EndingDetails {
  return { error, overheadMs: 0, outputs: new Map(), toUpload: [], wantedBy: undefined };
}

/** How long a log may go on arriving after its attempt has ended. */
const logGraceMs = 5_000;

/** Records the ends of attempts. */
export class AttemptEndings {
  readonly #catalog: DerivationCatalog;
  readonly #recorder: Recorder;
  readonly #publisher: Publisher;
  readonly #listener: OutcomeListener;
  readonly #counters: RunnerCounters;
  readonly #publishing = new Set<StorePath>();

  constructor({ catalog, recorder, publisher, listener, counters }: AttemptEndingsOptions) {
    this.#catalog = catalog;
    this.#recorder = recorder;
    this.#publisher = publisher;
    this.#listener = listener;
    this.#counters = counters;
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
    const publishing = completion.kind === "finished" ? attempt?.drv : undefined;
    if (publishing !== undefined) this.#publishing.add(publishing);
    try {
      const row = await rowOf(attempt);
      if (attempt !== undefined) await this.#finishLog(attempt);
      if (attempt?.sent === true) this.#publisher.attemptOver(attempt, row, completion.kind);
      await this.#write(attempt, row, completion, details);
    } finally {
      if (publishing !== undefined) this.#publishing.delete(publishing);
      this.#recorder.release(builds);
    }
  }

  /** Front-ends read the log as soon as a step is over, so it has to be complete by then. */
  async #finishLog(attempt: Attempt): Promise<void> {
    if (attempt.log === undefined) return;
    await atMost(attempt.log, logGraceMs);
    await this.#publisher.finishLog(attempt.drv);
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
        this.#counters.retried(completion.tries);
        if (attempt === undefined || row === undefined) return;
        return this.#recorder.stepEnded(attempt, row, {
          status: stepStatus.aborted,
          error: details.error,
          overheadMs: details.overheadMs,
        });
      case "cancelled":
        if (attempt === undefined || row === undefined) return;
        return this.#recorder.stepEnded(attempt, row, {
          status: stepStatus.cancelled,
          error: undefined,
          overheadMs: 0,
        });
      case "stale":
        if (attempt === undefined || row === undefined) return;
        return this.#recorder.orphanRow(row, stepStatus.aborted);
    }
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
    await this.#publisher.publish({
      attempt,
      outputs: outputPathsOf(details.outputs),
      toUpload: details.toUpload,
      wantedBy: details.wantedBy ?? attempt.jobsets,
      finishesBuilds: completion.ownBuilds.length > 0,
    });
    await this.#recorder.stepSucceeded(attempt, row, {
      overheadMs: details.overheadMs,
      outputs: details.outputs,
      summary: summarise(details.outputs),
      builds: completion.ownBuilds,
      accounted: attempt.assignment.build,
    });
  }

  async #writeFailed(
    attempt: Attempt | undefined,
    row: StepRow | undefined,
    completion: SettledFailure,
    details: EndingDetails,
  ): Promise<void> {
    await this.#recorder.stepFailed({
      attempt,
      row,
      facts: attempt?.facts ?? (await this.#catalog.facts(drvOf(completion.step))),
      status: completion.status,
      error: details.error ?? completion.reason,
      overheadMs: details.overheadMs,
      accounted: attempt?.assignment.build ?? completion.build,
      builds: completion.builds,
    });
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

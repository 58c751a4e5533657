/**
 * Writes what happens into Hydra's database: starts, progress and ends of steps, results of builds.
 *
 * Each end is one transaction with its notifications, repeated until the database accepts it; a repetition after a
 * lost answer changes nothing. What happens at the same time shares a transaction.
 */

import { turn } from "../../async/index.js";
import {
  buildThatFailed,
  busyDerivations,
  clearBusySteps,
  closeOrphan,
  type DraftResult,
  insertDrafts,
  isOrWasRunning,
  type Outcome,
  type OutcomeResult,
  RecordingError,
  recordOutcomes,
  recordStarts,
  type StartedStep,
  type StepDraft,
  StepNumbers,
  type TransactionRunner,
  toSeconds,
} from "../../database/recording/index.js";
import { buildStatus, type StepStatus, stepStatus } from "../../database/status-numbers.js";
import { type Logger, silentLogger } from "../../log.js";
import { printStorePath, type StoreDir, type StorePath } from "../../nix/path/store-path.js";
import type { BuildId } from "../../scheduler/ids.js";
import type { Attempt, StepRow } from "../state/attempts.js";
import type { EndedBuild } from "../state/build-registry.js";
import { type BuildSummary, outputPathsOf } from "../state/build-report.js";
import type { StepFacts } from "../state/derivation-catalog.js";
import type { ProblemReporter } from "../state/problems.js";
import { AnnouncedBuilds } from "./announced-builds.js";
import { RecordingBatch } from "./batch.js";
import { FoundOutputs } from "./found-outputs.js";
import { ExpectedEnds, Holds } from "./holds.js";
import {
  abortedOutcome,
  cachedOutcome,
  type EndedStep,
  failedBeforeOutcome,
  failureOutcomes,
  type StepFailure,
  type StepSuccess,
  successOutcome,
} from "./outcomes.js";
import { Progress } from "./progress.js";
import { RetryingTransactions } from "./retrying-transactions.js";
import { busyDraft, outputPaths, resolvedDraft, type StepEnding, stepEnd } from "./rows.js";

/** What a recorder writes into, and what it tells. */
export interface RecorderOptions {
  /** Must refuse to commit once the runner does not own the database any more. */
  readonly database: TransactionRunner;
  readonly storeDir: StoreDir;
  /** Absolute path of a derivation's log, for the services that compress and show it. */
  readonly logPath: (drv: StorePath) => string;
  /** The first step of builds has started; that is in the database. */
  readonly onStarted?: (builds: readonly BuildId[]) => void;
  /** A result is in the database: ours, or one that was recorded before ours. */
  readonly onEnded?: (build: BuildId, result: Omit<EndedBuild, "build">) => void;
  /** Put the outputs of failed steps into FailedPaths, so that they are not tried again. Default: false. */
  readonly rememberFailures?: () => boolean;
  readonly logger?: Logger;
  /** Milliseconds since the epoch. Default: the system's clock. */
  readonly now?: () => number;
  readonly random?: () => number;
  /** Ends all waiting for the database. */
  readonly signal?: AbortSignal | undefined;
  /** Where it is reported that the database does not take results. Default: nowhere. */
  readonly problems?: ProblemReporter | undefined;
}

/** Steps that start, and ends of steps, in one transaction. */
const startsAtOnce = 500;
const endsAtOnce = 64;
/** Ends with more builds than this get a transaction of their own. */
const manyBuilds = 100;
const progressPatienceMs = 1_000;
/** How long a build waits for the end of a step below it. Compressing a long log takes the most. */
const endPatienceMs = 10_000;

/** Writes rows of steps and builds. */
export class Recorder {
  readonly #logPath: RecorderOptions["logPath"];
  readonly #onStarted: NonNullable<RecorderOptions["onStarted"]>;
  readonly #onEnded: NonNullable<RecorderOptions["onEnded"]>;
  readonly #rememberFailures: () => boolean;
  readonly #storeDir: StoreDir;
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #numbers = new StepNumbers();
  readonly #holds = new Holds();
  readonly #expected = new ExpectedEnds(endPatienceMs);
  readonly #releaseListeners: ((builds: readonly BuildId[]) => void)[] = [];
  readonly #announced = new AnnouncedBuilds();
  readonly #transactions: RetryingTransactions;
  readonly #starts: RecordingBatch<StartedStep, DraftResult>;
  readonly #ends: RecordingBatch<Outcome, OutcomeResult>;
  readonly #progress: Progress;
  readonly #found: FoundOutputs;

  constructor(options: RecorderOptions) {
    this.#logPath = options.logPath;
    this.#onStarted = options.onStarted ?? (() => {});
    this.#onEnded = options.onEnded ?? (() => {});
    this.#rememberFailures = options.rememberFailures ?? (() => false);
    this.#storeDir = options.storeDir;
    this.#logger = options.logger ?? silentLogger;
    this.#now = options.now ?? Date.now;
    const transactions = new RetryingTransactions({
      database: options.database,
      logger: this.#logger,
      signal: options.signal,
      random: options.random ?? Math.random,
      problems: options.problems,
    });
    this.#transactions = transactions;
    this.#starts = new RecordingBatch({
      transactions,
      what: "the start of steps",
      write: (session, steps) => recordStarts(session, this.#numbers, steps),
      limit: startsAtOnce,
    });
    this.#ends = new RecordingBatch({
      transactions,
      what: "the end of steps",
      write: (session, outcomes) => recordOutcomes(session, this.#numbers, outcomes),
      limit: endsAtOnce,
    });
    this.#found = new FoundOutputs({
      transactions,
      numbers: this.#numbers,
      storeDir: this.#storeDir,
      logger: this.#logger,
    });
    this.#progress = new Progress(
      (work) => options.database.transaction(work, { idempotent: true, patienceMs: progressPatienceMs }),
      this.#logger,
    );
  }

  /** Fences builds off from the queue monitor while they are being recorded. */
  hold(builds: readonly BuildId[]): void {
    this.#holds.hold(builds);
  }

  /** Undoes one `hold` of the same builds. */
  release(builds: readonly BuildId[]): void {
    const missed = this.#holds.release(builds);
    if (missed.length > 0) for (const listener of this.#releaseListeners) listener(missed);
  }

  /**
   * The attempt is over and its end will be recorded; call the result once it is. Builds that are decided after this
   * wait for it for up to ten seconds.
   */
  expectEnd(attempt: Attempt): () => void {
    return this.#expected.add(attempt);
  }

  /** `listener` gets builds that were asked for while they were held, as soon as they are free. */
  onReleased(listener: (builds: readonly BuildId[]) => void): void {
    this.#releaseListeners.push(listener);
  }

  holds(build: BuildId): boolean {
    return this.#holds.has(build);
  }

  /** Transactions that had to be repeated so far. */
  get repetitions(): number {
    return this.#transactions.failures;
  }

  /**
   * Closes the rows that a runner which died left running. `keep`: rows whose builders are still at work.
   * Returns how many there were.
   */
  clearOrphans(keep: readonly StepRow[] = []): Promise<number> {
    return this.#transactions.run("orphaned steps", (session) => clearBusySteps(session, keep));
  }

  /** Full paths of the derivations whose rows say that they are running. */
  busyDerivations(): Promise<string[]> {
    return this.#transactions.run("running steps", busyDerivations);
  }

  /** Whether the rows say that this host is building the derivation, or was when its attempt was interrupted. */
  isOrWasRunning(drv: StorePath, hostname: string): Promise<boolean> {
    const path = printStorePath(this.#storeDir, drv);
    return this.#transactions.run("an earlier attempt", (session) => isOrWasRunning(session, path, hostname));
  }

  /**
   * The step goes to a machine. Resolves when its row is committed.
   *
   * @throws RecordingError `build-gone` when the build was deleted
   */
  async stepStarted(attempt: Attempt): Promise<StepRow> {
    const { build, ownBuilds } = attempt.assignment;
    const draft = busyDraft(this.#storeDir, attempt);
    const announce = this.#announced.take([build, ...ownBuilds]);
    const row = inserted(draft, await this.#starts.record({ draft, announce }));
    if (announce.length > 0) this.#onStarted(announce);
    return row;
  }

  /** Rows of starts are slow to come: the database is silent, refuses them, or makes some wait for a lock. */
  get startsAreSlow(): boolean {
    return this.#starts.isSlow;
  }

  /** How far the step is (a value of `buildsteps.busy`). Returns at once. */
  stepBusy(attempt: Attempt, busy: number): void {
    attempt.row?.then(
      (row) => this.#progress.note(row, busy),
      () => {},
    );
  }

  /** The attempt is over, but no build is decided by it: another try follows, or no build wants the step any more. */
  async stepEnded(attempt: Attempt, row: StepRow, end: StepEnding): Promise<void> {
    const { build, ownBuilds } = attempt.assignment;
    if (end.status === stepStatus.cancelled) this.#announced.forget([build, ...ownBuilds]);
    await this.#record({ step: this.#endOf(attempt, row, end), builds: [] }, attempt);
  }

  /** The row of an attempt that came to nothing. Closed in silence. */
  async orphanRow(row: StepRow, status: StepStatus): Promise<void> {
    const stopTime = toSeconds(this.#now());
    this.#progress.drop(row);
    await this.#transactions.run("an orphaned step", (session) =>
      closeOrphan(session, row, status, stopTime),
    );
  }

  /**
   * The derivation turned out to be another one, whose step follows.
   *
   * @throws RecordingError `build-gone` when the build was deleted
   */
  async resolved(attempt: Attempt, resolved: StorePath): Promise<StepRow> {
    const draft = resolvedDraft(this.#storeDir, attempt, resolved);
    const [result] = await this.#transactions.run("a resolved step", (session) =>
      insertDrafts(session, this.#numbers, [draft]),
    );
    return inserted(draft, result);
  }

  /** The step is built, and with it the builds whose own derivation it is. */
  async stepSucceeded(attempt: Attempt, row: StepRow, success: StepSuccess): Promise<void> {
    const step = this.#endOf(attempt, row, {
      status: stepStatus.succeeded,
      error: undefined,
      overheadMs: success.overheadMs,
      outputs: outputPaths(this.#storeDir, outputPathsOf(success.outputs)),
    });
    await this.#record(successOutcome(this.#storeDir, step, success), attempt);
  }

  /** The step failed for good, and with it every build that needs it. */
  async stepFailed(failure: StepFailure): Promise<void> {
    const { attempt, row, builds } = failure;
    // Finding out who fails has taken a while; what else is due comes first.
    if (builds.length > manyBuilds) await turn();
    const step = attempt === undefined || row === undefined ? undefined : this.#endOf(attempt, row, failure);
    const remember = this.#rememberFailures();
    for (const outcome of failureOutcomes(this.#storeDir, failure, step, this.#now(), remember)) {
      await this.#record(outcome, attempt);
    }
  }

  /**
   * Outputs that were there already: writes rows for those that have none yet. `account` names the build that
   * the row belongs to. Errors are logged only: nothing depends on these rows.
   */
  outputsFound(found: readonly StepFacts[], account: (drv: StorePath) => BuildId | undefined): Promise<void> {
    return this.#found.found(found, account, this.#now());
  }

  /** The step that the build was resolved to is built already: writes rows unless the build has one of it. */
  foundResolved(build: BuildId, facts: StepFacts, outputs: ReadonlyMap<string, StorePath>): Promise<void> {
    return this.#found.foundFor(build, facts, outputs, this.#now());
  }

  /** Outputs were fetched from a substituter. One row for each of them. */
  substituted(
    build: BuildId,
    facts: StepFacts,
    outputs: ReadonlyMap<string, StorePath>,
    startMs: number,
    stopMs: number,
  ): Promise<void> {
    return this.#found.substituted(build, facts, outputs, { startMs, stopMs });
  }

  /** The build cannot be built: `facts` failed before, its own derivation or one below it. */
  async failedBefore(build: BuildId, facts: StepFacts, own: boolean): Promise<void> {
    const outputs = outputPaths(this.#storeDir, facts.outputs);
    const drvPath = printStorePath(this.#storeDir, facts.drv);
    const from = await this.#transactions.run("an earlier failure", (session) =>
      buildThatFailed(session, build, drvPath, outputs),
    );
    await this.#record(failedBeforeOutcome(this.#storeDir, { id: build, own }, facts, from, this.#now()));
  }

  /** The build cannot be read any more (its derivation is gone). */
  async aborted(build: BuildId): Promise<void> {
    await this.#record(abortedOutcome(build, this.#now()));
  }

  /** The build's outputs exist already. */
  async buildCached(
    build: BuildId,
    outputs: ReadonlyMap<string, StorePath>,
    summary: BuildSummary,
  ): Promise<void> {
    await this.#record(cachedOutcome(this.#storeDir, build, outputs, summary, this.#now()));
  }

  #endOf(attempt: Attempt, row: StepRow, end: StepEnding): EndedStep {
    return {
      ...stepEnd(attempt, row, end, attempt.endedAt ?? this.#now()),
      logPath: this.#logPath(attempt.drv),
    };
  }

  async #record(outcome: Outcome, attempt?: Attempt): Promise<void> {
    const ids = outcome.builds.map((end) => end.id as BuildId);
    this.hold(ids);
    try {
      const earlier = this.#expected.before(attempt, ids);
      if (earlier.length > 0) await Promise.all(earlier);
      if (outcome.step !== undefined) this.#progress.drop(outcome.step);
      const { statuses } =
        ids.length > manyBuilds ? await this.#ends.recordAlone(outcome) : await this.#ends.record(outcome);
      this.#announced.forget(ids);
      const finishedAt = this.#now();
      for (const end of outcome.builds) {
        const id = end.id as BuildId;
        this.#numbers.forget(id);
        this.#onEnded(id, {
          // A build that was deleted meanwhile is as good as cancelled.
          status: statuses.get(id) ?? buildStatus.cancelled,
          finishedAt,
          durationMs: attempt === undefined ? 0 : Math.max(0, finishedAt - attempt.startedAt),
          machine: attempt?.hostname,
          cached: end.cached,
        });
      }
    } finally {
      this.release(ids);
    }
  }
}

function inserted(draft: StepDraft, result: DraftResult | undefined): StepRow {
  const { build } = draft.row;
  if (result === "gone" || draft.stepNumber === undefined) {
    throw new RecordingError("build-gone", `build ${build} was deleted`);
  }
  return { build: build as BuildId, stepNumber: draft.stepNumber };
}

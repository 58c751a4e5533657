/**
 * Writes what happens into Hydra's database: starts, progress and ends of steps, results of builds.
 *
 * Each end is one transaction with its notifications, repeated until the database accepts it; a repetition after a
 * lost answer changes nothing. What happens at the same time shares a transaction.
 */
import {
  buildThatFailed,
  clearBusySteps,
  closeOrphan,
  type DraftResult,
  insertDrafts,
  knownStepOutputs,
  type Outcome,
  RecordingError,
  recordStarts,
  type StartedStep,
  type StepDraft,
  StepNumbers,
  type TransactionRunner,
  toSeconds,
} from "../database/recording/index.js";
import { type Logger, silentLogger } from "../log.js";
import { printStorePath, type StoreDir, type StorePath } from "../nix/store-path.js";
import type { BuiltOutput } from "../rpc/types.js";
import type { BuildId } from "../scheduler/ids.js";
import type { FailedBuild, FailureStatus } from "../scheduler/types.js";
import type { Attempt, StepRow } from "./attempts.js";
import type { EndedBuild } from "./build-registry.js";
import type { BuildSummary } from "./build-report.js";
import type { StepFacts } from "./derivation-catalog.js";
import { Microbatch } from "./microbatch.js";
import { Holds } from "./recorder-holds.js";
import { Progress } from "./recorder-progress.js";
import { OutcomeQueue } from "./recorder-queue.js";
import { RetryingTransactions } from "./recorder-retry.js";
import {
  buildResult,
  busyDraft,
  copiedFailureDraft,
  failedBuildEnd,
  foundDraft,
  hostNameOf,
  outputPaths,
  resolvedDraft,
  stepEnd,
} from "./recorder-rows.js";

export interface RecorderOptions {
  /** Must refuse to commit once the runner does not own the database any more. */
  readonly database: TransactionRunner;
  readonly storeDir: StoreDir;
  /** Absolute path of a derivation's log, for the services that compress and show it. */
  readonly logPath: (drv: StorePath) => string;
  /** False when builders upload to the cache themselves. Default: true. */
  readonly outputsAreLocal?: () => boolean;
  /** A result is in the database (ours, or that of whoever was faster). */
  readonly onEnded?: (build: BuildId, result: Omit<EndedBuild, "build">) => void;
  /** Put the outputs of failed steps into FailedPaths, so that they are not tried again. Default: false. */
  readonly rememberFailures?: () => boolean;
  readonly logger?: Logger;
  /** Milliseconds since the epoch. Default: the system's clock. */
  readonly now?: () => number;
  readonly random?: () => number;
  /** Ends all waiting for the database. */
  readonly signal?: AbortSignal;
}

export interface StepFailure {
  /** Absent for steps that fail without having been handed out. */
  readonly attempt: Attempt | undefined;
  readonly row: StepRow | undefined;
  readonly facts: StepFacts;
  readonly status: FailureStatus;
  readonly error: string | undefined;
  readonly overheadMs: number;
  /** The build that the step was run for. */
  readonly accounted: BuildId | undefined;
  readonly builds: readonly FailedBuild[];
}

/** Builds that fail in one transaction. */
const failuresAtOnce = 1000;
/** Rows of found outputs in one transaction. */
const foundAtOnce = 1000;
/** Builds of which we remember that their start was announced. */
const announcedKept = 200_000;

export class Recorder {
  readonly #options: RecorderOptions;
  readonly #storeDir: StoreDir;
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #numbers = new StepNumbers();
  readonly #holds = new Holds();
  readonly #announced = new Set<BuildId>();
  readonly #transactions: RetryingTransactions;
  readonly #starts: Microbatch<StartedStep, DraftResult>;
  readonly #outcomes: OutcomeQueue;
  readonly #progress: Progress;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#storeDir = options.storeDir;
    this.#logger = options.logger ?? silentLogger;
    this.#now = options.now ?? Date.now;
    this.#transactions = new RetryingTransactions({
      database: options.database,
      logger: this.#logger,
      signal: options.signal,
      random: options.random ?? Math.random,
    });
    this.#starts = new Microbatch((steps) =>
      this.#transactions.run("the start of steps", (session) => recordStarts(session, this.#numbers, steps)),
    );
    this.#outcomes = new OutcomeQueue(this.#transactions, this.#numbers);
    this.#progress = new Progress(
      (work) => options.database.transaction(work, { idempotent: true, patienceMs: 1_000 }),
      this.#logger,
    );
  }

  /** Fences builds off from the queue monitor while they are being recorded. */
  hold(builds: readonly BuildId[]): void {
    this.#holds.hold(builds);
  }

  /** Undoes one `hold` of the same builds. */
  release(builds: readonly BuildId[]): void {
    this.#holds.release(builds);
  }

  holds(build: BuildId): boolean {
    return this.#holds.has(build);
  }

  /** Whether outputs pass through the runner's store; false when builders upload to the cache themselves. */
  outputsAreLocal(): boolean {
    return this.#options.outputsAreLocal?.() ?? true;
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

  /**
   * The step goes to a machine.
   *
   * @throws RecordingError `build-gone` when the build was deleted
   */
  async stepStarted(attempt: Attempt): Promise<StepRow> {
    const { build, ownBuilds } = attempt.assignment;
    const draft = busyDraft(this.#storeDir, attempt);
    const result = await this.#starts.add({ draft, announce: this.#announce([build, ...ownBuilds]) });
    return this.#inserted(draft, result);
  }

  /** How far the step is (a value of `buildsteps.busy`). Nobody waits for it. */
  stepBusy(attempt: Attempt, busy: number): void {
    attempt.row?.then(
      (row) => this.#progress.note(row, busy),
      () => {},
    );
  }

  /** The attempt is over, but no build is decided by it: another try follows, or nobody wants the step any more. */
  async stepEnded(
    attempt: Attempt,
    row: StepRow,
    end: { readonly status: number; readonly error: string | undefined; readonly overheadMs: number },
  ): Promise<void> {
    if (end.status === 4) this.#forgetAnnounced([attempt.assignment.build, ...attempt.assignment.ownBuilds]);
    await this.#record({ step: this.#endOf(attempt, row, end), builds: [] }, attempt);
  }

  /** The row of an attempt that came to nothing. Closed in silence. */
  async orphanRow(row: StepRow, status: number): Promise<void> {
    const stopTime = toSeconds(this.#now());
    this.#progress.drop(row);
    await this.#transactions.run("an orphaned step", (session) =>
      closeOrphan(session, row, status, stopTime),
    );
  }

  /** The derivation turned out to be another one, whose step follows. */
  async resolved(attempt: Attempt, resolved: StorePath): Promise<StepRow> {
    const draft = resolvedDraft(this.#storeDir, attempt, resolved);
    const [result] = await this.#insert("a resolved step", [draft]);
    return this.#inserted(draft, result);
  }

  /** The step is built, and with it the builds whose own derivation it is. */
  async stepSucceeded(
    attempt: Attempt,
    row: StepRow,
    success: {
      readonly overheadMs: number;
      readonly outputs: ReadonlyMap<string, BuiltOutput>;
      readonly summary: BuildSummary;
      readonly builds: readonly BuildId[];
      readonly accounted: BuildId;
    },
  ): Promise<void> {
    const paths = new Map([...success.outputs].map(([name, output]) => [name, output.path]));
    const result = buildResult(this.#storeDir, paths, success.summary);
    const step = this.#endOf(attempt, row, {
      status: 0,
      error: undefined,
      overheadMs: success.overheadMs,
      outputs: result.outputs,
    });
    const builds = success.builds.map((id) => ({
      id,
      status: success.summary.status,
      startTime: step.startTime,
      stopTime: step.stopTime,
      cached: id !== success.accounted,
      result,
    }));
    await this.#record({ step, builds }, attempt);
  }

  /** The step failed for good, and with it every build that needs it. */
  async stepFailed(failure: StepFailure): Promise<void> {
    const { attempt, row, facts, status, error, accounted } = failure;
    const step =
      attempt === undefined || row === undefined
        ? undefined
        : this.#endOf(attempt, row, { status, error, overheadMs: failure.overheadMs });
    const now = toSeconds(this.#now());
    const startTime = attempt === undefined ? now : toSeconds(attempt.startedAt);
    const times = step ?? { startTime, stopTime: Math.max(startTime, now) };
    const copied = {
      facts,
      status,
      error,
      machine: attempt === undefined || status === 8 ? "" : hostNameOf(attempt),
    };
    // The accounted build is announced first; the others follow in the order of their ids.
    const builds = [...failure.builds].sort(
      (a, b) => Number(b.id === accounted) - Number(a.id === accounted) || a.id - b.id,
    );
    const failedPaths = this.#failedPaths(status, facts);
    for (let from = 0; from === 0 || from < builds.length; from += failuresAtOnce) {
      const chunk = builds.slice(from, from + failuresAtOnce);
      const first = from === 0;
      await this.#record(
        {
          step: first ? step : undefined,
          builds: chunk.map((build) => failedBuildEnd(build, status, times)),
          together: true,
          copies: chunk
            .filter((build) => step === undefined || build.id !== row?.build)
            .map((build) => copiedFailureDraft(this.#storeDir, build.id, copied, accounted)),
          failedPaths: first ? failedPaths : [],
        },
        attempt,
      );
    }
  }

  /**
   * Outputs that were there already; says so for those that no earlier step told of. `account` names the build that
   * the row belongs to. Errors are logged only: nothing depends on these rows.
   */
  async outputsFound(
    found: readonly StepFacts[],
    account: (drv: StorePath) => BuildId | undefined,
  ): Promise<void> {
    const now = this.#now();
    for (let from = 0; from < found.length; from += foundAtOnce) {
      const chunk = found.slice(from, from + foundAtOnce);
      try {
        await this.#transactions.run("found outputs", async (session) => {
          const known = await knownStepOutputs(
            session,
            chunk.map((facts) => printStorePath(this.#storeDir, facts.drv)),
          );
          const drafts = chunk.flatMap((facts): StepDraft[] => {
            const drvPath = printStorePath(this.#storeDir, facts.drv);
            const build = account(facts.drv);
            const outputs = outputPaths(this.#storeDir, facts.outputs).filter(
              ({ name, path }) => path !== undefined && !known.has(`${drvPath}^${name}`),
            );
            if (build === undefined || outputs.length === 0) return [];
            return [foundDraft(this.#storeDir, build, facts.drv, outputs, { startMs: now, stopMs: now })];
          });
          await insertDrafts(session, this.#numbers, drafts);
        });
      } catch (error) {
        this.#logger.warn("outputs that were found are not recorded", { steps: chunk.length, error });
      }
    }
  }

  /** Outputs were fetched from a substituter. One row for each of them. */
  async substituted(
    build: BuildId,
    facts: StepFacts,
    outputs: ReadonlyMap<string, StorePath>,
    startMs: number,
    stopMs: number,
  ): Promise<void> {
    const drafts = outputPaths(this.#storeDir, outputs).map((output) =>
      foundDraft(this.#storeDir, build, facts.drv, [output], { startMs, stopMs }),
    );
    await this.#insert("substituted outputs", drafts);
  }

  /** The build cannot be built: `facts` failed before, its own derivation or one below it. */
  async failedBefore(build: BuildId, facts: StepFacts, own: boolean): Promise<void> {
    const outputs = outputPaths(this.#storeDir, facts.outputs);
    const drvPath = printStorePath(this.#storeDir, facts.drv);
    const from = await this.#transactions.run("an earlier failure", (session) =>
      buildThatFailed(session, build, drvPath, outputs),
    );
    const now = toSeconds(this.#now());
    const failure = { facts, status: 8, error: undefined, machine: "" } as const;
    await this.#record({
      builds: [failedBuildEnd({ id: build, own }, 8, { startTime: now, stopTime: now })],
      copies: [copiedFailureDraft(this.#storeDir, build, failure, from)],
    });
  }

  /** The build cannot be read any more (its derivation is gone). */
  async aborted(build: BuildId): Promise<void> {
    const now = toSeconds(this.#now());
    await this.#record({
      builds: [{ id: build, status: 3, startTime: now, stopTime: now, cached: false }],
    });
  }

  /** The build's outputs exist already. */
  async buildCached(
    build: BuildId,
    outputs: ReadonlyMap<string, StorePath>,
    summary: BuildSummary,
  ): Promise<void> {
    const now = toSeconds(this.#now());
    await this.#record({
      builds: [
        {
          id: build,
          status: summary.status,
          startTime: now,
          stopTime: now,
          cached: true,
          result: buildResult(this.#storeDir, outputs, summary),
        },
      ],
    });
  }

  #endOf(
    attempt: Attempt,
    row: StepRow,
    end: {
      readonly status: number;
      readonly error: string | undefined;
      readonly overheadMs: number;
      readonly outputs?: readonly { readonly name: string; readonly path: string | undefined }[];
    },
  ): NonNullable<Outcome["step"]> {
    const logPath = this.#options.logPath(attempt.drv);
    return { ...stepEnd(attempt, row, { ...end, stopMs: this.#now() }), logPath };
  }

  async #record(outcome: Outcome, attempt?: Attempt): Promise<void> {
    const ids = outcome.builds.map((end) => end.id as BuildId);
    this.hold(ids);
    try {
      if (outcome.step !== undefined) this.#progress.drop(outcome.step);
      const { statuses } = await this.#outcomes.record(outcome);
      for (const end of outcome.builds) {
        const id = end.id as BuildId;
        this.#numbers.forget(id);
        this.#announced.delete(id);
        this.#options.onEnded?.(id, {
          // A build that was deleted meanwhile is as good as cancelled.
          status: statuses.get(id) ?? 4,
          finishedAt: this.#now(),
          durationMs: attempt === undefined ? 0 : Math.max(0, this.#now() - attempt.startedAt),
          machine: attempt?.hostname,
          cached: end.cached,
        });
      }
    } finally {
      this.release(ids);
    }
  }

  #insert(what: string, drafts: readonly StepDraft[]): Promise<DraftResult[]> {
    return this.#transactions.run(what, (session) => insertDrafts(session, this.#numbers, drafts));
  }

  #inserted(draft: StepDraft, result: DraftResult | undefined): StepRow {
    const { build } = draft.row;
    if (result === "gone" || draft.stepNumber === undefined) {
      throw new RecordingError("build-gone", `build ${build} was deleted`);
    }
    return { build: build as BuildId, stepNumber: draft.stepNumber };
  }

  /** Those of the builds whose start was not announced yet; they count as announced now. */
  #announce(builds: readonly BuildId[]): BuildId[] {
    const fresh = [...new Set(builds)].filter((build) => !this.#announced.has(build));
    for (const build of fresh) this.#announced.add(build);
    for (const build of this.#announced) {
      if (this.#announced.size <= announcedKept) break;
      this.#announced.delete(build);
    }
    return fresh;
  }

  #forgetAnnounced(builds: readonly BuildId[]): void {
    for (const build of builds) this.#announced.delete(build);
  }

  /** Failures that would repeat themselves; trouble of machines and limits would not. */
  #failedPaths(status: FailureStatus, facts: StepFacts): string[] {
    const lasting = status === 1 || status === 12;
    if (!lasting || this.#options.rememberFailures?.() !== true) return [];
    return outputPaths(this.#storeDir, facts.outputs).flatMap(({ path }) =>
      path === undefined ? [] : [path],
    );
  }
}

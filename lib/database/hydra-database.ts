/** Hydra's database: a pool of connections, transactions that get through, and the questions the runner asks. */

import type { Client, Pool } from "pg";
import {
  type ArgumentRule,
  aFunction,
  anAmount,
  checkMembers,
  isObject,
  optional,
} from "../argument-checks.js";
import { Backoff } from "../async/index.js";
import type { ConnectionSettings } from "./connection-settings.js";
import { driver } from "./driver.js";
import { DatabaseError } from "./errors.js";
import { failureKind } from "./failure-kinds.js";
import { PreparedStatements } from "./prepared.js";
import type { EarlierBuild } from "./queries/earlier-build.js";
import type { EarlierTries } from "./queries/earlier-tries.js";
import type { BuildHistory } from "./queries/history.js";
import type { JobsetRow, UsedTime } from "./queries/jobsets.js";
import type { OutputChain } from "./queries/output-chains.js";
import type {
  AttemptRange,
  AttemptRow,
  BuildPageRow,
  EndedStepRow,
  MinuteRow,
  NamedBuildRow,
  OutputRow,
  ResultRow,
} from "./queries/page-rows.js";
import type { CancelResult } from "./queries/steer-build.js";
import type { StepKind } from "./queries/step-durations.js";
import type { StepState } from "./queries/step-state.js";
import type { NewBuild } from "./queries/submit-build.js";
import type { BuildDigest, UnfinishedBuilds } from "./queries/unfinished-builds.js";
import type { StepResourcesRow } from "./recording/step-resources.js";
import { type Session, sessionOnPool, type Transaction } from "./session.js";
import { type Fence, runTransaction, type TransactionOptions } from "./transaction.js";

/** The database, and how many connections may be open. */
export interface HydraDatabaseOptions {
  readonly settings: ConnectionSettings;
  /** Size of the pool; connections are opened when needed. */
  readonly maxConnections: number;
  /** Called whenever a transaction or query is repeated. */
  readonly onRetry?: ((error: unknown) => void) | undefined;
  /** Runs after the pool is closed: stops a server of our own. */
  readonly onClosed?: (() => Promise<void>) | undefined;
}

const connection: ArgumentRule = {
  words: "what connectionSettings() returns",
  accepts: (value) => isObject(value) && isObject(value.config),
};

type Queries = typeof import("./queries/index.js");

/** Loaded by the first query, with Drizzle and the tables: that takes about 100 ms. */
function queries(): Promise<Queries> {
  return import("./queries/index.js");
}

/** Unfinished builds. Less than what fits into one answer, so that a queue about as long as that is not read twice each time. */
const longQueue = 1_000;

/** A connection that broke while idle is noticed by its next query; a few fresh ones then suffice. */
const readTries = 4;
const idleTimeoutMs = 60_000;
/**
 * Connections that stay open: as many as a build uses at once. A new one has to be let in, to learn about the tables and to plan,
 * which takes ten times as long as the questions of a build.
 */
const keptConnections = 3;
const maxLifetimeSeconds = 1_800;
/** Last resort for a network that swallows everything; the server's own limits are shorter. */
const answerTimeoutMs = 150_000;
/** Connections that are kept run short statements only, and must notice early when they are dead. */
const dedicatedAnswerTimeoutMs = 10_000;

/**
 * Reads try again on fresh connections when one breaks, and throw `DatabaseError` `unavailable` when that does not
 * help. Times are Unix seconds as in the tables, paths are full store paths.
 */
export class HydraDatabase implements AsyncDisposable {
  readonly #settings: ConnectionSettings;
  readonly #pool: Pool;
  readonly #prepared = new PreparedStatements();
  readonly #onRetry: (error: unknown) => void;
  readonly #closed = new AbortController();
  /** As it was when it was read last. */
  #queueIsLong = false;
  readonly #onClosed: () => Promise<void>;
  #fence: Fence | undefined;
  #closing: Promise<void> | undefined;

  /** Does not connect yet; see `openHydraDatabase` for the usual way. */
  constructor(options: HydraDatabaseOptions) {
    checkMembers("HydraDatabase", options, {
      settings: connection,
      maxConnections: anAmount,
      onRetry: optional(aFunction),
      onClosed: optional(aFunction),
    });
    this.#settings = options.settings;
    this.#onRetry = options.onRetry ?? (() => {});
    this.#onClosed = options.onClosed ?? (async () => {});
    const { Pool } = driver();
    this.#pool = new Pool({
      ...options.settings.config,
      max: Math.max(1, options.maxConnections),
      min: Math.min(keptConnections, Math.max(1, options.maxConnections)),
      idleTimeoutMillis: idleTimeoutMs,
      maxLifetimeSeconds,
      query_timeout: answerTimeoutMs,
      // Statements of a transaction that need no answer of each other's leave together.
      pipeline: true,
    });
    // Idle connections that break; the pool has dropped them already.
    this.#pool.on("error", () => {});
  }

  /** Where the database is, without secrets. */
  get description(): string {
    return this.#settings.description;
  }

  /** Size of the pool, and how it is used now. */
  get connections(): {
    readonly max: number;
    readonly open: number;
    readonly idle: number;
    readonly waiting: number;
  } {
    const { options, totalCount, idleCount, waitingCount } = this.#pool;
    return { max: options.max, open: totalCount, idle: idleCount, waiting: waitingCount };
  }

  /** Bounds the pool, down to `max`; connections beyond it that are open stay open until they are idle. */
  limitConnections(max: number): void {
    const { options } = this.#pool;
    options.max = Math.max(1, Math.min(options.max, max));
    options.min = Math.min(options.min ?? 0, options.max);
  }

  /** From now on each transaction first makes sure that `fence` lets it write. */
  fence(fence: Fence): void {
    this.#fence = fence;
  }

  /**
   * Runs `work` in a transaction (READ COMMITTED), again when it collides with others or its connection breaks.
   *
   * @throws DatabaseError `conflict`, `unavailable`, `unknown-outcome`, `fenced`; whatever else `work` throws
   */
  async transaction<T>(
    work: (transaction: Transaction) => Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    this.#checkOpen();
    return runTransaction(
      {
        pool: this.#pool,
        prepared: this.#prepared,
        fence: () => this.#fence,
        onRetry: this.#onRetry,
        closed: this.#closed.signal,
      },
      work,
      options,
    );
  }

  /** Runs a query that changes nothing, on a fresh connection when one breaks. */
  async read<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const backoff = new Backoff({ firstMs: 50, longestMs: 1_000 });
    for (let tries = 1; ; tries++) {
      this.#checkOpen();
      try {
        return await work(sessionOnPool(this.#pool, this.#prepared));
      } catch (error) {
        if (failureKind(error) !== "lost") throw error;
        if (tries >= readTries) {
          throw new DatabaseError("unavailable", `the database ${this.description} cannot be reached`, {
            cause: error,
          });
        }
        this.#onRetry(error);
        await backoff.wait(this.#closed.signal);
      }
    }
  }

  /** A connection outside the pool, for callers that must keep one. The caller ends it. */
  async connect(name: string): Promise<Client> {
    this.#checkOpen();
    const { application_name: own } = this.#settings.config;
    const { Client } = driver();
    const client = new Client({
      ...this.#settings.config,
      application_name: `${own ?? "hydra-queue-runner"}:${name}`,
      query_timeout: dedicatedAnswerTimeoutMs,
    });
    // The driver throws the error of an idle connection at the process unless it has a listener.
    client.on("error", () => {});
    await client.connect();
    return client;
  }

  /** Unfinished builds with what is needed to schedule them; all, or those with the ids. */
  unfinishedBuilds(options: { readonly ids?: readonly number[] } = {}): Promise<UnfinishedBuilds> {
    return this.#ask((queries, session) => queries.unfinishedBuilds(session, options.ids));
  }

  /** What can change for an unfinished build, of all of them, the most urgent ones first; in many small answers. */
  async unfinishedBuildDigest(): Promise<BuildDigest[]> {
    // A transaction is five round trips, which a build that is alone would wait for.
    const short = this.#queueIsLong
      ? undefined
      : await this.#ask((loaded, session) => loaded.shortBuildDigest(session));
    const builds =
      short ??
      (await this.transaction(async (transaction) => (await queries()).unfinishedBuildDigest(transaction), {
        idempotent: true,
      }));
    this.#queueIsLong = builds.length > longQueue;
    return builds;
  }

  /** All jobsets with their scheduling shares. */
  jobsets(): Promise<JobsetRow[]> {
    return this.#ask((queries, session) => queries.jobsets(session));
  }

  /** Steps of jobsets that ended after `since` (Unix seconds); jobsets without any are absent. */
  jobsetUsage(ids: readonly number[], since: number): Promise<Map<number, UsedTime[]>> {
    return this.#ask((queries, session) => queries.jobsetUsage(session, ids, since));
  }

  /** Those of the paths that are remembered as failed. */
  failedPaths(paths: readonly string[]): Promise<Set<string>> {
    return this.#ask((queries, session) => queries.failedPaths(session, paths));
  }

  /** Tries that unfinished builds made at derivations, by full path; those without any are absent. */
  earlierTries(drvPaths: readonly string[]): Promise<Map<string, EarlierTries>> {
    return this.#ask((queries, session) => queries.earlierTries(session, drvPaths));
  }

  /** Builds and successful steps that ended at or after `since` and before `until` (Unix seconds). */
  buildHistory(since: number, until: number): Promise<BuildHistory> {
    return this.#ask((queries, session) => queries.buildHistory(session, since, until));
  }

  /** Usual duration in seconds by `system/name`, of these kinds or of all; those that never succeeded are absent. */
  stepDurations(steps?: readonly StepKind[]): Promise<Map<string, number>> {
    if (steps !== undefined) return this.#ask((queries, session) => queries.stepDurations(session, steps));
    return this.transaction(async (transaction) => (await queries()).allStepDurations(transaction), {
      idempotent: true,
    });
  }

  /** The paths that builds found for outputs, in the order of `chains`. */
  resolveOutputChains(chains: readonly OutputChain[], storeDir: string): Promise<(string | undefined)[]> {
    return this.#ask((queries, session) => queries.resolveOutputChains(session, chains, storeDir));
  }

  /** What the newest successful build with one of the outputs is known for. */
  earlierBuildOfOutputs(paths: readonly string[], storeDir: string): Promise<EarlierBuild | undefined> {
    return this.#ask((queries, session) => queries.earlierBuildOfOutputs(session, paths, storeDir));
  }

  /** How the newest attempt at a derivation ended. */
  stepState(drvPath: string): Promise<StepState | undefined> {
    return this.#ask((queries, session) => queries.stepState(session, drvPath));
  }

  /** Steps by the minute in which they ended, from `since` to before `until` (Unix seconds). */
  endedSteps(since: number, until: number): Promise<readonly MinuteRow[]> {
    return this.#ask((queries, session) => queries.endedSteps(session, since, until));
  }

  /** The newest attempts that ran at some time in a span, those that still run first. */
  attempts(range: AttemptRange): Promise<readonly AttemptRow[]> {
    return this.#ask((queries, session) => queries.attempts(session, range));
  }

  /** The newest attempts at a derivation, in all builds. */
  attemptsAt(drvPath: string, limit: number): Promise<readonly AttemptRow[]> {
    return this.#ask((queries, session) => queries.attemptsAt(session, drvPath, limit));
  }

  /** A build with its outputs and products; undefined when it does not exist. */
  buildPage(id: number): Promise<BuildPageRow | undefined> {
    return this.#ask((queries, session) => queries.buildPage(session, id));
  }

  /** Steps of a build that have ended, those that failed first. */
  stepsOfBuild(build: number, limit: number): Promise<readonly EndedStepRow[]> {
    return this.#ask((queries, session) => queries.stepsOfBuild(session, build, limit));
  }

  /** Outputs of the newest step of a derivation that succeeded. */
  stepOutputs(drvPath: string): Promise<readonly OutputRow[]> {
    return this.#ask((queries, session) => queries.stepOutputs(session, drvPath));
  }

  /** Builds whose derivation has a text in its path, newest first. */
  findBuilds(text: string, limit: number): Promise<readonly NamedBuildRow[]> {
    return this.#ask((queries, session) => queries.findBuilds(session, text, limit));
  }

  /** Number of attempts at each derivation, by full path. */
  attemptCounts(drvPaths: readonly string[]): Promise<Map<string, number>> {
    return this.#ask((queries, session) => queries.attemptCounts(session, drvPaths));
  }

  /** The builds that ended last, newest first. */
  lastResults(limit: number): Promise<readonly ResultRow[]> {
    return this.#ask((queries, session) => queries.lastResults(session, limit));
  }

  /** Why builds failed, as far as it was recorded. */
  buildErrors(builds: readonly number[]): Promise<Map<number, string>> {
    return this.#ask((queries, session) => queries.buildErrors(session, builds));
  }

  /** What attempts used; those without a row are absent. */
  stepResources(
    steps: readonly { readonly build: number; readonly stepNumber: number }[],
  ): Promise<readonly StepResourcesRow[]> {
    return this.#ask((queries, session) => queries.stepResources(session, steps));
  }

  /** The build exists and is not finished. */
  isBuildActive(id: number): Promise<boolean> {
    return this.#ask((queries, session) => queries.isBuildActive(session, id));
  }

  /** There is a build with this id, finished or not. */
  buildExists(id: number): Promise<boolean> {
    return this.#ask((queries, session) => queries.buildExists(session, id));
  }

  /** Inserts a build for a derivation and tells the listeners; undefined when the jobset does not exist. */
  submitBuild(build: NewBuild): Promise<number | undefined> {
    return this.transaction(async (transaction) => (await queries()).submitBuild(transaction, build));
  }

  /** Cancels a build that is not finished; undefined when it does not exist. Listeners hear of it. */
  cancelBuild(id: number): Promise<CancelResult | undefined> {
    return this.transaction(async (transaction) => (await queries()).cancelBuild(transaction, id), {
      idempotent: true,
    });
  }

  /** Moves a build that is not finished to the front; undefined when it does not exist. Listeners hear of it. */
  bumpBuild(id: number): Promise<"bumped" | "finished" | undefined> {
    return this.transaction(async (transaction) => (await queries()).bumpBuild(transaction, id), {
      idempotent: true,
    });
  }

  /** Waits for running queries, then closes all connections. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Runs one of the queries that change nothing. */
  async #ask<T>(query: (queries: Queries, session: Session) => Promise<T>): Promise<T> {
    const loaded = await queries();
    return this.read((session) => query(loaded, session));
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new DatabaseError("closed", "the database connection was closed");
  }

  async #close(): Promise<void> {
    this.#closed.abort(new DatabaseError("closed", "the database connection was closed"));
    await this.#pool.end();
    await this.#onClosed();
  }
}

/**
 * Brings unfinished builds into the scheduler.
 *
 * The derivations below the builds are read level by level; each level costs one validity query to the store, one look
 * at the failed paths and, where outputs are unknown, one at earlier results. `ingestion-plan.ts` then decides without
 * any I/O, and the scheduler gets everything in one synchronous step, so nobody ever sees half a graph.
 */

import { setTimeout as sleep } from "node:timers/promises";
import type { HydraDatabase } from "../database/index.js";
import { errorChain } from "../errors.js";
import type { Logger } from "../log.js";
import { printStorePath, type StorePath } from "../nix/store-path.js";
import type { SchedulerApi } from "../scheduler/api.js";
import type { BuildId } from "../scheduler/ids.js";
import { stepId } from "../scheduler/ids.js";
import type { DynamicContinuation, NewStep, StepInput } from "../scheduler/types.js";
import type { BuildRegistry } from "./build-registry.js";
import type { CachedBuilds } from "./cached-builds.js";
import { Mutex, mapConcurrently } from "./concurrency.js";
import type { RunnerCounters } from "./counters.js";
import type { DerivationCatalog, StepFacts } from "./derivation-catalog.js";
import type { EarlierAttempts, StepHistory } from "./earlier-attempts.js";
import type { RunnerEdges } from "./edges.js";
import { RunnerError } from "./errors.js";
import { type BuildFate, type IngestionPlan, planIngestion, type Verdict } from "./ingestion-plan.js";
import type { InputResolver } from "./input-resolver.js";
import type { QueuedBuild } from "./queued-build.js";
import type { Recorder } from "./recorder.js";
import type { RunnerStore } from "./runner-store.js";

export interface IngestionOptions {
  readonly scheduler: SchedulerApi;
  readonly store: RunnerStore;
  readonly database: Pick<HydraDatabase, "failedPaths" | "stepDurations" | "earlierTries">;
  readonly earlierAttempts: EarlierAttempts;
  readonly catalog: DerivationCatalog;
  readonly resolver: InputResolver;
  readonly recorder: Recorder;
  readonly registry: BuildRegistry;
  readonly cached: CachedBuilds;
  readonly uploads: RunnerEdges["uploads"];
  readonly counters: RunnerCounters;
  readonly logger: Logger;
  readonly now: () => number;
  readonly useSubstitutes: () => boolean;
  readonly onChange: () => void;
}

/** Derivations read, and substitutions tried, at the same time. */
const readsAtOnce = 32;
const substitutionsAtOnce = 10;
/** Pauses after a failure to read what a build made. */
const firstRetryMs = 1_000;
const longestRetryMs = 64_000;

type DecidedFate = Exclude<BuildFate, { kind: "queued" }>;
type Verdicts = Map<StorePath, Verdict>;

export class Ingestion {
  readonly #options: IngestionOptions;
  readonly #mutex = new Mutex();

  constructor(options: IngestionOptions) {
    this.#options = options;
  }

  /**
   * Takes builds in; those the scheduler has already, or that are being recorded right now, are left alone.
   * `urgent` goes before waiting bulk work.
   */
  ingest(builds: readonly QueuedBuild[], options?: { readonly urgent?: boolean }): Promise<void> {
    return this.#mutex.run(() => this.#ingest(builds), options ?? {});
  }

  /**
   * A dependent goes on waiting for a derivation that an input's output named. Tried again for as long as the
   * dependent is wanted, because nothing else would look at it again.
   */
  async continueDynamic(continuation: DynamicContinuation, drv: StorePath, build: BuildId): Promise<void> {
    const { scheduler, logger } = this.#options;
    for (let delayMs = firstRetryMs; ; delayMs = Math.min(2 * delayMs, longestRetryMs)) {
      try {
        await this.#mutex.run(() => this.#continueDynamic(continuation, drv, build), { urgent: true });
        return;
      } catch (error) {
        if (!scheduler.hasStep(continuation.dependent)) return;
        logger.warn("a derivation that a build made cannot be read", { drv, error, retryInMs: delayMs });
        await sleep(delayMs, undefined, { ref: false });
      }
    }
  }

  /** What becomes of one derivation that replaces another (after resolution). */
  adopt(drv: StorePath, build: BuildId): Promise<{ readonly facts: StepFacts; readonly verdict: Verdict }> {
    return this.#mutex.run(
      async () => {
        const facts = await this.#options.catalog.facts(drv);
        const [verdict] = await this.#judge([facts], () => build);
        return { facts, verdict: verdict ?? { kind: "missing", facts } };
      },
      { urgent: true },
    );
  }

  async #ingest(all: readonly QueuedBuild[]): Promise<void> {
    const { scheduler, recorder, counters } = this.#options;
    const started = this.#options.now();
    const builds = all.filter((build) => !scheduler.hasBuild(build.id) && !recorder.holds(build.id));
    if (builds.length === 0) return;
    for (const build of builds) {
      scheduler.upsertJobset({
        id: build.jobset,
        project: build.project,
        name: build.jobsetName,
        shares: build.shares,
      });
    }
    const roots = new Set(builds.map((build) => build.drv));
    const accounts = new Map<StorePath, BuildId>();
    for (const build of builds) if (!accounts.has(build.drv)) accounts.set(build.drv, build.id);
    const verdicts: Verdicts = new Map();
    await this.#examine([...roots], verdicts, accounts);
    await this.#addToScheduler(builds, roots, verdicts, accounts);
    counters.metrics.add("buildsRead", builds.length);
    counters.metrics.add("buildReadMs", this.#options.now() - started);
    this.#options.onChange();
  }

  /** Reads and judges everything below `frontier` that is not complete. */
  async #examine(
    start: readonly StorePath[],
    verdicts: Verdicts,
    accounts: Map<StorePath, BuildId>,
  ): Promise<void> {
    const { scheduler, catalog, logger } = this.#options;
    let frontier = start;
    while (frontier.length > 0) {
      const facts: StepFacts[] = [];
      await mapConcurrently(frontier, readsAtOnce, async (drv) => {
        if (scheduler.hasStep(stepId(drv))) {
          verdicts.set(drv, { kind: "scheduled" });
          return;
        }
        try {
          facts.push(await catalog.facts(drv));
        } catch (error) {
          if (!(error instanceof RunnerError) || error.code !== "unreadable-derivation") throw error;
          logger.warn("derivation cannot be read", { drv, error });
          verdicts.set(drv, { kind: "unreadable", reason: errorChain(error) });
        }
      });
      const judged = await this.#judge(facts, (drv) => accounts.get(drv));
      const next = new Set<StorePath>();
      facts.forEach((fact, index) => {
        const verdict = judged[index] ?? { kind: "missing", facts: fact };
        verdicts.set(fact.drv, verdict);
        if (verdict.kind !== "missing") return;
        const account = accounts.get(fact.drv);
        for (const input of fact.inputs) {
          if (account !== undefined && !accounts.has(input.drv)) accounts.set(input.drv, account);
          if (!verdicts.has(input.drv)) next.add(input.drv);
        }
      });
      frontier = [...next];
    }
  }

  /** One verdict for each derivation, in order. One query of each kind for all of them. */
  async #judge(
    level: readonly StepFacts[],
    account: (drv: StorePath) => BuildId | undefined,
  ): Promise<Verdict[]> {
    if (level.length === 0) return [];
    const { store, database, recorder, uploads, resolver } = this.#options;
    const known = await this.#withEarlierOutputs(level);
    const paths = [...new Set(known.flatMap((facts) => [...facts.outputs.values()]))].filter(
      (path) => path !== undefined,
    );
    const [valid, failed] = await Promise.all([
      store.queryValidPaths(paths),
      database.failedPaths(paths.map((path) => printStorePath(store.storeDir, path))),
    ]);
    // Where builders upload for themselves, outputs are complete when the cache has them.
    const local = recorder.outputsAreLocal();
    const presence = await uploads.presence(local ? paths.filter((path) => valid.has(path)) : paths);
    if (paths.some((path) => !valid.has(path) && presence.get(path) === "unknown")) {
      throw new RunnerError("cache-unknown", "the binary cache cannot be asked what it has");
    }
    const verdicts: Verdict[] = [];
    const complete: StepFacts[] = [];
    const absent: { index: number; facts: StepFacts }[] = [];
    known.forEach((facts, index) => {
      const outputs = [...facts.outputs.values()];
      const failedBefore = outputs.some(
        (path) => path !== undefined && failed.has(printStorePath(store.storeDir, path)),
      );
      const there = outputs.every(
        (path) => path !== undefined && (valid.has(path) || (!local && presence.get(path) === "present")),
      );
      if (failedBefore) verdicts[index] = { kind: "failedBefore", facts };
      else if (there) {
        verdicts[index] = { kind: "complete", facts };
        complete.push(facts);
      } else {
        verdicts[index] = { kind: "missing", facts };
        absent.push({ index, facts });
      }
    });
    if (this.#options.useSubstitutes()) {
      await mapConcurrently(absent, substitutionsAtOnce, async ({ index, facts }) => {
        if (await this.#substitute(facts, account(facts.drv))) {
          verdicts[index] = { kind: "complete", facts };
          complete.push(facts);
          for (const path of facts.outputs.values()) if (path !== undefined) valid.add(path);
        }
      });
    }
    for (const facts of complete) resolver.learn(facts.drv, definedOutputs(facts));
    await recorder.outputsFound(complete, account);
    // Before anybody hears that they are there: what is here and not (surely) in the caches.
    const found = complete.flatMap((facts) => [...definedOutputs(facts).values()]);
    await uploads.uploadLater(found.filter((path) => valid.has(path) && presence.get(path) !== "present"));
    return verdicts;
  }

  /** Fills in outputs that only a build could tell, where an earlier build told. */
  async #withEarlierOutputs(level: readonly StepFacts[]): Promise<StepFacts[]> {
    const chains = level.flatMap((facts) =>
      [...facts.outputs]
        .filter(([, path]) => path === undefined)
        .map(([name]) => ({ root: facts.drv, outputs: [name] })),
    );
    if (chains.length === 0) return [...level];
    const found = await this.#options.resolver.outputPaths(chains);
    return level.map((facts) => {
      const outputs = new Map(facts.outputs);
      for (const [name, path] of outputs) {
        if (path === undefined) outputs.set(name, found.get(`${facts.drv}^${name}`));
      }
      return { ...facts, outputs };
    });
  }

  async #substitute(facts: StepFacts, build: BuildId | undefined): Promise<boolean> {
    const { store, counters, recorder, logger } = this.#options;
    const outputs = definedOutputs(facts);
    if (outputs.size < facts.outputs.size) return false;
    for (const [name, path] of outputs) {
      const started = this.#options.now();
      counters.metrics.add("substitutesStarted");
      try {
        await store.ensurePath(path);
      } catch (error) {
        counters.metrics.add("substitutesFailed");
        logger.debug("no substitute", { path, error });
        return false;
      }
      counters.metrics.add("substitutesSucceeded");
      if (build !== undefined) {
        await recorder.substituted(build, facts, new Map([[name, path]]), started, this.#options.now());
      }
    }
    return true;
  }

  async #addToScheduler(
    builds: readonly QueuedBuild[],
    roots: ReadonlySet<StorePath>,
    verdicts: Verdicts,
    accounts: Map<StorePath, BuildId>,
  ): Promise<void> {
    const { scheduler, registry, counters, now } = this.#options;
    const { plan, steps } = await this.#settle(roots, verdicts, accounts);
    scheduler.addSteps(steps, now());
    counters.metrics.add("queueStepsCreated", steps.length);
    const rest: { build: QueuedBuild; fate: DecidedFate }[] = [];
    for (const build of builds) {
      const fate = plan.fates.get(build.drv);
      if (fate !== undefined && fate.kind !== "queued") {
        rest.push({ build, fate });
        continue;
      }
      registry.add(build);
      scheduler.addBuild(
        {
          id: build.id,
          jobset: build.jobset,
          step: stepId(build.drv),
          globalPriority: build.globalPriority,
          localPriority: build.localPriority,
          timestamp: build.timestamp,
          job: build.job,
          maxSilent: build.maxSilent,
          timeout: build.timeout,
        },
        now(),
      );
    }
    for (const { build, fate } of rest) {
      registry.add(build);
      try {
        await this.#finish(build, fate);
      } catch (error) {
        // The next pass takes it in again, unless it is cancelled by then.
        registry.remove(build.id);
        throw error;
      }
    }
  }

  /** A build that nothing has to be built for. */
  async #finish(build: QueuedBuild, fate: DecidedFate): Promise<void> {
    const { cached, recorder, logger } = this.#options;
    switch (fate.kind) {
      case "cached":
        await cached.finish(build, fate.facts);
        break;
      case "failedBefore":
        await recorder.failedBefore(build.id, fate.step, fate.own);
        break;
      case "unreadable":
        logger.error("build aborted: a derivation it needs cannot be read", {
          build: build.id,
          drv: fate.drv,
          reason: fate.reason,
        });
        await recorder.aborted(build.id);
        break;
    }
  }

  async #continueDynamic(continuation: DynamicContinuation, drv: StorePath, build: BuildId): Promise<void> {
    const { scheduler, now, onChange } = this.#options;
    const verdicts: Verdicts = new Map();
    const accounts = new Map([[drv, build]]);
    await this.#examine([drv], verdicts, accounts);
    const { steps } = await this.#settle(new Set([drv]), verdicts, accounts);
    scheduler.addSteps(steps, now());
    const chain = continuation.chain.slice(0, -1);
    const inputs: StepInput[] = scheduler.hasStep(stepId(drv)) ? [{ id: stepId(drv), chain }] : [];
    scheduler.addInputs(continuation.dependent, inputs, now(), continuation.producer);
    onChange();
  }

  /**
   * Completes what is known and makes the plan. Steps that were scheduled when they were looked at may be over by now,
   * so they are looked at again until nothing has changed since the last wait: the caller must not wait either before
   * the steps are added.
   */
  async #settle(
    roots: ReadonlySet<StorePath>,
    verdicts: Verdicts,
    accounts: Map<StorePath, BuildId>,
  ): Promise<{ readonly plan: IngestionPlan; readonly steps: readonly NewStep[] }> {
    const { scheduler } = this.#options;
    const history = { durations: new Map<string, number>(), attempts: new Map<StorePath, StepHistory>() };
    for (;;) {
      const gone = [...verdicts]
        .filter(([drv, verdict]) => verdict.kind === "scheduled" && !scheduler.hasStep(stepId(drv)))
        .map(([drv]) => drv);
      if (gone.length > 0) {
        for (const drv of gone) verdicts.delete(drv);
        await this.#examine(gone, verdicts, accounts);
        continue;
      }
      const plan = planIngestion(roots, verdicts);
      const unread = plan.steps.map((step) => step.facts).filter(({ drv }) => !history.attempts.has(drv));
      if (unread.length === 0) {
        const steps = plan.steps
          .filter((step) => !scheduler.hasStep(stepId(step.facts.drv)))
          .map((step) => newStep(step.facts, step.gated, verdicts, history));
        return { plan, steps };
      }
      const more = await this.#history(unread);
      for (const [key, seconds] of more.durations) history.durations.set(key, seconds);
      for (const [drv, known] of more.attempts) history.attempts.set(drv, known);
    }
  }

  /** What the rows know of steps that are new here. */
  async #history(facts: readonly StepFacts[]): Promise<Histories> {
    if (facts.length === 0) return { durations: new Map(), attempts: new Map() };
    const { database, store, earlierAttempts, logger, now } = this.#options;
    const printed = (drv: StorePath): string => printStorePath(store.storeDir, drv);
    const [durations, earlier] = await Promise.all([
      database
        .stepDurations(facts.map((step) => ({ name: step.name, system: step.system })))
        .catch((error: unknown) => {
          logger.debug("no history of durations", { error });
          return new Map<string, number>();
        }),
      database.earlierTries(facts.map(({ drv }) => printed(drv))),
    ]);
    const attempts = facts.map(({ drv }): [StorePath, StepHistory] => [
      drv,
      earlierAttempts.of(printed(drv), earlier.get(printed(drv)), now()),
    ]);
    return { durations, attempts: new Map(attempts) };
  }
}

interface Histories {
  /** Seconds, by `system/name`. */
  readonly durations: ReadonlyMap<string, number>;
  readonly attempts: ReadonlyMap<StorePath, StepHistory>;
}

function definedOutputs(facts: StepFacts): Map<string, StorePath> {
  const outputs = new Map<string, StorePath>();
  for (const [name, path] of facts.outputs) if (path !== undefined) outputs.set(name, path);
  return outputs;
}

function newStep(
  facts: StepFacts,
  gated: boolean,
  verdicts: ReadonlyMap<StorePath, Verdict>,
  { durations, attempts }: Histories,
): NewStep {
  const inputs: StepInput[] = [];
  for (const input of gated ? [] : facts.inputs) {
    const kind = verdicts.get(input.drv)?.kind;
    if (kind === "missing" || kind === "scheduled" || kind === "uploading") {
      inputs.push({ id: stepId(input.drv), chain: input.chain });
    }
  }
  const seconds = durations.get(`${facts.system}/${facts.name}`);
  return {
    id: stepId(facts.drv),
    system: facts.system,
    features: facts.features,
    preferLocal: facts.preferLocal,
    inputs,
    name: facts.name,
    expectedDurationMs: seconds === undefined ? undefined : seconds * 1000,
    gate: gated ? "upload" : undefined,
    ...attempts.get(facts.drv),
  };
}

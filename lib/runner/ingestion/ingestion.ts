/**
 * Brings unfinished builds into the scheduler.
 *
 * The derivations below the builds are read level by level; each level costs one validity query to the store, one look
 * at the failed paths and, where outputs are unknown, one at earlier results. `ingestion-plan.ts` then decides without
 * any I/O, and the scheduler gets everything in one synchronous step, so nobody ever sees half a graph.
 */

import { Mutex, mapLimited, sleep } from "../../async/index.js";
import type { HydraDatabase } from "../../database/index.js";
import { errorChain } from "../../errors.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { SchedulerApi } from "../../scheduler/api.js";
import { type BuildId, type StepId, stepId } from "../../scheduler/ids.js";
import type { DynamicContinuation, NewStep, StepInput } from "../../scheduler/types.js";
import { RunnerError } from "../errors.js";
import type { Destination } from "../outputs/cache-targets.js";
import type { BuildRegistry } from "../state/build-registry.js";
import type { DerivationCatalog, StepFacts } from "../state/derivation-catalog.js";
import type { QueuedBuild } from "../state/queued-build.js";
import { wantingJobsets } from "../state/wanting-jobsets.js";
import type { CachedBuilds } from "./cached-builds.js";
import type { EarlierAttempts } from "./earlier-attempts.js";
import { newStep, StepHistories } from "./new-steps.js";
import { type BuildFate, type IngestionPlan, planIngestion, type Verdict } from "./plan.js";
import { StepJudge, type StepJudgeOptions } from "./step-judge.js";

export interface IngestionOptions extends StepJudgeOptions {
  readonly scheduler: SchedulerApi;
  readonly database: Pick<HydraDatabase, "failedPaths" | "stepDurations" | "earlierTries">;
  readonly earlierAttempts: EarlierAttempts;
  readonly catalog: DerivationCatalog;
  readonly registry: BuildRegistry;
  readonly cached: CachedBuilds;
  readonly onChange: () => void;
  /** A step that waits behind its gate until its outputs are where they belong. */
  readonly onGated: (facts: StepFacts) => void;
}

/** Derivations read at the same time. */
const readsAtOnce = 32;
/** Pauses after a failure to read what a step in the scheduler waits for. */
const firstRetryMs = 1_000;
const longestRetryMs = 64_000;

type DecidedFate = Exclude<BuildFate, { kind: "queued" }>;

/** What is known so far of some derivations and of those below them. */
interface Survey {
  readonly verdicts: Map<StorePath, Verdict>;
  /** The build that rows of a derivation are accounted to. */
  readonly accounts: Map<StorePath, BuildId>;
  /** Where their outputs belong. */
  readonly destination: Destination;
}

export class Ingestion {
  readonly #options: IngestionOptions;
  readonly #judge: StepJudge;
  readonly #mutex = new Mutex();

  constructor(options: IngestionOptions) {
    this.#options = options;
    this.#judge = new StepJudge(options);
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
  continueDynamic(continuation: DynamicContinuation, drv: StorePath, build: BuildId): Promise<void> {
    const what = "a derivation that a build made cannot be read";
    return this.#insistently(continuation.dependent, what, () =>
      this.#continueDynamic(continuation, drv, build),
    );
  }

  /** What becomes of one derivation that replaces another (after resolution), and its step should it need one. */
  adopt(
    drv: StorePath,
    build: BuildId,
    jobsets: readonly string[],
  ): Promise<{ readonly facts: StepFacts; readonly verdict: Verdict; readonly step: NewStep }> {
    return this.#mutex.run(
      async () => {
        const { catalog, uploads } = this.#options;
        const facts = await catalog.facts(drv);
        const [found] = await this.#judge.judge([facts], () => build, uploads.destination(jobsets));
        const verdict = found ?? { kind: "missing", facts };
        const histories = new StepHistories(this.#options);
        await histories.read([facts]);
        // All that it needs is there, or it would not have been resolved.
        const step = newStep(facts, verdict.kind === "uploading", new Map(), histories);
        return { facts, verdict, step };
      },
      { urgent: true },
    );
  }

  /** The outputs of a gated step cannot be had: what is below it is added, and it is built. */
  buildAfterAll(facts: StepFacts): Promise<void> {
    const what = "what is below a derivation cannot be read";
    return this.#insistently(stepId(facts.drv), what, () => this.#buildAfterAll(facts));
  }

  async #insistently(dependent: StepId, what: string, work: () => Promise<void>): Promise<void> {
    const { scheduler, logger } = this.#options;
    for (let delayMs = firstRetryMs; ; delayMs = Math.min(2 * delayMs, longestRetryMs)) {
      try {
        await this.#mutex.run(work, { urgent: true });
        return;
      } catch (error) {
        if (!scheduler.hasStep(dependent)) return;
        logger.warn(what, { dependent, error, retryInMs: delayMs });
        await sleep(delayMs, { ref: false });
      }
    }
  }

  async #ingest(all: readonly QueuedBuild[]): Promise<void> {
    const { scheduler, recorder, counters } = this.#options;
    const started = this.#options.now();
    const builds = all.filter((build) => !scheduler.hasBuild(build.id) && !recorder.holds(build.id));
    if (builds.length === 0) return;
    counters.metrics.add("queueBuildLoads", builds.length);
    for (const build of builds) {
      scheduler.upsertJobset({
        id: build.jobset,
        project: build.project,
        name: build.jobsetName,
        shares: build.shares,
      });
    }
    // Those that want everything in the caches go first: then no step of theirs is known with outputs elsewhere only.
    for (const destination of ["caches", "overflow"] as const) {
      const group = builds.filter((build) => this.#destination([jobsetName(build)]) === destination);
      if (group.length > 0) await this.#ingestGroup(group, destination);
    }
    counters.metrics.add("buildsRead", builds.length);
    counters.metrics.add("buildReadMs", this.#options.now() - started);
  }

  async #ingestGroup(builds: readonly QueuedBuild[], destination: Destination): Promise<void> {
    const roots = new Set(builds.map((build) => build.drv));
    const survey: Survey = { verdicts: new Map(), accounts: new Map(), destination };
    for (const { drv, id } of builds) if (!survey.accounts.has(drv)) survey.accounts.set(drv, id);
    await this.#examine([...roots], survey);
    await this.#addToScheduler(builds, roots, survey);
  }

  /** Reads and judges everything below `frontier` that is not complete. */
  async #examine(start: readonly StorePath[], survey: Survey): Promise<void> {
    const { verdicts, accounts, destination } = survey;
    const { scheduler, catalog, counters, logger } = this.#options;
    let frontier = start;
    while (frontier.length > 0) {
      const facts: StepFacts[] = [];
      await mapLimited(frontier, readsAtOnce, async (drv) => {
        if (scheduler.hasStep(stepId(drv))) {
          verdicts.set(drv, { kind: "scheduled" });
          return;
        }
        try {
          const found = await catalog.facts(drv);
          counters.metrics.observeInputs(found.system, new Set(found.inputs.map((input) => input.drv)).size);
          facts.push(found);
        } catch (error) {
          if (!(error instanceof RunnerError) || error.code !== "unreadable-derivation") throw error;
          logger.warn("derivation cannot be read", { drv, error });
          verdicts.set(drv, { kind: "unreadable", reason: errorChain(error) });
        }
      });
      const judged = await this.#judge.judge(facts, (drv) => accounts.get(drv), destination);
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

  async #addToScheduler(
    builds: readonly QueuedBuild[],
    roots: ReadonlySet<StorePath>,
    survey: Survey,
  ): Promise<void> {
    const { scheduler, registry, counters, now, onChange } = this.#options;
    const { plan, steps } = await this.#settle(roots, survey);
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
    this.#startCopying(plan);
    // What can run does not wait until the database has taken what need not.
    onChange();
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
    await this.#addBelow(continuation.dependent, [drv], build);
    const chain = continuation.chain.slice(0, -1);
    const inputs: StepInput[] = scheduler.hasStep(stepId(drv)) ? [{ id: stepId(drv), chain }] : [];
    scheduler.addInputs(continuation.dependent, inputs, now(), continuation.producer);
    onChange();
  }

  async #buildAfterAll(facts: StepFacts): Promise<void> {
    const { scheduler, now, onChange } = this.#options;
    const id = stepId(facts.drv);
    const build = scheduler.step(id)?.lowestBuild;
    if (build === undefined) return;
    await this.#addBelow(
      id,
      facts.inputs.map(({ drv }) => drv),
      build,
    );
    if (!scheduler.hasStep(id)) return;
    const inputs = facts.inputs.filter(({ drv }) => scheduler.hasStep(stepId(drv)));
    scheduler.addInputs(
      id,
      inputs.map(({ drv, chain }) => ({ id: stepId(drv), chain })),
      now(),
    );
    scheduler.ungate(id, now());
    onChange();
  }

  /** Adds what is missing of some derivations, and below them, for a step that is there. */
  async #addBelow(dependent: StepId, drvs: readonly StorePath[], build: BuildId): Promise<void> {
    const { scheduler, now } = this.#options;
    const destination = this.#destination(wantingJobsets(scheduler, dependent));
    const accounts = new Map(drvs.map((drv) => [drv, build]));
    const survey: Survey = { verdicts: new Map(), accounts, destination };
    await this.#examine(drvs, survey);
    const { plan, steps } = await this.#settle(new Set(drvs), survey);
    scheduler.addSteps(steps, now());
    this.#startCopying(plan);
  }

  #destination(jobsets: readonly string[]): Destination {
    return this.#options.uploads.destination(jobsets);
  }

  #startCopying(plan: IngestionPlan): void {
    for (const { facts, gated } of plan.steps) if (gated) this.#options.onGated(facts);
  }

  /**
   * Completes what is known and makes the plan. Steps that were scheduled when they were looked at may be over by now,
   * so they are looked at again until nothing has changed since the last wait: the caller must not wait either before
   * the steps are added.
   */
  async #settle(
    roots: ReadonlySet<StorePath>,
    survey: Survey,
  ): Promise<{ readonly plan: IngestionPlan; readonly steps: readonly NewStep[] }> {
    const { scheduler } = this.#options;
    const { verdicts } = survey;
    const histories = new StepHistories(this.#options);
    for (;;) {
      const gone = [...verdicts]
        .filter(([drv, verdict]) => verdict.kind === "scheduled" && !scheduler.hasStep(stepId(drv)))
        .map(([drv]) => drv);
      if (gone.length > 0) {
        for (const drv of gone) verdicts.delete(drv);
        await this.#examine(gone, survey);
        continue;
      }
      const plan = planIngestion(roots, verdicts);
      const unread = histories.unread(plan.steps.map((step) => step.facts));
      if (unread.length === 0) {
        const steps = plan.steps
          .filter((step) => !scheduler.hasStep(stepId(step.facts.drv)))
          .map((step) => newStep(step.facts, step.gated, verdicts, histories));
        return { plan, steps };
      }
      await histories.read(unread);
    }
  }
}

function jobsetName({ project, jobsetName: name }: QueuedBuild): string {
  return `${project}:${name}`;
}

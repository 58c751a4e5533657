/**
 * Surveys of the derivation graph: what is known of some derivations and of everything below them.
 *
 * Derivations are read level by level; each level costs one validity query to the store, one look at the failed paths
 * and, where outputs are unknown, one at earlier results.
 */

import { mapLimited } from "../../async/index.js";
import type { HydraDatabase } from "../../database/index.js";
import { errorChain } from "../../errors.js";
import type { StorePath } from "../../nix/path/store-path.js";
import { type BuildId, stepId } from "../../scheduler/ids.js";
import type { NewStep } from "../../scheduler/types.js";
import type { Metrics } from "../../status/index.js";
import { RunnerError } from "../errors.js";
import type { Destination } from "../outputs/uploads/cache-targets.js";
import type { DerivationCatalog, StepFacts } from "../state/derivation-catalog.js";
import type { RunningScheduler, SchedulerView } from "../state/running-scheduler.js";
import type { EarlierAttempts } from "./earlier-attempts.js";
import { newStep, StepHistories } from "./new-steps.js";
import { type IngestionPlan, planIngestion } from "./plan.js";
import { StepJudge, type StepJudgeOptions } from "./step-judge.js";
import { UsualDurations } from "./usual-durations.js";
import type { EvidenceVerdict, Verdict } from "./verdict.js";

/** What surveys ask. */
export interface GraphSurveysOptions extends Omit<StepJudgeOptions, "now"> {
  readonly scheduler: RunningScheduler;
  readonly database: Pick<HydraDatabase, "failedPaths" | "stepDurations" | "earlierTries">;
  readonly earlierAttempts: EarlierAttempts;
  readonly catalog: DerivationCatalog;
}

/** Derivations read at the same time. */
const readsAtOnce = 32;
/** A survey that has come to more derivations than these is a large one. */
const smallSurvey = 64;

/** Makes surveys; holds what they all ask. */
export class GraphSurveys {
  readonly #options: GraphSurveysOptions;
  readonly #scheduler: RunningScheduler;
  readonly #catalog: DerivationCatalog;
  readonly #judge: StepJudge;
  readonly #durations: UsualDurations;

  constructor(options: GraphSurveysOptions) {
    this.#options = options;
    this.#scheduler = options.scheduler;
    this.#catalog = options.catalog;
    this.#judge = new StepJudge({ ...options, now: () => options.scheduler.now() });
    this.#durations = new UsualDurations({ ...options, now: () => options.scheduler.now() });
  }

  /**
   * Reads and judges the derivations in `accounts` and everything below them that is not complete.
   *
   * @param accounts the build that rows of each derivation are accounted to; their inputs inherit it
   * @param destination where the outputs belong
   */
  async survey(accounts: ReadonlyMap<StorePath, BuildId>, destination: Destination): Promise<GraphSurvey> {
    const survey = new GraphSurvey({
      view: this.#scheduler.view,
      catalog: this.#catalog,
      judge: this.#judge,
      histories: this.#newHistories(),
      metrics: this.#options.counters.metrics,
      logger: this.#options.logger,
      accounts,
      destination,
    });
    await survey.start();
    return survey;
  }

  /**
   * These derivations are about to be surveyed: reading them begins. What goes wrong is found out again by the survey.
   * Durations are read even if there are none, so that the first build does not wait for them.
   */
  expect(drvs: readonly StorePath[]): void {
    if (!this.#durations.loaded) void this.#durations.load();
    for (const drv of drvs) {
      if (!this.#scheduler.view.hasStep(stepId(drv))) this.#catalog.facts(drv).catch(() => {});
    }
  }

  /** One derivation on its own, as a step without inputs: they are all there. */
  async surveyAlone(
    drv: StorePath,
    build: BuildId,
    destination: Destination,
  ): Promise<{ readonly facts: StepFacts; readonly verdict: EvidenceVerdict; readonly step: NewStep }> {
    const facts = await this.#catalog.facts(drv);
    const [found] = await this.#judge.judge([facts], () => build, destination);
    const verdict: EvidenceVerdict = found ?? { kind: "missing", facts };
    const histories = this.#newHistories();
    await histories.read([facts]);
    const step = newStep(facts, verdict.kind === "uploading", new Map(), histories);
    return { facts, verdict, step };
  }

  #newHistories(): StepHistories {
    return new StepHistories({
      ...this.#options,
      durations: this.#durations,
      now: () => this.#scheduler.now(),
    });
  }
}

interface GraphSurveyOptions {
  readonly view: SchedulerView;
  readonly catalog: DerivationCatalog;
  readonly judge: StepJudge;
  readonly histories: StepHistories;
  readonly metrics: Metrics;
  readonly logger: GraphSurveysOptions["logger"];
  readonly accounts: ReadonlyMap<StorePath, BuildId>;
  readonly destination: Destination;
}

/** One survey. What it found may be outdated after a wait; `settle` makes it current. */
export class GraphSurvey {
  readonly #view: SchedulerView;
  readonly #catalog: DerivationCatalog;
  readonly #judge: StepJudge;
  readonly #histories: StepHistories;
  readonly #metrics: Metrics;
  readonly #logger: GraphSurveyOptions["logger"];
  readonly #destination: Destination;
  readonly #roots: ReadonlySet<StorePath>;
  readonly #verdicts = new Map<StorePath, Verdict>();
  readonly #accounts: Map<StorePath, BuildId>;

  constructor(options: GraphSurveyOptions) {
    this.#view = options.view;
    this.#catalog = options.catalog;
    this.#judge = options.judge;
    this.#histories = options.histories;
    this.#metrics = options.metrics;
    this.#logger = options.logger;
    this.#destination = options.destination;
    this.#roots = new Set(options.accounts.keys());
    this.#accounts = new Map(options.accounts);
  }

  /** Examines the roots. */
  start(): Promise<void> {
    return this.#examine([...this.#roots], { historiesToo: this.#roots.size <= smallSurvey });
  }

  /**
   * Reads and judges everything below `start` that is not complete.
   *
   * `historiesToo`: what the rows record about `start` is read beside that, as a build that is alone would wait for it.
   */
  async #examine(start: readonly StorePath[], options?: { readonly historiesToo: boolean }): Promise<void> {
    let frontier = start;
    let historiesToo = options?.historiesToo ?? false;
    while (frontier.length > 0) {
      const facts = await this.#read(frontier);
      // Where it fails, `settle` reads it again should it be needed.
      const histories = historiesToo ? this.#histories.read(facts).catch(() => {}) : undefined;
      historiesToo = false;
      const judged = await this.#judge.judge(facts, (drv) => this.#accounts.get(drv), this.#destination);
      if (judged.some(({ kind }) => kind === "missing")) await histories;
      const next = new Set<StorePath>();
      facts.forEach((fact, index) => {
        const verdict = judged[index] ?? { kind: "missing", facts: fact };
        this.#verdicts.set(fact.drv, verdict);
        if (verdict.kind !== "missing") return;
        const account = this.#accounts.get(fact.drv);
        for (const input of fact.inputs) {
          if (account !== undefined && !this.#accounts.has(input.drv)) this.#accounts.set(input.drv, account);
          if (!this.#verdicts.has(input.drv)) next.add(input.drv);
        }
      });
      frontier = [...next];
    }
  }

  /**
   * Completes what is known and makes the plan. Steps that were scheduled when they were examined may be over by now,
   * so they are examined again until nothing has changed since the last wait: the caller must not wait either before it
   * adds the steps.
   */
  async settle(): Promise<{ readonly plan: IngestionPlan; readonly steps: readonly NewStep[] }> {
    let plan: IngestionPlan | undefined;
    for (;;) {
      const gone = this.#gone();
      if (gone.length > 0) {
        for (const drv of gone) this.#verdicts.delete(drv);
        plan = undefined;
        await this.#examine(gone);
        continue;
      }
      plan ??= planIngestion(this.#roots, this.#verdicts);
      const unread = this.#histories.unread(plan.steps.map((step) => step.facts));
      if (unread.length === 0) {
        const steps = plan.steps
          .filter((step) => !this.#view.hasStep(stepId(step.facts.drv)))
          .map((step) => newStep(step.facts, step.gated, this.#verdicts, this.#histories));
        return { plan, steps };
      }
      await this.#histories.read(unread);
    }
  }

  /** Derivations that were scheduled when they were examined, and are not any more. */
  #gone(): StorePath[] {
    const gone: StorePath[] = [];
    for (const [drv, { kind }] of this.#verdicts) {
      if (kind === "scheduled" && !this.#view.hasStep(stepId(drv))) gone.push(drv);
    }
    return gone;
  }

  /** Facts of those derivations that are neither scheduled nor unreadable; for the others the verdict is clear. */
  async #read(drvs: readonly StorePath[]): Promise<StepFacts[]> {
    const facts: StepFacts[] = [];
    const passing = this.#accounts.size > smallSurvey;
    await mapLimited(drvs, readsAtOnce, async (drv) => {
      if (this.#view.hasStep(stepId(drv))) {
        this.#verdicts.set(drv, { kind: "scheduled" });
        return;
      }
      try {
        const found = await this.#catalog.facts(drv, { passing });
        this.#metrics.observeInputs(found.system, inputDerivations(found));
        facts.push(found);
      } catch (error) {
        if (!(error instanceof RunnerError) || error.code !== "unreadable-derivation") throw error;
        this.#logger.warn("derivation cannot be read", { drv, error });
        this.#verdicts.set(drv, { kind: "unreadable", reason: errorChain(error) });
      }
    });
    return facts;
  }
}

/** How many derivations it needs. */
function inputDerivations({ inputs }: StepFacts): number {
  if (inputs.every(({ chain }) => chain.length === 0)) return inputs.length;
  return new Set(inputs.map(({ drv }) => drv)).size;
}

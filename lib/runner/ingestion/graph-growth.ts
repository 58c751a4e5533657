/**
 * Additions below steps that the scheduler has already: derivations that a build made, replacements of resolved steps,
 * and what a gated step needs when its outputs cannot be copied.
 */

import { backoffDelay, type Mutex, retry, type TaskGroup } from "../../async/index.js";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import { type BuildId, type StepId, stepId } from "../../scheduler/ids.js";
import type { DynamicContinuation, NewStep } from "../../scheduler/types.js";
import type { RunnerEdges } from "../outputs/edges.js";
import type { StepFacts } from "../state/derivation-catalog.js";
import type { RunningScheduler } from "../state/running-scheduler.js";
import { wantingJobsets } from "../state/wanting-jobsets.js";
import type { GraphSurveys } from "./graph-survey.js";
import type { OverflowCopies } from "./overflow-copies.js";
import type { IngestionPlan } from "./plan.js";
import type { EvidenceVerdict } from "./verdict.js";

/** What growth works with. */
export interface GraphGrowthOptions {
  readonly scheduler: RunningScheduler;
  readonly surveys: Pick<GraphSurveys, "survey" | "surveyAlone">;
  readonly copies: Pick<OverflowCopies, "start">;
  readonly uploads: Pick<RunnerEdges["uploads"], "destination">;
  /** Shared with everything that adds steps: one survey at a time. */
  readonly turns: Mutex;
  readonly tasks: TaskGroup;
  readonly logger: Logger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Aborts when the runner closes: nothing is retried any more. Default: never. */
  readonly closing?: AbortSignal | undefined;
}

/** Pauses after a failure to read what a step in the scheduler waits for. */
const firstRetryMs = 1_000;
const longestRetryMs = 64_000;

/** Adds to the graph of the scheduler from below. */
export class GraphGrowth {
  readonly #scheduler: RunningScheduler;
  readonly #surveys: GraphGrowthOptions["surveys"];
  readonly #copies: GraphGrowthOptions["copies"];
  readonly #uploads: GraphGrowthOptions["uploads"];
  readonly #turns: Mutex;
  readonly #tasks: TaskGroup;
  readonly #logger: Logger;
  readonly #random: () => number;
  readonly #closing: AbortSignal | undefined;

  constructor(options: GraphGrowthOptions) {
    this.#scheduler = options.scheduler;
    this.#surveys = options.surveys;
    this.#copies = options.copies;
    this.#uploads = options.uploads;
    this.#turns = options.turns;
    this.#tasks = options.tasks;
    this.#logger = options.logger;
    this.#random = options.random;
    this.#closing = options.closing;
  }

  /**
   * A dependent goes on waiting, in the background, for a derivation that an input's output named. Retried for as long as
   * the dependent is wanted, because nothing else would examine it again.
   */
  continueDynamic(continuation: DynamicContinuation, drv: StorePath): void {
    const build = this.#scheduler.view.step(continuation.dependent)?.lowestBuild;
    if (build === undefined) return;
    const what = "a derivation that a build made cannot be read";
    this.#tasks.start(() =>
      this.#retryWhileWanted(continuation.dependent, what, () =>
        this.#continueDynamic(continuation, drv, build),
      ),
    );
  }

  /** What becomes of a derivation that a step was resolved to, and its step should it need one. */
  examineReplacement(
    drv: StorePath,
    build: BuildId,
    jobsets: readonly string[],
  ): Promise<{ readonly facts: StepFacts; readonly verdict: EvidenceVerdict; readonly step: NewStep }> {
    return this.#turns.run(() => this.#surveys.surveyAlone(drv, build, this.#uploads.destination(jobsets)), {
      urgent: true,
    });
  }

  /** The outputs of a gated step cannot be copied, so it is built: the steps below it are added. */
  buildAfterAll(facts: StepFacts): Promise<void> {
    const what = "what is below a derivation cannot be read";
    return this.#retryWhileWanted(stepId(facts.drv), what, () => this.#buildAfterAll(facts));
  }

  /** Starts copying the outputs of the plan's gated steps, whose steps must be in the scheduler. */
  startCopies(plan: IngestionPlan): void {
    for (const { facts, gated } of plan.steps) if (gated) this.startCopy(facts);
  }

  /** Starts copying the outputs of a gated step from the overflow store; its gate opens at the end. */
  startCopy(facts: StepFacts): void {
    this.#copies.start(facts, this);
  }

  /** Resolves when it worked, when `step` is not wanted any more, or when the runner closes. */
  async #retryWhileWanted(step: StepId, what: string, work: () => Promise<void>): Promise<void> {
    const backoff = { firstMs: firstRetryMs, longestMs: longestRetryMs, random: this.#random };
    const isWanted = (): boolean => this.#scheduler.view.hasStep(step);
    try {
      await retry(() => this.#turns.run(work, { urgent: true }), {
        classify: () => (isWanted() ? "passing" : "final"),
        delayMs: (failures) => backoffDelay(failures, backoff),
        signal: this.#closing,
        ref: false,
        onRetry: ({ error, delayMs }) =>
          this.#logger.warn(what, { dependent: step, error, retryInMs: Math.round(delayMs) }),
      });
    } catch (error) {
      if (isWanted() && this.#closing?.aborted !== true) throw error;
    }
  }

  async #continueDynamic(continuation: DynamicContinuation, drv: StorePath, build: BuildId): Promise<void> {
    const { dependent, producer, chain } = continuation;
    const scheduler = this.#scheduler;
    await this.#addBelow(dependent, [drv], build);
    const isStep = scheduler.view.hasStep(stepId(drv));
    scheduler.addInputs(dependent, isStep ? [{ id: stepId(drv), chain: chain.slice(0, -1) }] : [], producer);
  }

  async #buildAfterAll(facts: StepFacts): Promise<void> {
    const scheduler = this.#scheduler;
    const id = stepId(facts.drv);
    const build = scheduler.view.step(id)?.lowestBuild;
    if (build === undefined) return;
    await this.#addBelow(
      id,
      facts.inputs.map(({ drv }) => drv),
      build,
    );
    if (!scheduler.view.hasStep(id)) return;
    const inputs = facts.inputs.filter(({ drv }) => scheduler.view.hasStep(stepId(drv)));
    scheduler.addInputs(
      id,
      inputs.map(({ drv, chain }) => ({ id: stepId(drv), chain })),
    );
    scheduler.ungate(id);
  }

  /** Adds what is missing of some derivations, and below them, for a step that is there. */
  async #addBelow(dependent: StepId, drvs: readonly StorePath[], build: BuildId): Promise<void> {
    const destination = this.#uploads.destination(wantingJobsets(this.#scheduler.view, dependent));
    const survey = await this.#surveys.survey(new Map(drvs.map((drv) => [drv, build])), destination);
    const { plan, steps } = await survey.settle();
    this.#scheduler.addSteps(steps);
    this.startCopies(plan);
  }
}

/**
 * Steps that turn out to be other steps: a derivation whose inputs are content-addressed is replaced by the one it
 * resolves to.
 *
 * Being resolved is not being finished: nothing above becomes runnable until the replacement is built, unless its
 * outputs are known already (early cut-off).
 */
import { stepStatus } from "../../database/status-numbers.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { CachedBuilds } from "../ingestion/cached-builds.js";
import type { GraphGrowth } from "../ingestion/graph-growth.js";
import type { Recorder } from "../recording/recorder.js";
import type { Attempt, AttemptRegistry } from "../state/attempts.js";
import { definedOutputs, type StepFacts } from "../state/derivation-catalog.js";
import type { RunningScheduler } from "../state/running-scheduler.js";
import type { BuiltOutputs } from "./built-outputs.js";
import type { Results } from "./results.js";

/** What resolved steps work with. */
export interface ResolvedStepsOptions {
  readonly scheduler: RunningScheduler;
  readonly attempts: AttemptRegistry;
  readonly growth: GraphGrowth;
  readonly builtOutputs: BuiltOutputs;
  readonly recorder: Recorder;
  readonly results: Results;
  readonly cached: CachedBuilds;
}

/** Replaces steps by what they were resolved to. */
export class ResolvedSteps {
  readonly #scheduler: RunningScheduler;
  readonly #attempts: AttemptRegistry;
  readonly #growth: GraphGrowth;
  readonly #builtOutputs: BuiltOutputs;
  readonly #recorder: Recorder;
  readonly #results: Results;
  readonly #cached: CachedBuilds;

  constructor(options: ResolvedStepsOptions) {
    this.#scheduler = options.scheduler;
    this.#attempts = options.attempts;
    this.#growth = options.growth;
    this.#builtOutputs = options.builtOutputs;
    this.#recorder = options.recorder;
    this.#results = options.results;
    this.#cached = options.cached;
  }

  /** The step of `attempt` is really `resolved`; the attempt is over. */
  async replace(attempt: Attempt, resolved: StorePath): Promise<void> {
    const { assignment, jobsets } = attempt;
    const { verdict, step } = await this.#growth.examineReplacement(resolved, assignment.build, jobsets);
    // Lost, cancelled or out of time meanwhile: that event has dealt with it.
    if (!this.#isRunning(attempt)) return;
    await this.#recorder.resolved(attempt, resolved);
    if (!this.#isRunning(attempt)) return;
    switch (verdict.kind) {
      case "complete":
        await this.#alreadyBuilt(attempt, verdict.facts);
        return;
      case "failedBefore":
        await this.#results.end(attempt, {
          kind: "failed",
          status: stepStatus.cachedFailure,
          reason: "failed before",
        });
        return;
      case "missing":
      case "uploading":
        this.#attempts.remove(attempt.id);
        this.#scheduler.replaceStep(assignment.step, step);
        if (verdict.kind === "uploading") this.#growth.startCopy(verdict.facts);
        return;
    }
  }

  async #alreadyBuilt(attempt: Attempt, facts: StepFacts): Promise<void> {
    const outputs = definedOutputs(facts);
    this.#builtOutputs.learn(attempt.drv, outputs);
    // The front-end looks for the resolved step in the same build; without a row it says "not yet scheduled".
    await this.#recorder.foundResolved(attempt.assignment.build, facts, outputs);
    if (!this.#isRunning(attempt)) return;
    const completion = this.#scheduler.complete(attempt.id, { kind: "succeeded" });
    this.#attempts.remove(attempt.id);
    if (completion.kind !== "finished" || completion.ownBuilds.length === 0) return;
    await this.#cached.finishAll(completion.ownBuilds, outputs, facts.system);
  }

  #isRunning(attempt: Attempt): boolean {
    return this.#attempts.get(attempt.id) !== undefined;
  }
}

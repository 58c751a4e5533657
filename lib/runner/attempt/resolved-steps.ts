/**
 * Steps that turn out to be other steps: a derivation whose inputs are content-addressed is replaced by the one it
 * resolves to.
 *
 * Being resolved is not being finished: nothing above becomes runnable until the replacement is built, unless its
 * outputs are known already (early cut-off).
 */
import { stepStatus } from "../../database/status-numbers.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { SchedulerApi } from "../../scheduler/api.js";
import { stepId } from "../../scheduler/ids.js";
import type { CachedBuilds } from "../ingestion/cached-builds.js";
import type { Ingestion } from "../ingestion/ingestion.js";
import type { Recorder } from "../recording/recorder.js";
import type { Attempt, AttemptRegistry } from "../state/attempts.js";
import { definedOutputs, type StepFacts } from "../state/derivation-catalog.js";
import type { InputResolver } from "../state/input-resolver.js";
import type { Results } from "./results.js";

export interface ResolvedStepsOptions {
  readonly scheduler: SchedulerApi;
  readonly attempts: AttemptRegistry;
  readonly ingestion: Ingestion;
  readonly resolver: InputResolver;
  readonly recorder: Recorder;
  readonly results: Results;
  readonly cached: CachedBuilds;
  readonly now: () => number;
  readonly random: () => number;
  readonly onChange: () => void;
  /** A step that waits behind its gate until its outputs are where they belong. */
  readonly onGated: (facts: StepFacts) => void;
}

export class ResolvedSteps {
  readonly #options: ResolvedStepsOptions;

  constructor(options: ResolvedStepsOptions) {
    this.#options = options;
  }

  /** The step of `attempt` is really `resolved`; the attempt is over. */
  async replace(attempt: Attempt, resolved: StorePath): Promise<void> {
    const { ingestion, recorder, attempts, scheduler, results, now, onChange } = this.#options;
    const { verdict, step } = await ingestion.adopt(resolved, attempt.assignment.build, attempt.jobsets);
    // Lost, cancelled or out of time while we were looking: that event has dealt with it.
    if (attempts.get(attempt.id) === undefined) return;
    await recorder.resolved(attempt, resolved);
    if (attempts.get(attempt.id) === undefined) return;
    switch (verdict.kind) {
      case "complete":
        await this.#alreadyBuilt(attempt, verdict.facts);
        return;
      case "failedBefore":
        await results.end(attempt, {
          kind: "failed",
          status: stepStatus.cachedFailure,
          reason: "failed before",
        });
        return;
      case "unreadable":
        await results.end(attempt, { kind: "retryable", reason: verdict.reason, blame: "other" });
        return;
      case "missing":
      case "uploading":
      case "scheduled":
        attempts.remove(attempt.id);
        scheduler.replaceStep(attempt.assignment.step, step, now());
        if (verdict.kind === "uploading") this.#options.onGated(verdict.facts);
        onChange();
        return;
    }
  }

  /** The outputs of the built step are also those of every derivation that was resolved to it. */
  learnOutputs(drv: StorePath, outputs: ReadonlyMap<string, StorePath>): void {
    const { resolver, scheduler } = this.#options;
    resolver.learn(drv, outputs);
    for (const from of scheduler.step(stepId(drv))?.resolvedFrom ?? []) {
      resolver.learn(from as unknown as StorePath, outputs);
    }
  }

  async #alreadyBuilt(attempt: Attempt, facts: StepFacts): Promise<void> {
    const { attempts, scheduler, recorder, cached, now, random, onChange } = this.#options;
    const outputs = definedOutputs(facts);
    this.learnOutputs(attempt.drv, outputs);
    // The front-end looks for the resolved step in the same build; without a row it says "not yet scheduled".
    await recorder.substituted(attempt.assignment.build, facts, outputs, now(), now());
    if (attempts.get(attempt.id) === undefined) return;
    const completion = scheduler.complete(attempt.id, { kind: "succeeded" }, now(), random);
    attempts.remove(attempt.id);
    onChange();
    if (completion.kind !== "finished" || completion.ownBuilds.length === 0) return;
    await cached.finishAll(completion.ownBuilds, outputs, facts.system);
  }
}

/**
 * Outputs that only the overflow store has and that a jobset wants which is not listed for it.
 *
 * Their steps are in the scheduler behind a gate while the outputs are copied; then they are finished. What cannot be
 * copied is built.
 */

import type { TaskGroup } from "../../async/index.js";
import { BinaryCacheError } from "../../binary-cache/index.js";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { SchedulerApi } from "../../scheduler/api.js";
import { type StepId, stepId } from "../../scheduler/ids.js";
import type { DynamicContinuation, Effect } from "../../scheduler/types.js";
import type { RunnerEdges } from "../outputs/edges.js";
import type { Recorder } from "../recording/recorder.js";
import type { RunnerCounters } from "../state/counters.js";
import { definedOutputs, type StepFacts } from "../state/derivation-catalog.js";
import type { CachedBuilds } from "./cached-builds.js";

export interface OverflowCopiesOptions {
  readonly scheduler: SchedulerApi;
  readonly uploads: RunnerEdges["uploads"];
  readonly recorder: Recorder;
  readonly cached: CachedBuilds;
  readonly counters: RunnerCounters;
  readonly tasks: TaskGroup;
  readonly logger: Logger;
  readonly now: () => number;
  readonly perform: (effects: readonly Effect[]) => void;
  readonly onChange: () => void;
  readonly onDynamic: (continuation: DynamicContinuation, drv: StorePath) => void;
  /** Adds what is below a step that is to be built after all, and opens its gate. */
  readonly buildAfterAll: (facts: StepFacts) => Promise<void>;
}

export class OverflowCopies {
  readonly #options: OverflowCopiesOptions;
  readonly #running = new Set<StepId>();

  constructor(options: OverflowCopiesOptions) {
    this.#options = options;
  }

  /** Copies in the background. `facts` must know all output paths; their step must be gated. */
  start(facts: StepFacts): void {
    const id = stepId(facts.drv);
    if (this.#running.has(id)) return;
    this.#running.add(id);
    this.#options.counters.metrics.add("overflowQueued");
    this.#options.tasks.start(() => this.#copy(facts).finally(() => this.#running.delete(id)));
  }

  async #copy(facts: StepFacts): Promise<void> {
    const { uploads, counters, logger, buildAfterAll } = this.#options;
    try {
      await uploads.copyFromOverflow(facts);
    } catch (error) {
      // The queue is closed, and so are we; the journal has the job.
      if (error instanceof BinaryCacheError && error.code === "unavailable") return;
      counters.metrics.add("overflowFailed");
      logger.warn("outputs cannot be copied from the overflow store and are built", {
        drv: facts.drv,
        error,
      });
      if (this.#isGated(facts)) await buildAfterAll(facts);
      return;
    }
    counters.metrics.add("overflowSucceeded");
    await this.#finish(facts);
  }

  async #finish(facts: StepFacts): Promise<void> {
    const { scheduler, recorder, cached, now, perform, onChange, onDynamic } = this.#options;
    const id = stepId(facts.drv);
    await recorder.outputsFound([facts], () => scheduler.step(id)?.lowestBuild);
    if (!this.#isGated(facts)) return;
    const completion = scheduler.finishStep(id, now());
    perform(completion.effects);
    onChange();
    const outputs = definedOutputs(facts);
    for (const continuation of completion.dynamic) {
      const drv = outputs.get(continuation.chain.at(-1) ?? "");
      if (drv !== undefined) onDynamic(continuation, drv);
    }
    if (completion.ownBuilds.length > 0) await cached.finishAll(completion.ownBuilds, outputs, facts.system);
  }

  /** Nobody may want it any more. */
  #isGated({ drv }: StepFacts): boolean {
    const { scheduler, now } = this.#options;
    return scheduler.why(stepId(drv), now()).code === "gated";
  }
}

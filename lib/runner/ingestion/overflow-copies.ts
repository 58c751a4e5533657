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
import { type StepId, stepId } from "../../scheduler/ids.js";
import type { DynamicContinuation } from "../../scheduler/types.js";
import type { RunnerEdges } from "../outputs/edges.js";
import type { Recorder } from "../recording/recorder.js";
import type { RunnerCounters } from "../state/counters.js";
import { definedOutputs, type StepFacts } from "../state/derivation-catalog.js";
import type { RunningScheduler } from "../state/running-scheduler.js";
import type { CachedBuilds } from "./cached-builds.js";

/** What copies work with. */
export interface OverflowCopiesOptions {
  readonly scheduler: RunningScheduler;
  readonly uploads: Pick<RunnerEdges["uploads"], "copyFromOverflow">;
  readonly recorder: Pick<Recorder, "outputsFound">;
  readonly cached: CachedBuilds;
  readonly counters: RunnerCounters;
  readonly tasks: TaskGroup;
  readonly logger: Logger;
}

/** What a copy asks of the graph when it is over. */
export interface GatedGraph {
  /** Adds what is below a step that has to be built after all, and opens its gate. */
  buildAfterAll(facts: StepFacts): Promise<void>;
  continueDynamic(continuation: DynamicContinuation, drv: StorePath): void;
}

/** The copies under way. */
export class OverflowCopies {
  readonly #scheduler: RunningScheduler;
  readonly #uploads: OverflowCopiesOptions["uploads"];
  readonly #recorder: OverflowCopiesOptions["recorder"];
  readonly #cached: CachedBuilds;
  readonly #counters: RunnerCounters;
  readonly #tasks: TaskGroup;
  readonly #logger: Logger;
  readonly #running = new Set<StepId>();

  constructor(options: OverflowCopiesOptions) {
    this.#scheduler = options.scheduler;
    this.#uploads = options.uploads;
    this.#recorder = options.recorder;
    this.#cached = options.cached;
    this.#counters = options.counters;
    this.#tasks = options.tasks;
    this.#logger = options.logger;
  }

  /** Copies in the background. `facts` must know all output paths; their step must be gated. */
  start(facts: StepFacts, graph: GatedGraph): void {
    const id = stepId(facts.drv);
    if (this.#running.has(id)) return;
    this.#running.add(id);
    this.#counters.metrics.add("overflowQueued");
    this.#tasks.start(() => this.#copy(facts, graph).finally(() => this.#running.delete(id)));
  }

  async #copy(facts: StepFacts, graph: GatedGraph): Promise<void> {
    try {
      await this.#uploads.copyFromOverflow(facts);
    } catch (error) {
      // The queue is closed, and so are we; the journal has the job.
      if (error instanceof BinaryCacheError && error.code === "unavailable") return;
      this.#counters.metrics.add("overflowFailed");
      this.#logger.warn("outputs cannot be copied from the overflow store and are built", {
        drv: facts.drv,
        error,
      });
      if (this.#isGated(facts)) await graph.buildAfterAll(facts);
      return;
    }
    this.#counters.metrics.add("overflowSucceeded");
    await this.#finish(facts, graph);
  }

  async #finish(facts: StepFacts, graph: GatedGraph): Promise<void> {
    const id = stepId(facts.drv);
    await this.#recorder.outputsFound([facts], () => this.#scheduler.view.step(id)?.lowestBuild);
    if (!this.#isGated(facts)) return;
    const finish = this.#scheduler.finishStep(id);
    const outputs = definedOutputs(facts);
    for (const continuation of finish.dynamic) {
      const drv = outputs.get(continuation.chain.at(-1) ?? "");
      if (drv !== undefined) graph.continueDynamic(continuation, drv);
    }
    if (finish.ownBuilds.length > 0) await this.#cached.finishAll(finish.ownBuilds, outputs, facts.system);
  }

  /** False as well when no build wants the step any more. */
  #isGated({ drv }: StepFacts): boolean {
    return this.#scheduler.why(stepId(drv)).code === "gated";
  }
}

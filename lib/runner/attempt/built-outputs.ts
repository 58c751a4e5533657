/** What follows from outputs as soon as they are built, before the database has them. */
import type { StorePath } from "../../nix/path/store-path.js";
import { stepId } from "../../scheduler/ids.js";
import type { DynamicContinuation } from "../../scheduler/types.js";
import type { GraphGrowth } from "../ingestion/graph-growth.js";
import type { IncomingOutputs } from "../outputs/arriving/incoming-outputs.js";
import type { Attempt } from "../state/attempts.js";
import { drvOf } from "../state/derivation-catalog.js";
import type { InputResolver } from "../state/input-resolver.js";
import type { RunningScheduler } from "../state/running-scheduler.js";

/** Hears of outcomes at once. */
export interface OutcomeListener {
  /**
   * An attempt has built its step. Called before the scheduler releases the steps that need it. `checked`: those of the
   * outputs that are in the runner's store.
   */
  built(attempt: Attempt, outputs: ReadonlyMap<string, StorePath>, checked: readonly StorePath[]): void;
  /** A built output named the derivation `drv`, which a dependent waits for. */
  dynamicInput(continuation: DynamicContinuation, drv: StorePath): void;
}

/** What built outputs are passed on to. */
export interface BuiltOutputsOptions {
  readonly scheduler: RunningScheduler;
  readonly incoming: IncomingOutputs;
  readonly resolver: InputResolver;
  readonly growth: GraphGrowth;
}

/** Passes built outputs on. */
export class BuiltOutputs implements OutcomeListener {
  readonly #scheduler: RunningScheduler;
  readonly #incoming: IncomingOutputs;
  readonly #resolver: InputResolver;
  readonly #growth: GraphGrowth;

  constructor({ scheduler, incoming, resolver, growth }: BuiltOutputsOptions) {
    this.#scheduler = scheduler;
    this.#incoming = incoming;
    this.#resolver = resolver;
    this.#growth = growth;
  }

  built(attempt: Attempt, outputs: ReadonlyMap<string, StorePath>, checked: readonly StorePath[]): void {
    this.#incoming.complete(attempt, [...outputs.values()], checked);
    this.learn(attempt.drv, outputs);
  }

  dynamicInput(continuation: DynamicContinuation, drv: StorePath): void {
    this.#growth.continueDynamic(continuation, drv);
  }

  /** The outputs of a step are also those of every derivation that was resolved to it. */
  learn(drv: StorePath, outputs: ReadonlyMap<string, StorePath>): void {
    this.#resolver.learn(drv, outputs);
    for (const from of this.#scheduler.view.step(stepId(drv))?.resolvedFrom ?? []) {
      this.#resolver.learn(drvOf(from), outputs);
    }
  }
}

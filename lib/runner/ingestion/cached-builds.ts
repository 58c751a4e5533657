/**
 * Builds whose outputs exist already: their result is copied from an earlier build, else read from the outputs.
 */
import type { HydraDatabase } from "../../database/index.js";
import { printStorePath, type StorePath } from "../../nix/path/store-path.js";
import type { BuiltOutput } from "../../rpc/types.js";
import type { BuildId } from "../../scheduler/ids.js";
import type { RunnerEdges } from "../outputs/edges.js";
import type { Recorder } from "../recording/recorder.js";
import { type BuildSummary, summarise } from "../state/build-report.js";
import type { RunnerCounters } from "../state/counters.js";
import { definedOutputs, type StepFacts } from "../state/derivation-catalog.js";
import type { QueuedBuild } from "../state/queued-build.js";
import type { RunnerStore } from "../state/runner-store.js";

/** What cached builds are made from. */
export interface CachedBuildsOptions {
  readonly store: RunnerStore;
  readonly database: Pick<HydraDatabase, "earlierBuildOfOutputs">;
  readonly recorder: Recorder;
  readonly readNixSupport: RunnerEdges["readNixSupport"];
  readonly uploads: Pick<RunnerEdges["uploads"], "readOutput">;
  readonly counters: RunnerCounters;
}

/** Records builds that nothing had to be built for. */
export class CachedBuilds {
  readonly #store: RunnerStore;
  readonly #database: CachedBuildsOptions["database"];
  readonly #recorder: Recorder;
  readonly #readNixSupport: CachedBuildsOptions["readNixSupport"];
  readonly #uploads: CachedBuildsOptions["uploads"];
  readonly #counters: RunnerCounters;

  constructor(options: CachedBuildsOptions) {
    this.#store = options.store;
    this.#database = options.database;
    this.#recorder = options.recorder;
    this.#readNixSupport = options.readNixSupport;
    this.#uploads = options.uploads;
    this.#counters = options.counters;
  }

  /** Records the build as a cached success. `facts` must know all output paths. */
  async finish(build: QueuedBuild, facts: StepFacts): Promise<void> {
    const outputs = definedOutputs(facts);
    await this.#recorder.buildCached(build.id, outputs, await this.summary(outputs, facts.system));
  }

  /** Records builds that have left the scheduler because their step turned out to be built. */
  async finishAll(
    builds: readonly BuildId[],
    outputs: ReadonlyMap<string, StorePath>,
    system: string,
  ): Promise<void> {
    this.#recorder.hold(builds);
    try {
      const summary = await this.summary(outputs, system);
      for (const build of builds) await this.#recorder.buildCached(build, outputs, summary);
    } finally {
      this.#recorder.release(builds);
    }
  }

  /** The result of an earlier build with these outputs, else what is read from the outputs. */
  async summary(outputs: ReadonlyMap<string, StorePath>, system: string): Promise<BuildSummary> {
    const earlier = await this.#database.earlierBuildOfOutputs(
      [...outputs.values()].map((path) => printStorePath(this.#store.storeDir, path)),
      this.#store.storeDir,
    );
    if (earlier !== undefined) return earlier;
    const summary = summarise(await this.#readOutputs(outputs));
    this.#counters.metrics.observeClosureSize(system, summary.closureSize);
    return summary;
  }

  async #readOutputs(outputs: ReadonlyMap<string, StorePath>): Promise<Map<string, BuiltOutput>> {
    const found = new Map<string, BuiltOutput>();
    for (const [name, path] of outputs) {
      const closure = await this.#store.closure([path]);
      const own = closure.find((info) => info.path === path);
      const elsewhere = own === undefined ? await this.#uploads.readOutput(name, path) : undefined;
      if (elsewhere !== undefined) {
        found.set(name, elsewhere);
        continue;
      }
      found.set(name, {
        path,
        narSize: own?.narSize ?? 0,
        closureSize: closure.reduce((sum, info) => sum + info.narSize, 0),
        narHash: own?.narHash,
        nixSupport: await this.#readNixSupport(name, path),
      });
    }
    return found;
  }
}

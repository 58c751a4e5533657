/** Finds out of derivations whether they are built, failed before, or are still to be built. */

import { mapLimited } from "../../async/index.js";
import type { HydraDatabase } from "../../database/index.js";
import type { Logger } from "../../log.js";
import { printStorePath, type StorePath } from "../../nix/path/store-path.js";
import type { BuildId } from "../../scheduler/ids.js";
import { RunnerError } from "../errors.js";
import type { Destination } from "../outputs/cache-targets.js";
import type { RunnerEdges } from "../outputs/edges.js";
import type { IncomingOutputs } from "../outputs/incoming-outputs.js";
import type { Recorder } from "../recording/recorder.js";
import type { RunnerCounters } from "../state/counters.js";
import { definedOutputs, type StepFacts } from "../state/derivation-catalog.js";
import type { InputResolver } from "../state/input-resolver.js";
import type { RunnerStore } from "../state/runner-store.js";
import type { Verdict } from "./plan.js";

export interface StepJudgeOptions {
  readonly store: RunnerStore;
  readonly database: Pick<HydraDatabase, "failedPaths">;
  readonly resolver: InputResolver;
  readonly recorder: Recorder;
  readonly uploads: RunnerEdges["uploads"];
  readonly incoming: IncomingOutputs;
  readonly counters: RunnerCounters;
  readonly logger: Logger;
  readonly now: () => number;
  readonly useSubstitutes: () => boolean;
}

const substitutionsAtOnce = 10;

export class StepJudge {
  readonly #options: StepJudgeOptions;

  constructor(options: StepJudgeOptions) {
    this.#options = options;
  }

  /** One verdict for each derivation, in order. One query of each kind for all of them. */
  async judge(
    level: readonly StepFacts[],
    account: (drv: StorePath) => BuildId | undefined,
    destination: Destination,
  ): Promise<Verdict[]> {
    if (level.length === 0) return [];
    const { store, database, recorder, uploads, resolver, incoming } = this.#options;
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
    const asked = local ? paths.filter((path) => valid.has(path)) : paths;
    const presence = await uploads.presence(asked, destination);
    if (paths.some((path) => !valid.has(path) && presence.get(path) === "unknown")) {
      throw new RunnerError("cache-unknown", "the binary cache cannot be asked what it has");
    }
    const elsewhere =
      local || destination === "overflow"
        ? new Set<StorePath>()
        : await uploads.inOverflow(
            paths.filter((path) => !valid.has(path) && presence.get(path) !== "present"),
          );
    const isThere = (path: StorePath): boolean =>
      valid.has(path) || (!local && presence.get(path) === "present");
    const verdicts: Verdict[] = [];
    const complete: StepFacts[] = [];
    const absent: { index: number; facts: StepFacts }[] = [];
    known.forEach((facts, index) => {
      const outputs = [...facts.outputs.values()];
      const failedBefore = outputs.some(
        (path) => path !== undefined && failed.has(printStorePath(store.storeDir, path)),
      );
      const there = outputs.every((path) => path !== undefined && isThere(path));
      if (failedBefore) verdicts[index] = { kind: "failedBefore", facts };
      else if (there) {
        verdicts[index] = { kind: "complete", facts };
        complete.push(facts);
      } else if (outputs.every((path) => path !== undefined && (isThere(path) || elsewhere.has(path)))) {
        verdicts[index] = { kind: "uploading", facts };
      } else {
        verdicts[index] = { kind: "missing", facts };
        absent.push({ index, facts });
      }
    });
    if (this.#options.useSubstitutes()) {
      await mapLimited(absent, substitutionsAtOnce, async ({ index, facts }) => {
        if (await this.#substitute(facts, account(facts.drv))) {
          verdicts[index] = { kind: "complete", facts };
          complete.push(facts);
          for (const path of definedOutputs(facts).values()) valid.add(path);
        }
      });
    }
    for (const verdict of verdicts) {
      if (verdict.kind !== "missing") continue;
      const outputs = [...definedOutputs(verdict.facts).values()];
      incoming.found(outputs.filter((path) => valid.has(path)));
    }
    for (const facts of complete) resolver.learn(facts.drv, definedOutputs(facts));
    await recorder.outputsFound(complete, account);
    // Before anybody hears that they are there: what is here and not (surely) in the caches.
    const found = complete.flatMap((facts) => [...definedOutputs(facts).values()]);
    const toUpload = found.filter((path) => valid.has(path) && presence.get(path) !== "present");
    await uploads.uploadLater(toUpload, destination);
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
}

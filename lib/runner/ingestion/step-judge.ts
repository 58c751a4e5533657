/**
 * Finds out whether derivations are built, failed before, or have to be built.
 *
 * Evidence is gathered with one query of each kind for a whole level of derivations, `judge` decides from it, and what
 * follows from the verdicts is done before anything hears of them.
 */

import { mapLimited } from "../../async/index.js";
import type { HydraDatabase } from "../../database/index.js";
import type { Logger } from "../../log.js";
import { printStorePath, type StorePath } from "../../nix/path/store-path.js";
import type { BuildId } from "../../scheduler/ids.js";
import { RunnerError } from "../errors.js";
import type { IncomingOutputs } from "../outputs/arriving/incoming-outputs.js";
import type { RunnerEdges } from "../outputs/edges.js";
import type { UploadMode } from "../outputs/upload-mode.js";
import type { Destination } from "../outputs/uploads/cache-targets.js";
import type { Recorder } from "../recording/recorder.js";
import type { RunnerCounters } from "../state/counters.js";
import { definedOutputs, type StepFacts } from "../state/derivation-catalog.js";
import type { InputResolver } from "../state/input-resolver.js";
import type { RunnerStore } from "../state/runner-store.js";
import { type EvidenceVerdict, judge, type OutputEvidence } from "./verdict.js";

/** What a judge asks, and whom it informs. */
export interface StepJudgeOptions {
  readonly store: Pick<RunnerStore, "onlyProven" | "storeDir" | "queryValidPaths" | "ensurePath">;
  readonly database: Pick<HydraDatabase, "failedPaths">;
  readonly resolver: InputResolver;
  readonly recorder: Pick<Recorder, "outputsFound" | "substituted">;
  readonly uploads: Pick<RunnerEdges["uploads"], "presence" | "inOverflow" | "uploadLater">;
  readonly incoming: Pick<IncomingOutputs, "found">;
  readonly counters: RunnerCounters;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Whether to ask the store's substituters for missing outputs. Read at each use. */
  readonly useSubstitutes: () => boolean;
  /** Read at each use. */
  readonly uploadMode: () => UploadMode;
}

/** The build that rows of a derivation are accounted to; undefined when there is none. */
export type Account = (drv: StorePath) => BuildId | undefined;

const substitutionsAtOnce = 10;

/** Judges derivations level by level. */
export class StepJudge {
  readonly #store: StepJudgeOptions["store"];
  readonly #database: StepJudgeOptions["database"];
  readonly #resolver: InputResolver;
  readonly #recorder: StepJudgeOptions["recorder"];
  readonly #uploads: StepJudgeOptions["uploads"];
  readonly #incoming: StepJudgeOptions["incoming"];
  readonly #counters: RunnerCounters;
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #useSubstitutes: () => boolean;
  readonly #uploadMode: () => UploadMode;

  constructor(options: StepJudgeOptions) {
    this.#store = options.store;
    this.#database = options.database;
    this.#resolver = options.resolver;
    this.#recorder = options.recorder;
    this.#uploads = options.uploads;
    this.#incoming = options.incoming;
    this.#counters = options.counters;
    this.#logger = options.logger;
    this.#now = options.now;
    this.#useSubstitutes = options.useSubstitutes;
    this.#uploadMode = options.uploadMode;
  }

  /**
   * One verdict for each derivation, in order.
   *
   * @throws RunnerError `cache-unknown` when a cache that decides did not answer; what the store and database throw
   */
  async judge(
    level: readonly StepFacts[],
    account: Account,
    destination: Destination,
  ): Promise<EvidenceVerdict[]> {
    if (level.length === 0) return [];
    const known = await this.#withEarlierOutputs(level);
    const evidence = await this.#gatherEvidence(known, destination);
    const fromEvidence = known.map((facts) => judge(facts, evidence));
    const substituted = await this.#substituteMissing(fromEvidence, account);
    const verdicts = fromEvidence.map(
      (verdict): EvidenceVerdict =>
        substituted.has(verdict.facts) ? { kind: "complete", facts: verdict.facts } : verdict,
    );
    const valid = new Set(evidence.valid);
    for (const facts of substituted) for (const path of definedOutputs(facts).values()) valid.add(path);
    const complete = [
      ...fromEvidence.filter(({ kind }) => kind === "complete").map(({ facts }) => facts),
      ...substituted,
    ];
    this.#noteLeftBehind(verdicts, valid);
    this.#learnOutputs(complete);
    await this.#recorder.outputsFound(complete, account);
    await this.#uploadFound(complete, valid, evidence, destination);
    return verdicts;
  }

  /** Fills in outputs that only a build can tell, from the results of earlier builds. */
  async #withEarlierOutputs(level: readonly StepFacts[]): Promise<StepFacts[]> {
    const chains = level
      .filter(({ impure }) => !impure)
      .flatMap((facts) =>
        [...facts.outputs]
          .filter(([, path]) => path === undefined)
          .map(([name]) => ({ root: facts.drv, outputs: [name] })),
      );
    if (chains.length === 0) return [...level];
    const found = await this.#resolver.outputPaths(chains);
    return level.map((facts) => {
      if (facts.impure) return facts;
      const outputs = new Map(facts.outputs);
      for (const [name, path] of outputs) {
        if (path === undefined) outputs.set(name, found.get(`${facts.drv}^${name}`));
      }
      return { ...facts, outputs };
    });
  }

  async #gatherEvidence(level: readonly StepFacts[], destination: Destination): Promise<OutputEvidence> {
    const paths = [...new Set(level.flatMap((facts) => [...definedOutputs(facts).values()]))];
    const printed = (path: StorePath): string => printStorePath(this.#store.storeDir, path);
    const [valid, failedPaths] = await Promise.all([
      this.#store.queryValidPaths(paths),
      this.#database.failedPaths(paths.map(printed)),
    ]);
    const uploadMode = this.#uploadMode();
    // Outputs that builders upload themselves are complete when the cache has them.
    const asked = uploadMode === "through-runner" ? paths.filter((path) => valid.has(path)) : paths;
    const presence = await this.#uploads.presence(asked, destination);
    if (paths.some((path) => !valid.has(path) && presence.get(path) === "unknown")) {
      throw new RunnerError(
        "cache-unknown",
        "the binary cache did not answer, so it is unknown which outputs it has",
      );
    }
    const inOverflow =
      uploadMode === "through-runner" || destination === "overflow"
        ? new Set<StorePath>()
        : await this.#uploads.inOverflow(
            paths.filter((path) => !valid.has(path) && presence.get(path) !== "present"),
          );
    const failed = new Set(paths.filter((path) => failedPaths.has(printed(path))));
    return { valid, failed, presence, inOverflow, uploadMode };
  }

  /** Fetches the outputs of missing derivations from substituters, where there are any; returns those it got. */
  async #substituteMissing(
    verdicts: readonly EvidenceVerdict[],
    account: Account,
  ): Promise<ReadonlySet<StepFacts>> {
    const substituted = new Set<StepFacts>();
    if (!this.#useSubstitutes()) return substituted;
    const missing = verdicts.filter(({ kind }) => kind === "missing");
    await mapLimited(missing, substitutionsAtOnce, async ({ facts }) => {
      if (await this.#substitute(facts, account(facts.drv))) substituted.add(facts);
    });
    return substituted;
  }

  async #substitute(facts: StepFacts, build: BuildId | undefined): Promise<boolean> {
    const outputs = definedOutputs(facts);
    if (outputs.size < facts.outputs.size) return false;
    for (const [name, path] of outputs) {
      const started = this.#now();
      this.#counters.metrics.add("substitutesStarted");
      try {
        await this.#store.ensurePath(path);
      } catch (error) {
        this.#counters.metrics.add("substitutesFailed");
        this.#logger.debug("no substitute", { path, error });
        return false;
      }
      this.#counters.metrics.add("substitutesSucceeded");
      if (build !== undefined) {
        await this.#recorder.substituted(build, facts, new Map([[name, path]]), started, this.#now());
      }
    }
    return true;
  }

  /** Valid outputs of a step that will be built are replaced by those of its next execution. */
  #noteLeftBehind(verdicts: readonly EvidenceVerdict[], valid: ReadonlySet<StorePath>): void {
    for (const { kind, facts } of verdicts) {
      if (kind !== "missing") continue;
      this.#incoming.found([...definedOutputs(facts).values()].filter((path) => valid.has(path)));
    }
  }

  #learnOutputs(complete: readonly StepFacts[]): void {
    for (const facts of complete) this.#resolver.learn(facts.drv, definedOutputs(facts));
  }

  /** Enqueues what is in our store and not (surely) in the caches. */
  async #uploadFound(
    complete: readonly StepFacts[],
    valid: ReadonlySet<StorePath>,
    { presence }: OutputEvidence,
    destination: Destination,
  ): Promise<void> {
    const found = complete.flatMap((facts) => [...definedOutputs(facts).values()]);
    const toUpload = found.filter((path) => valid.has(path) && presence.get(path) !== "present");
    await this.#uploads.uploadLater(toUpload, destination);
  }
}

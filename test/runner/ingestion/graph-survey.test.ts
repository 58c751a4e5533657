// What a survey asks at once, and what it keeps: a lone build waits for no answer that could have been there already.
import { describe, expect, it, vi } from "vitest";
import { derivationFiles, makePackageSet } from "../../../bench/package-set.js";
import { silentLogger } from "../../../lib/log.js";
import { defaultStoreDir, parseDerivation } from "../../../lib/nix/index.js";
import { derivationName, type StorePath } from "../../../lib/nix/path/store-path.js";
import { EventBus } from "../../../lib/runner/events/index.js";
import { EarlierAttempts } from "../../../lib/runner/ingestion/earlier-attempts.js";
import { GraphSurveys } from "../../../lib/runner/ingestion/graph-survey.js";
import { RunnerCounters } from "../../../lib/runner/state/counters.js";
import { DerivationCatalog } from "../../../lib/runner/state/derivation-catalog.js";
import { InputResolver } from "../../../lib/runner/state/input-resolver.js";
import type { RunnerStore } from "../../../lib/runner/state/runner-store.js";
import { RunningScheduler } from "../../../lib/runner/state/running-scheduler.js";
import { buildId } from "../../../lib/scheduler/ids.js";
import { Metrics } from "../../../lib/status/index.js";

const build = buildId(1);

/** Surveys of a package set of which nothing is built, below a store and a database that answer as they are told. */
function surveysOf(derivations: number) {
  const files = [...derivationFiles(makePackageSet(derivations, 1))];
  const contents = new Map(files.map((file) => [file.path, file.contents]));
  const readDerivation = vi.fn(async (path: StorePath) => {
    const text = contents.get(path);
    if (text === undefined) throw new Error("there is no such derivation");
    return parseDerivation(defaultStoreDir, derivationName(path), text);
  });
  const queryValidPaths = vi.fn(async () => new Set<StorePath>());
  const earlierTries = vi.fn(async () => new Map());
  const store = { onlyProven: true, storeDir: defaultStoreDir, readDerivation, queryValidPaths };
  const runnerStore = store as unknown as RunnerStore;
  const catalog = new DerivationCatalog(runnerStore);
  const scheduler = new RunningScheduler({}, { now: () => 1_000, random: () => 0.5 });
  const surveys = new GraphSurveys({
    store: runnerStore,
    database: {
      failedPaths: async () => new Set(),
      stepDurations: async () => new Map(),
      earlierTries,
    },
    resolver: new InputResolver({
      store: runnerStore,
      database: { resolveOutputChains: () => expect.unreachable() },
      catalog,
    }),
    recorder: { outputsFound: async () => {}, substituted: () => expect.unreachable() },
    uploads: {
      presence: async () => new Map(),
      inOverflow: async () => new Set(),
      uploadLater: async () => {},
    },
    incoming: { found: () => {} },
    counters: new RunnerCounters(new Metrics(), new EventBus()),
    logger: silentLogger,
    useSubstitutes: () => false,
    uploadMode: () => "through-runner",
    scheduler,
    earlierAttempts: new EarlierAttempts({
      retry: () => ({ maxTries: 5, intervalMs: 1_000, backoff: 2, jitterMs: 0, maxDelayMs: 60_000 }),
      random: () => 0.5,
    }),
    catalog,
  });
  const paths = files.map(({ path }) => path);
  return { surveys, catalog, paths, readDerivation, queryValidPaths, earlierTries };
}

describe("a survey of one build", () => {
  it("asks for the tries before, while the store still looks for the outputs", async () => {
    const { surveys, paths, queryValidPaths, earlierTries } = surveysOf(1);
    let answer: (valid: Set<StorePath>) => void = () => {};
    queryValidPaths.mockReturnValue(
      new Promise((resolve) => {
        answer = resolve;
      }),
    );
    const survey = surveys.survey(new Map(paths.map((path) => [path, build])), "caches");
    await vi.waitFor(() => expect(queryValidPaths).toHaveBeenCalledOnce());
    expect(earlierTries).toHaveBeenCalledOnce();
    answer(new Set());
    const { steps } = await (await survey).settle();
    expect(steps.map(({ id }) => id)).toEqual(paths);
    expect(earlierTries).toHaveBeenCalledOnce();
  });

  it("asks again for tries that the database did not tell, and fails when it still does not", async () => {
    const { surveys, paths, earlierTries } = surveysOf(1);
    earlierTries.mockRejectedValueOnce(new Error("the database does not answer"));
    const accounts = new Map(paths.map((path) => [path, build]));
    const { steps } = await (await surveys.survey(accounts, "caches")).settle();
    expect(steps).toHaveLength(1);
    expect(earlierTries).toHaveBeenCalledTimes(2);
    earlierTries.mockRejectedValue(new Error("the database does not answer"));
    const again = await surveys.survey(accounts, "caches");
    await expect(again.settle()).rejects.toThrow("the database does not answer");
  });

  it("keeps the parsed derivations, and uses what was read ahead", async () => {
    const { surveys, catalog, paths, readDerivation } = surveysOf(20);
    const roots = paths.slice(-1);
    surveys.expect(roots);
    await surveys.survey(new Map(roots.map((path) => [path, build])), "caches");
    const reads = readDerivation.mock.calls.length;
    expect(reads).toBe(new Set(readDerivation.mock.calls.map(([path]) => path)).size);
    for (const [path] of readDerivation.mock.calls.slice()) await catalog.derivation(path);
    expect(readDerivation).toHaveBeenCalledTimes(reads);
  });
});

describe("a survey of many builds", () => {
  it("keeps facts, not parsed derivations", async () => {
    const { surveys, catalog, paths, readDerivation } = surveysOf(100);
    await surveys.survey(new Map(paths.map((path) => [path, build])), "caches");
    expect(readDerivation).toHaveBeenCalledTimes(paths.length);
    for (const path of paths) await catalog.facts(path);
    expect(readDerivation).toHaveBeenCalledTimes(paths.length);
    for (const path of paths) await catalog.derivation(path);
    expect(readDerivation).toHaveBeenCalledTimes(2 * paths.length);
  });
});

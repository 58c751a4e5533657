// Retries below steps that are in the scheduler: as long as the step is wanted, and not while the runner closes.
import { describe, expect, it } from "vitest";
import { Mutex, TaskGroup } from "../../../lib/async/index.js";
import { silentLogger } from "../../../lib/log.js";
import type { StorePath } from "../../../lib/nix/path/store-path.js";
import { GraphGrowth } from "../../../lib/runner/ingestion/graph-growth.js";
import { RunningScheduler } from "../../../lib/runner/state/running-scheduler.js";
import { buildId, jobsetId, stepId } from "../../../lib/scheduler/ids.js";

const top = stepId("top");
const priorities = { globalPriority: 0, localPriority: 100, timestamp: 0 };

/** A dependent that waits for a derivation, and a store that does not answer. */
function withBrokenStore() {
  const scheduler = new RunningScheduler({}, { now: () => 1_000, random: () => 0.5 });
  const producer = stepId("producer");
  const step = { system: "x86_64-linux", features: [] };
  scheduler.upsertJobset({ id: jobsetId(1), project: "p", name: "j", shares: 1 });
  scheduler.addSteps([
    { id: producer, name: "producer", inputs: [], ...step },
    { id: top, name: "top", inputs: [{ id: producer, chain: ["out"] }], ...step },
  ]);
  scheduler.addBuild({ id: buildId(1), jobset: jobsetId(1), step: top, ...priorities });
  const tasks = new TaskGroup((error) => expect.unreachable(String(error)));
  const closing = new AbortController();
  let surveys = 0;
  let failed: () => void = () => {};
  const firstFailure = new Promise<void>((resolve) => {
    failed = resolve;
  });
  const growth = new GraphGrowth({
    scheduler,
    surveys: {
      survey: () => {
        surveys++;
        return Promise.reject(new Error("the store does not answer"));
      },
      surveyAlone: () => expect.unreachable(),
    },
    copies: { start: () => expect.unreachable() },
    uploads: { destination: () => "caches" },
    turns: new Mutex(),
    tasks,
    random: () => 0.5,
    logger: { ...silentLogger, warn: () => failed() },
    closing: closing.signal,
  });
  growth.continueDynamic({ dependent: top, producer, chain: ["out"] }, "x.drv" as StorePath);
  return { scheduler, tasks, closing, firstFailure, surveys: () => surveys };
}

describe("a step whose inputs cannot be read", () => {
  it("is retried while it is wanted, until then", async () => {
    const { scheduler, tasks, firstFailure, surveys } = withBrokenStore();
    await firstFailure;
    expect([surveys(), tasks.size]).toEqual([1, 1]);
    scheduler.removeBuild(buildId(1));
    expect(await tasks.drained(5_000)).toBe(true);
    expect(surveys()).toBe(2);
  });

  it("is not waited for by a runner that closes", async () => {
    const { tasks, closing, firstFailure, surveys } = withBrokenStore();
    await firstFailure;
    closing.abort(new Error("the runner is closing"));
    expect(await tasks.drained(500)).toBe(true);
    expect(surveys()).toBe(1);
  });
});

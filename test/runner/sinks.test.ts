/** Results for an embedder's sink, and rules that fail. */
import { expect, it } from "vitest";
import { defineQueueRunnerConfig } from "../../lib/config/index.js";
import { createLogger } from "../../lib/log.js";
import { parseStorePath } from "../../lib/nix/path/store-path.js";
import { type BuildFinished, type BuildStarted, EventBus } from "../../lib/runner/events/index.js";
import { Policies } from "../../lib/runner/policies.js";
import { NotifierFeed } from "../../lib/runner/sinks.js";

const result = (build: number): BuildFinished => ({
  type: "buildFinished",
  at: 1,
  build,
  project: "p",
  jobset: "j",
  job: "hello",
  drv: parseStorePath(`${"a".repeat(32)}-hello.drv`),
  queuedAt: 0,
  status: 0,
  durationMs: 1,
  cached: false,
});

function setup() {
  const lines: string[] = [];
  return { lines, logger: createLogger({ target: "t", write: (line) => lines.push(line) }) };
}

it("gives results one at a time, in order, and goes on after an error", async () => {
  const { lines, logger } = setup();
  const bus = new EventBus(logger);
  const taken: number[] = [];
  let atOnce = 0;
  const feed = new NotifierFeed(
    bus,
    {
      buildFinished: async ({ build }) => {
        expect(++atOnce).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        atOnce--;
        if (build === 2) throw new Error("the webhook is down");
        taken.push(build);
      },
    },
    logger,
  );
  for (let build = 1; build <= 5; build++) bus.emit(result(build));
  bus.emit({ ...result(9), type: "buildRemoved" });
  bus.close();
  await feed.close();
  expect(taken).toEqual([1, 3, 4, 5]);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/ERROR.*result.*build=2.*the webhook is down/);
});

it("notifies an own notifier of what it has methods for, in order", async () => {
  const { lines, logger } = setup();
  const bus = new EventBus(logger);
  class Journal {
    readonly told: string[] = [];
    async buildStarted({ build }: BuildStarted): Promise<void> {
      await new Promise((resolve) => setImmediate(resolve));
      this.told.push(`started ${build}`);
      if (build === 3) throw new Error("full");
    }
    buildFinished({ build }: BuildFinished): void {
      this.told.push(`finished ${build}`);
    }
  }
  const notifier = new Journal();
  const feed = new NotifierFeed(bus, notifier, logger);
  for (const build of [2, 3]) {
    const { project, jobset, job, drv, queuedAt } = result(build);
    bus.emit({ type: "buildStarted", at: 1, build, project, jobset, job, drv, queuedAt });
    bus.emit(result(build));
  }
  await Promise.resolve();
  expect(feed.waiting).toBe(4);
  bus.close();
  await feed.close();
  expect(feed.waiting).toBe(0);
  expect(notifier.told).toEqual(["started 2", "finished 2", "started 3", "finished 3"]);
  expect(lines).toEqual([expect.stringMatching(/ERROR.*notification.*of=buildStarted.*full/)]);
});

it("uses own rules in place of named ones until they fail", () => {
  const { lines, logger } = setup();
  const config = defineQueueRunnerConfig({ stepSortFn: "Legacy" }, { env: { LOGNAME: "hydra" } });
  const machineOrder = () => 1;
  const policies = new Policies(
    { machineOrder, machineFree: ({ jobs }) => jobs < 3, stepOrder: () => 0 },
    logger,
  );
  const before = policies.settings(config);
  expect(before.machineOrder).toBe(machineOrder);
  expect(before.stepOrder).toBeTypeOf("function");
  const { machineFree } = before;
  if (typeof machineFree !== "function") throw new Error("no function");
  const state = {
    uploads: 0,
    load: undefined,
    recentJobs: 0,
    recentUntil: 0,
    burstLimit: 0,
    info: {} as Parameters<typeof machineFree>[0]["info"],
  };
  expect(machineFree({ ...state, jobs: 2 })).toBeUndefined();
  expect(machineFree({ ...state, jobs: 3 })).toEqual({ kind: "policy" });
  policies.failed({ kind: "policyFailed", policy: "stepOrder", reason: "it gave NaN" });
  const after = policies.settings(config);
  expect(after.stepOrder).toBe("Legacy");
  expect(after.machineOrder).toBe(machineOrder);
  expect(lines).toEqual([
    expect.stringMatching(/ERROR.*custom rule failed.*policy=stepOrder reason="it gave NaN"/),
  ]);
});

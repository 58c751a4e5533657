/** Builds and steps of the API: words, what holds them up, graphs that stay small, tries and failures. */
import { describe, expect, it } from "vitest";
import type { ApiBuild, ApiStep, AttemptRecord, BuildRecord } from "../../../lib/status/index.js";
import { load } from "../../scheduler/world.js";
import { drvOf, type Farm, openFarm } from "./farm.js";

function record(id: number, job: string, more: Partial<BuildRecord> = {}): BuildRecord {
  return {
    id,
    project: "p",
    jobset: "j1",
    job,
    drv: drvOf(job),
    system: "x86_64-linux",
    finished: false,
    status: undefined,
    cached: false,
    priority: 100,
    globalPriority: 0,
    queuedAt: 5_000,
    startedAt: undefined,
    stoppedAt: undefined,
    outputs: [],
    products: [],
    ...more,
  };
}

const attempt = (name: string, more: Partial<AttemptRecord> = {}): AttemptRecord => ({
  drv: drvOf(name),
  build: 1,
  job: name,
  try: 1,
  machine: "vm",
  system: "x86_64-linux",
  startedAt: 10_000,
  stoppedAt: 70_000,
  status: 1,
  error: "builder failed with exit code 2\nmore",
  ...more,
});

function machine({ world }: Farm, maxJobs: number): void {
  world.machine("vm", { maxJobs });
  world.scheduler.updateMachine("vm" as never, load, world.now);
}

describe("a build of the queue", () => {
  it("says what it waits for, with the longest chain marked", async () => {
    await using farm = await openFarm({
      api: {
        records: {
          build: async (id) => (id === 1 ? record(1, "top") : undefined),
          endedSteps: async () => [
            {
              drv: drvOf("glibc"),
              status: 0,
              machine: "vm",
              startedAt: 1_000,
              stoppedAt: 2_000,
              error: undefined,
            },
          ],
        },
      },
    });
    machine(farm, 1);
    farm.step("llvm", [], { expectedDurationMs: 3_120_000 });
    farm.step("small", [], { expectedDurationMs: 1_000 });
    farm.step("middle", ["llvm", "small"], { expectedDurationMs: 5_000 });
    farm.step("top", ["middle"], { expectedDurationMs: 5_000 });
    farm.build(1, "top");
    farm.world.scheduler.setOptions({ stepOrder: "WithCriticalPath" }, farm.world.now);
    farm.world.assign();
    farm.world.now += 41 * 60_000;
    const build: ApiBuild = (await farm.ask("GET", "/api/builds/1")).json;
    const running = build.blockedBy.find(({ state }) => state === "running")?.name;
    const remaining = build.graph.nodes.filter(({ critical }) => critical).map(({ name }) => name);
    expect(build).toMatchObject({
      id: 1,
      job: "top",
      finished: false,
      status: null,
      steps: { total: 5, done: 1, running: 1, failed: 0 },
      url: "https://hydra.example.org/build/1",
      share: { asked: 1 },
    });
    expect(running).toBeDefined();
    expect(build.words).toMatch(/^waits for 4 of 5 steps; /);
    expect(remaining.slice(0, 2)).toEqual(["top", "middle"]);
    expect(build.graph.nodes.at(-1)).toMatchObject({ id: "group:succeeded", count: 1 });
    expect(build.graph.steps).toBe(5);
    expect(build.graph.edges).toContainEqual([0, 1]);
  });

  it("with very many steps puts those of one state together", async () => {
    await using farm = await openFarm({ api: { records: { build: async () => record(1, "top") } } });
    machine(farm, 2);
    const names = Array.from({ length: 3_000 }, (_, n) => `s${n}`);
    for (const name of names) farm.step(name);
    farm.step("top", names);
    farm.build(1, "top");
    farm.world.assign();
    const { graph, words }: ApiBuild = (await farm.ask("GET", "/api/builds/1")).json;
    expect(graph).toMatchObject({ steps: 3_001, truncated: false });
    expect(graph.nodes.length).toBeLessThan(10);
    expect(graph.nodes.reduce((sum, { count }) => sum + count, 0)).toBe(3_001);
    expect(graph.nodes.filter(({ state }) => state === "running")).toHaveLength(2);
    expect(words).toMatch(/^waits for 3,001 of 3,001 steps; s\d+ builds on vm for 0 s$/);
  });

  it("ends a walk along a chain that is long", async () => {
    await using farm = await openFarm({ api: { records: { build: async () => record(1, "c0") } } });
    for (let n = 24_999; n >= 0; n--) farm.step(`c${n}`, n === 24_999 ? [] : [`c${n + 1}`]);
    farm.build(1, "c0");
    const { graph }: ApiBuild = (await farm.ask("GET", "/api/builds/1")).json;
    expect(graph).toMatchObject({ steps: 20_000, truncated: true });
    expect(graph.nodes.length).toBeLessThan(410);
  });
});

describe("a build that has ended", () => {
  it("says how, and where the log of what failed is", async () => {
    await using farm = await openFarm({
      api: {
        records: {
          build: async () =>
            record(7, "hello", {
              finished: true,
              status: 2,
              startedAt: 10_000,
              stoppedAt: 75_000,
              outputs: [{ name: "out", path: undefined }],
              products: [
                { type: "file", subtype: "iso", name: "a.iso", path: "/nix/store/x/a.iso", size: 5 },
              ],
            }),
          endedSteps: async () => [
            { drv: drvOf("gcc"), status: 1, machine: "vm", startedAt: 10_000, stoppedAt: 70_000, error: "x" },
          ],
          errors: async () => new Map([[7, "builder failed with exit code 2\nmore"]]),
          tries: async (drv) => (drv === drvOf("gcc") ? [attempt("gcc")] : []),
        },
        logs: {
          list: async (drv) =>
            drv !== drvOf("gcc")
              ? []
              : [{ modifiedAt: 60_000, isNewest: true, read: never, length: async () => 0, follow: never }],
        },
      },
    });
    const build: ApiBuild = (await farm.ask("GET", "/api/builds/7")).json;
    expect(build).toMatchObject({
      finished: true,
      status: 2,
      words: "dependency failed after 1 min 5 s: builder failed with exit code 2",
      error: "builder failed with exit code 2\nmore",
      steps: { total: 1, done: 0, running: 0, failed: 1 },
      outputs: [{ name: "out", path: null }],
      products: [{ name: "a.iso", size: 5 }],
      blockedBy: [],
    });
    expect(build.failures).toEqual([
      {
        drv: drvOf("gcc"),
        name: "gcc",
        try: {
          try: 1,
          machine: "vm",
          startedAt: 10_000,
          stoppedAt: 70_000,
          status: 1,
          result: "failed",
          error: "builder failed with exit code 2\nmore",
          hasLog: true,
          cost: null,
        },
      },
    ]);
    expect(build.graph.nodes).toMatchObject([
      { name: "gcc", state: "failed", machine: "vm", durationMs: 60_000 },
    ]);
  });

  it.each([
    ["/api/builds/7", 404, "build 7 does not exist"],
    ["/api/builds/x", 404, "Not found"],
    ["/api/builds/99999999999", 404, "Not found"],
    [`/api/steps/${drvOf("none")}`, 404, "no such step"],
    ["/api/steps/none", 400, "invalid store path"],
  ])("%s is refused", async (path, status, error) => {
    await using farm = await openFarm();
    expect(await farm.ask("GET", path)).toMatchObject({ status, json: { error } });
  });
});

describe("a step", () => {
  it("has the scheduler's own sentence, the machines and the builds that need it", async () => {
    await using farm = await openFarm();
    machine(farm, 1);
    farm.step("first");
    farm.step("second");
    farm.step("top", ["second"]);
    farm.build(1, "first");
    farm.build(2, "top", "tests.top");
    farm.world.assign();
    const waiting =
      farm.world.scheduler.row(drvOf("first") as never)?.reason === "running" ? "second" : "first";
    const step: ApiStep = (await farm.ask("GET", `/api/steps/${drvOf(waiting)}`)).json;
    expect(step).toMatchObject({
      name: waiting,
      system: "x86_64-linux",
      state: "ready",
      reason: "machinesBusy",
      words: "vm full (1 of 1)",
      machines: [{ machine: "vm", why: "full (1 of 1)" }],
      tries: [],
      blockedBy: [],
    });
    const top: ApiStep = (await farm.ask("GET", `/api/steps/${drvOf("top")}`)).json;
    expect(top).toMatchObject({
      state: "waiting",
      words: "waits for 1 input",
      builds: [{ id: 2, job: "tests.top", jobset: "p:j1" }],
    });
    expect(top.blockedBy).toMatchObject([{ name: "second" }]);
  });

  it("that has left the queue says how it ended", async () => {
    await using farm = await openFarm({
      source: { whyNotRunning: async () => ({ code: "finished", status: 1 }) },
      api: {
        records: {
          tries: async () => [
            attempt("gcc", { try: 2, startedAt: 80_000, stoppedAt: 90_000 }),
            attempt("gcc", { status: 3 }),
          ],
        },
      },
    });
    const step: ApiStep = (await farm.ask("GET", `/api/steps/${drvOf("gcc")}`)).json;
    expect(step).toMatchObject({
      state: "failed",
      words: "failed on vm after 10 s: builder failed with exit code 2",
      tries: [
        { try: 1, result: "aborted" },
        { try: 2, result: "failed", hasLog: false },
      ],
    });
  });
});

function never(): never {
  throw new Error("not asked for");
}

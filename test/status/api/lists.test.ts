/** Jobsets, uploads, problems, timeline, history and search of the API. */
import { describe, expect, it } from "vitest";
import type { ApiJobsets, ApiSearch, ApiTimeline, ApiUploads } from "../../../lib/status/index.js";
import { load } from "../../scheduler/world.js";
import { drvOf, openFarm } from "./farm.js";

describe("lists", () => {
  it("jobsets have what they asked for and what they got", async () => {
    await using farm = await openFarm();
    const { world } = farm;
    world.jobset(2, 300);
    world.scheduler.loadJobsetUsage(2 as never, [{ start: world.now - 1_000, duration: 900 }], world.now);
    world.machine("vm", { maxJobs: 1 });
    world.scheduler.updateMachine("vm" as never, load, world.now);
    farm.step("one");
    farm.step("two");
    farm.build(1, "one");
    farm.build(2, "two");
    const before: ApiJobsets = (await farm.ask("GET", "/api/jobsets")).json;
    expect(before.jobsets).toMatchObject([
      {
        project: "p",
        name: "j1",
        shares: 100,
        asked: 0.25,
        got: 0,
        builds: 2,
        ready: 2,
        running: 0,
        oldestSince: 0,
      },
      {
        project: "p",
        name: "j2",
        shares: 300,
        asked: 0.75,
        got: 1,
        usedMs: 900,
        builds: 0,
        ready: 0,
        oldestSince: null,
      },
    ]);
  });

  it("uploads say what waits and which cache fails", async () => {
    const problem = {
      part: "uploads",
      code: "upload-failing",
      subject: "cache",
      reason: "503",
      advice: "look",
    } as const;
    const store = {
      name: "cache",
      puts: 3,
      putBytes: 100,
      putMs: 1,
      gets: 0,
      getBytes: 0,
      getMs: 0,
      heads: 0,
    };
    await using farm = await openFarm({
      source: {
        health: () => ({
          state: "active",
          queueLoaded: true,
          canRecord: true,
          problems: [{ ...problem, since: 5_000 }],
        }),
        pendingUploadCount: () => 1,
        remoteStores: () => [store, { ...store, name: "other" }],
      },
      api: {
        endedProblems: () => [{ ...problem, since: 1_000, until: 2_000 }],
        uploads: {
          paths: (limit) => ["a", "b"].slice(0, limit).map((path) => ({ path, since: 3_000 })),
          oldestSince: () => 3_000,
          retry: () => 7,
        },
      },
      token: "secret",
    });
    const uploads: ApiUploads = (await farm.ask("GET", "/api/uploads")).json;
    expect(uploads).toMatchObject({
      waiting: 1,
      oldestSince: 3_000,
      failingSince: 5_000,
      paths: [
        { path: "a", since: 3_000 },
        { path: "b", since: 3_000 },
      ],
      caches: [
        { name: "cache", puts: 3, failingSince: 5_000, error: "503" },
        { name: "other", failingSince: null, error: null },
      ],
    });
    expect((await farm.ask("GET", "/api/problems")).json.problems).toMatchObject([
      { code: "upload-failing", since: 5_000, until: null },
      { code: "upload-failing", since: 1_000, until: 2_000 },
    ]);
    expect((await farm.ask("POST", "/api/uploads/retry")).status).toBe(401);
    const headers = { authorization: "Bearer secret" };
    expect((await farm.ask("POST", "/api/uploads/retry", { headers })).json).toEqual({ retried: 7 });
  });

  it("the timeline has attempts by begin, and machines that are gone", async () => {
    const asked: unknown[] = [];
    const record = {
      drv: drvOf("a"),
      build: 1,
      job: "a",
      try: 1,
      machine: "gone",
      system: "x86_64-linux",
      startedAt: 3_000,
      stoppedAt: undefined,
      status: undefined,
      error: undefined,
    };
    await using farm = await openFarm({
      api: {
        records: {
          attempts: async (question) => {
            asked.push(question);
            return [record, { ...record, drv: drvOf("b"), startedAt: 1_000 }];
          },
        },
      },
    });
    farm.world.machine("vm", { maxJobs: 4 });
    const timeline: ApiTimeline = (await farm.ask("GET", "/api/timeline?from=1000&to=9000&build=1")).json;
    expect(asked).toEqual([{ from: 1_000, to: 9_000, build: 1, limit: 5_000 }]);
    expect(timeline).toMatchObject({
      machines: [
        { name: "gone", slots: 0 },
        { name: "vm", slots: 4 },
      ],
      attempts: [{ name: "b", stoppedAt: null, result: "running" }, { name: "a" }],
      truncated: false,
    });
    await farm.ask("GET", "/api/timeline");
    expect(asked.at(-1)).toMatchObject({ from: Math.max(0, farm.world.now - 3_600_000), to: farm.world.now });
    expect(await farm.ask("GET", "/api/timeline?from=9000&to=1000")).toMatchObject({
      status: 400,
      json: { error: "from: not before to", code: "bad-request" },
    });
    expect((await farm.ask("GET", "/api/timeline?build=x")).status).toBe(400);
  });

  it("the history is asked for by hours", async () => {
    const asked: number[] = [];
    await using farm = await openFarm({
      api: {
        history: async (hours) => {
          asked.push(hours);
          return { intervalMs: 60_000, points: [] };
        },
      },
    });
    expect((await farm.ask("GET", "/api/history?hours=2")).json).toEqual({ intervalMs: 60_000, points: [] });
    await farm.ask("GET", "/api/history");
    expect(asked).toEqual([2, 6]);
    expect((await farm.ask("GET", "/api/history?hours=7")).status).toBe(400);
  });

  it("the search finds builds, steps, machines and jobsets, and is bounded", async () => {
    await using farm = await openFarm({
      api: {
        records: {
          findBuilds: async () => [
            { id: 3, project: "p", jobset: "j1", job: "old", drv: drvOf("hello-old") },
          ],
        },
      },
    });
    const { world } = farm;
    world.machine("hello-box");
    farm.step("hello");
    farm.step("gcc", []);
    farm.build(1, "hello", "tests.hello");
    farm.build(2, "gcc");
    const find = async (text: string): Promise<string[]> => {
      const { hits }: ApiSearch = (await farm.ask("GET", `/api/search?q=${encodeURIComponent(text)}`)).json;
      return hits.map(({ kind, id }) => `${kind} ${id}`);
    };
    expect(await find("HELLO")).toEqual([
      "machine hello-box",
      "build 1",
      `step ${drvOf("hello")}`,
      "build 3",
    ]);
    expect(await find("p:j")).toEqual(["jobset p:j1", "build 3"]);
    expect((await find("2"))[0]).toBe("build 2");
    expect(await find(`/nix/store/${drvOf("gcc")}`)).toEqual(["build 2", `step ${drvOf("gcc")}`, "build 3"]);
    expect((await farm.ask("GET", "/api/search")).json).toEqual({ hits: [] });
    for (let n = 0; n < 50; n++) farm.step(`many-${n}`);
    expect(await find("many-")).toHaveLength(20);
  });
});

/** Overview and machines of the API: figures, words, and what a wrong request gets. */
import { describe, expect, it } from "vitest";
import type { ApiMachineDetail, ApiMachines, ApiOverview } from "../../../lib/status/index.js";
import { load } from "../../scheduler/world.js";
import { serve } from "../http-client.js";
import { idleRecording, recordedSource } from "../recorded-source.js";
import { drvOf, openFarm } from "./farm.js";

describe("the overview", () => {
  it("counts what runs, what is ready and what waits, and never calls ready what no machine can build", async () => {
    await using farm = await openFarm();
    const { world } = farm;
    world.machine("vm", { maxJobs: 1 });
    world.scheduler.updateMachine("vm" as never, load, world.now);
    farm.step("gcc");
    farm.step("hello", ["gcc"]);
    farm.step("curl");
    farm.step("mac", [], { system: "aarch64-darwin" });
    farm.build(1, "hello");
    farm.build(2, "curl");
    farm.build(3, "mac");
    world.assign();
    world.now += 90_000;
    const overview: ApiOverview = (await farm.ask("GET", "/api/overview")).json;
    expect(overview).toMatchObject({
      now: world.now,
      version: "1.2.3",
      farmName: "test farm",
      frontendUrl: "https://hydra.example.org",
      state: "active",
      leader: null,
      counts: { builds: 3, steps: 4, running: 1, ready: 1, waiting: 2, slotsUsed: 1, slots: 1, machines: 1 },
      reasons: { running: 1, machinesBusy: 1, waitingForInputs: 1, unsupported: 1 },
      leftMs: null,
    });
    const [mac, linux] = overview.systems;
    expect(mac).toMatchObject({
      system: "aarch64-darwin",
      slots: 0,
      ready: 0,
      reasons: { unsupported: 1 },
      oldest: { name: "mac", why: expect.stringMatching(/^no machine builds aarch64-darwin; fails in/) },
    });
    expect(linux).toMatchObject({ system: "x86_64-linux", slotsUsed: 1, slots: 1, ready: 1 });
    expect(linux?.oldest?.why).toContain("vm full (1 of 1)");
    expect(overview.runningNow).toMatchObject([
      { machine: "vm", system: "x86_64-linux", try: 1, phase: "sent", usualMs: null },
    ]);
  });

  it("puts what is longest over its usual time first", async () => {
    await using farm = await openFarm();
    const { world } = farm;
    world.machine("vm", { maxJobs: 4 });
    world.scheduler.updateMachine("vm" as never, load, world.now);
    farm.step("long", [], { expectedDurationMs: 3_600_000 });
    farm.step("short", [], { expectedDurationMs: 10_000 });
    farm.build(1, "long");
    farm.build(2, "short");
    world.assign();
    world.now += 60_000;
    const overview: ApiOverview = (await farm.ask("GET", "/api/overview")).json;
    expect(overview.runningNow.map(({ name, usualMs }) => [name, usualMs])).toEqual([
      ["short", 10_000],
      ["long", 3_600_000],
    ]);
  });

  it("shows fresh failures first, with the first line of why", async () => {
    const build = { project: "p", jobset: "j", drvPath: drvOf("x"), durationMs: 5, cached: false };
    await using farm = await openFarm({
      api: {
        records: {
          attempts: async () => [],
          tryCounts: async () => new Map(),
          errors: async (ids) => new Map(ids.map((id) => [id, `cannot link ${id}\nmore`])),
        },
      },
      source: {
        recentBuilds: () => [
          { ...build, id: 3, job: "good", status: 0, finishedAt: 999_000 },
          { ...build, id: 2, job: "bad", status: 1, finishedAt: 998_000, machine: "vm" },
          { ...build, id: 1, job: "old", status: 1, finishedAt: 1_000 },
        ],
      },
    });
    const { results }: ApiOverview = (await farm.ask("GET", "/api/overview")).json;
    expect(results.map(({ build: id, result, error }) => [id, result, error])).toEqual([
      [2, "failed", "cannot link 2"],
      [3, "succeeded", null],
      [1, "failed", "cannot link 1"],
    ]);
  });

  it("says 503 with a code when the source has no such data", async () => {
    const { source, metrics } = recordedSource(idleRecording);
    await using api = await serve({ source, metrics });
    expect(await api.ask("GET", "/api/overview")).toMatchObject({
      status: 503,
      text: '{"error":"this server has no such data","code":"unavailable"}',
    });
    expect(await api.ask("GET", "/api/nothing")).toMatchObject({
      status: 404,
      text: '{"error":"Not found","code":"not-found"}',
    });
  });
});

describe("machines", () => {
  it("say their state in words with the figure that decides", async () => {
    await using farm = await openFarm();
    const { world } = farm;
    const { scheduler } = world;
    for (const name of ["busy", "draining", "full", "gone", "idle", "loaded"]) {
      world.machine(name, { maxJobs: name === "full" ? 1 : 2, storeAvailThreshold: 10, systems: [name] });
      scheduler.updateMachine(
        name as never,
        name === "loaded" ? { ...load, storeFreePercent: 9.5 } : load,
        world.now,
      );
    }
    for (const [index, name] of ["busy", "full"].entries()) {
      farm.step(name, [], { system: name });
      farm.build(index + 1, name);
    }
    world.assign();
    scheduler.drainMachine("draining" as never, world.now);
    scheduler.disconnectMachine("gone" as never, world.now + 60_000, world.now);
    world.now += 10_000;
    const { machines }: ApiMachines = (await farm.ask("GET", "/api/machines")).json;
    expect(machines.map(({ name, state, words }) => [name, state, words])).toEqual([
      ["busy", "building", "builds 1 of 2"],
      ["draining", "draining", "draining"],
      ["full", "full", "full (1 of 1)"],
      ["gone", "disconnected", "connection lost"],
      ["idle", "idle", "idle for 10 s"],
      ["loaded", "limited", "too little space in the store (9.5, limit 10)"],
    ]);
    world.now += 120_000;
    const idle: ApiMachineDetail = (await farm.ask("GET", "/api/machines/idle")).json;
    expect(idle).toMatchObject({
      state: "silent",
      words: "no ping for 2 min 10 s",
      running: [],
      history: [],
    });
    expect(idle.limits).toContainEqual({ what: "free space in the store, %", value: 80, limit: 10 });
  });

  it("have what runs and what ran there; an unknown one is not found", async () => {
    const record = {
      drv: drvOf("gcc"),
      build: 7,
      job: "gcc",
      try: 2,
      machine: "vm",
      system: "x86_64-linux",
      startedAt: 5_000,
      stoppedAt: 9_000,
      status: 1,
      error: undefined,
    };
    const asked: unknown[] = [];
    await using farm = await openFarm({
      api: {
        records: {
          attempts: async (question) => {
            asked.push(question);
            return [record, { ...record, stoppedAt: undefined, status: undefined }];
          },
          tryCounts: async () => new Map([[drvOf("hello"), 3]]),
          errors: async () => new Map(),
        },
      },
    });
    const { world } = farm;
    world.machine("vm");
    world.scheduler.updateMachine("vm" as never, load, world.now);
    farm.step("hello");
    farm.build(1, "hello");
    world.assign();
    const machine: ApiMachineDetail = (await farm.ask("GET", "/api/machines/vm")).json;
    expect(machine.running).toMatchObject([{ name: "hello", try: 3, build: 1 }]);
    expect(machine.history).toEqual([
      {
        drv: drvOf("gcc"),
        name: "gcc",
        build: 7,
        job: "gcc",
        try: 2,
        machine: "vm",
        system: "x86_64-linux",
        startedAt: 5_000,
        stoppedAt: 9_000,
        status: 1,
        result: "failed",
      },
    ]);
    expect(asked).toEqual([{ from: world.now - 86_400_000, to: world.now, machine: "vm", limit: 100 }]);
    expect(await farm.ask("GET", "/api/machines/other")).toMatchObject({
      status: 404,
      text: '{"error":"no such machine","code":"not-found"}',
    });
  });
});

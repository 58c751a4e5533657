// The farm in virtual time that users try their policies, sinks and builders on.
import { describe, expect, it } from "vitest";
import type { RunnerEvent, RunnerEventName } from "../../lib/runner/index.js";
import { type SimulatedFarmOptions, SimulationError, simulateFarm } from "../../lib/testing/index.js";

const one: SimulatedFarmOptions = {
  packages: { app: {} },
  machines: [{ hostname: "box" }],
};
const ofType = (events: readonly RunnerEvent[], name: RunnerEventName): readonly RunnerEvent[] =>
  events.filter(({ type }) => type === name);

async function history(seed: number): Promise<readonly RunnerEvent[]> {
  await using farm = await simulateFarm({
    seed,
    packages: {
      a: { flaky: 0.5 },
      b: { inputs: ["a"], flaky: 0.5, contentAddressed: true },
      c: { inputs: ["a", "b"] },
      d: { outcome: "timedOut" },
    },
    machines: [{ hostname: "x", maxJobs: 2 }, { hostname: "y" }],
    config: { maxRetries: 4, retryInterval: 1 },
  });
  for (const name of ["c", "d"]) farm.enqueue({ package: name });
  farm.after(20_000, () => farm.silence("x", 100_000));
  farm.after(70_000, () => farm.killRunner());
  await farm.run();
  return farm.events;
}

describe("a simulated farm", () => {
  it("builds what is queued, inputs first, and says what happened", async () => {
    await using farm = await simulateFarm({
      packages: { lib: { durationMs: 30_000 }, app: { inputs: ["lib"], durationMs: 10_000 } },
      machines: [{ hostname: "box", speedFactor: 2 }],
    });
    const finished: string[] = [];
    farm.on("stepFinished", ({ name }) => finished.push(name));
    const build = farm.enqueue({ package: "app", jobset: "p:j" });
    await farm.run();
    expect(finished).toEqual(["lib", "app"]);
    expect(farm.database.builds).toMatchObject([
      { id: build, package: "app", jobset: "p:j", finished: true, status: 0, cached: false },
    ]);
    expect(farm.database.steps).toMatchObject([
      { package: "lib", machine: "box", busy: false, status: 0 },
      { package: "app", machine: "box", busy: false, status: 0 },
    ]);
    // 40 s on a machine that is twice as fast, and a little for the wire.
    const [first] = ofType(farm.events, "stepStarted");
    expect(farm.now - (first?.at ?? 0)).toBeGreaterThanOrEqual(20_000);
    expect(farm.now - (first?.at ?? 0)).toBeLessThan(22_000);
    expect(farm.store.has("app")).toBe(true);
  });

  it("has the same history for the same seed, and another for another", async () => {
    const first = await history(5);
    expect(first.length).toBeGreaterThan(15);
    expect(await history(5)).toEqual(first);
    expect(await history(6)).not.toEqual(first);
  });

  it("takes own orders of machines and steps", async () => {
    await using farm = await simulateFarm({
      packages: { a: {}, b: {}, c: {} },
      machines: [{ hostname: "fast", speedFactor: 8 }, { hostname: "slow" }],
      machineOrder: ({ info }) => -info.speedFactor,
      machineFree: ({ info, jobs }) => jobs === 0 && info.hostname === "slow",
      stepOrder: (x, y) => (x.name < y.name ? 1 : -1),
    });
    for (const name of ["a", "b", "c"]) farm.enqueue({ package: name });
    await farm.run();
    expect(farm.database.steps.map(({ package: name, machine }) => `${name} on ${machine}`)).toEqual([
      "c on slow",
      "b on slow",
      "a on slow",
    ]);
  });

  it("keeps a build through a cut of the wire, and loses it in a crash", async () => {
    for (const [trouble, tries] of [
      ["cut", 1],
      ["crash", 2],
    ] as const) {
      await using farm = await simulateFarm(one);
      farm.enqueue({ package: "app" });
      farm.after(30_000, () => farm[trouble]("box", 3_000));
      await farm.run();
      expect(ofType(farm.events, "stepStarted"), trouble).toHaveLength(tries);
      expect(farm.database.builds[0]?.status).toBe(0);
    }
  });

  it("goes on with builds when the runner is killed and started again", async () => {
    await using farm = await simulateFarm(one);
    farm.enqueue({ package: "app" });
    farm.after(30_000, () => farm.killRunner());
    await farm.run();
    expect(ofType(farm.events, "stepStarted")).toMatchObject([{ adopted: false }, { adopted: true }]);
    expect(ofType(farm.events, "buildFinished")).toMatchObject([{ status: 0 }]);
    expect(farm.now - 1_700_000_000_000).toBeLessThan(70_000);
  });

  it("loses nothing while the database and the store are away", async () => {
    await using farm = await simulateFarm(one);
    farm.enqueue({ package: "app" });
    farm.after(30_000, () => farm.database.disturb({ down: true }, 120_000));
    farm.after(30_000, () => farm.store.disturb({ down: true }, 60_000));
    await farm.run();
    expect(ofType(farm.events, "stepStarted")).toHaveLength(1);
    expect(farm.database.builds[0]?.status).toBe(0);
    expect(farm.now - 1_700_000_000_000).toBeGreaterThanOrEqual(150_000);
  });

  it("waits for a sink of results that tries again in virtual time", async () => {
    const got: string[] = [];
    await using farm = await simulateFarm({
      ...one,
      onResult: async ({ job, status }) => {
        await new Promise((resolve) => setTimeout(resolve, 3_600_000));
        got.push(`${job}: ${status}`);
      },
    });
    farm.enqueue({ package: "app" });
    await farm.run();
    expect(got).toEqual(["app: 0"]);
    expect(farm.now - 1_700_000_000_000).toBeGreaterThan(3_600_000);
  });

  it("runs own builders, and brings their logs to an own sink", async () => {
    let log = "";
    await using farm = await simulateFarm({
      packages: { app: {}, bad: {} },
      machines: [
        {
          hostname: "box",
          build: async ({ name, log: say }) => {
            say(`building ${name}`);
            await new Promise((resolve) => setTimeout(resolve, 5_000));
            if (name === "bad") throw new Error("the disk is full");
            return { kind: "succeeded" };
          },
        },
      ],
      config: { maxRetries: 1 },
      onLog: ({ bytes }) => {
        log += Buffer.from(bytes).toString();
      },
    });
    for (const name of ["app", "bad"]) farm.enqueue({ package: name });
    await farm.run();
    expect(farm.database.builds.map(({ status }) => status)).toEqual([0, 3]);
    expect(log).toBe("building app\nbuilding bad\nError: the disk is full\n");
  });

  it("does not build what is in the store, nor what is cancelled", async () => {
    await using farm = await simulateFarm({ ...one, packages: { app: {}, other: {} } });
    farm.store.add("app");
    farm.enqueue({ package: "app" });
    const other = farm.enqueue({ package: "other" });
    farm.after(10_000, () => farm.database.cancel(other));
    await farm.run();
    expect(farm.database.builds).toMatchObject([
      { cached: true, status: 0 },
      { finished: true, status: 4 },
    ]);
    expect(farm.store.has("other")).toBe(false);
  });

  it("says which packages, machines and calls make no sense", async () => {
    const refused = async (options: Partial<SimulatedFarmOptions>): Promise<string> => {
      const error: unknown = await simulateFarm({ ...one, ...options }).catch((reason: unknown) => reason);
      return error instanceof SimulationError ? `${error.code}: ${error.message}` : String(error);
    };
    expect(await refused({ packages: { a: { inputs: ["b"] } } })).toBe(
      "bad-farm: package a needs b, which is not among the packages",
    );
    expect(await refused({ packages: { a: { inputs: ["b"] }, b: { inputs: ["a"] } } })).toBe(
      "bad-farm: package a needs itself",
    );
    expect(await refused({ machines: [{ hostname: "x" }, { hostname: "x" }] })).toBe(
      "bad-farm: x is in the farm already",
    );
    expect(await refused({ config: { maxRetries: -1 } })).toMatch(/^ConfigError: .*maxRetries/);
    await using farm = await simulateFarm({ ...one, machines: [] });
    expect(() => farm.enqueue({ package: "x" })).toThrow(SimulationError);
    expect(() => farm.cut("x")).toThrow(SimulationError);
    farm.enqueue({ package: "app" });
    await expect(farm.run({ until: () => false, limitMs: 60_000 })).rejects.toMatchObject({
      code: "no-end",
      message: expect.stringContaining("build 1 (app)"),
    });
  });

  it("has the process's timers only while it runs, and never two farms at once", async () => {
    const { setTimeout: real } = globalThis;
    await using farm = await simulateFarm(one);
    const inside: unknown[] = [];
    farm.after(10, () => inside.push(globalThis.setTimeout));
    const running = farm.run({ until: 1_000 });
    await using second = await simulateFarm(one);
    await expect(second.run()).rejects.toMatchObject({ code: "busy" });
    await running;
    expect(inside).toHaveLength(1);
    expect(inside).not.toContain(real);
    expect(globalThis.setTimeout).toBe(real);
    await second.run({ until: 1_000 });
  });
});

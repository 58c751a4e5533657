// Caches of one's own in a simulated farm: the uploads of production, in virtual time.
import { describe, expect, it } from "vitest";
import {
  BinaryCacheError,
  binaryCacheOn,
  type ObjectStore,
  TrafficCounters,
} from "../../lib/binary-cache/index.js";
import { type SimulatedFarm, SimulationError, simulateFarm } from "../../lib/testing/index.js";

/** Objects in memory; each write takes a virtual second. `fault`: what is wrong with writes. */
class OwnObjects implements ObjectStore {
  readonly name = "own";
  readonly keepsEncoding = false;
  readonly traffic = new TrafficCounters();
  readonly objects = new Map<string, Uint8Array>();
  fault: "refuses" | undefined;

  async head(key: string) {
    const bytes = this.objects.get(key);
    return bytes && { size: bytes.length, contentEncoding: undefined };
  }

  async get(key: string) {
    const bytes = this.objects.get(key);
    async function* body(): AsyncGenerator<Uint8Array> {
      if (bytes !== undefined) yield bytes;
    }
    return bytes && { size: bytes.length, contentEncoding: undefined, body: body() };
  }

  async put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>) {
    const parts: Uint8Array[] = [];
    if (body instanceof Uint8Array) parts.push(body);
    else for await (const part of body) parts.push(part);
    if (this.fault === "refuses") throw new BinaryCacheError("unavailable", "no room", { store: "own" });
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    this.objects.set(key, Buffer.concat(parts));
    return "written" as const;
  }

  close(): void {}
}

async function farmOn(objects: ObjectStore): Promise<SimulatedFarm> {
  return simulateFarm({
    packages: { lib: { durationMs: 10_000 }, app: { inputs: ["lib"], durationMs: 10_000 } },
    machines: [{ hostname: "box" }],
    caches: [await binaryCacheOn(objects, "compression=none")],
  });
}
const typed = (farm: SimulatedFarm, name: string) => farm.events.filter(({ type }) => type === name);

describe("a cache of one's own in a simulated farm", () => {
  it("gets each output once, before its build is called finished, and takes virtual time for it", async () => {
    const own = new OwnObjects();
    await using farm = await farmOn(own);
    const begin = farm.now;
    farm.enqueue({ package: "app" });
    await farm.run();
    const narinfos = [...own.objects.keys()].filter((key) => key.endsWith(".narinfo"));
    expect(narinfos).toHaveLength(2);
    expect(typed(farm, "uploadFinished")).toMatchObject([
      { outcome: { kind: "uploaded" }, stores: [{ store: "own", tries: 1 }] },
      { outcome: { kind: "uploaded" }, stores: [{ store: "own", tries: 1 }] },
    ]);
    const names = farm.events.map(({ type }) => type);
    expect(names.lastIndexOf("uploadFinished")).toBeLessThan(names.indexOf("buildFinished"));
    expect(farm.now - begin).toBeGreaterThan(20_000);
  });

  it("that is broken is seen: tries, a problem, and a build that waits for it", async () => {
    const own = new OwnObjects();
    await using farm = await farmOn(own);
    own.fault = "refuses";
    farm.enqueue({ package: "lib" });
    await farm.run({ until: 120_000 });
    const retried = typed(farm, "uploadRetried");
    expect(retried.length).toBeGreaterThan(3);
    expect(retried[0]).toMatchObject({ store: "own", reason: expect.stringContaining("no room") });
    expect(typed(farm, "problem")).toMatchObject([
      { change: "began", problem: { code: "upload-failing", subject: "own" } },
    ]);
    expect(typed(farm, "stepFinished")).toHaveLength(1);
    expect(typed(farm, "buildFinished")).toEqual([]);
    await expect(farm.run({ limitMs: 3_600_000 })).rejects.toThrow(/1 uploads/);
    // It is not waited for longer than ten minutes; what is missing stays in the journal.
    expect(typed(farm, "buildFinished")).toMatchObject([{ status: 0 }]);
    own.fault = undefined;
    await farm.run();
    expect(typed(farm, "problem").at(-1)).toMatchObject({ change: "ended" });
    expect([...own.objects.keys()].some((key) => key.endsWith(".narinfo"))).toBe(true);
  });

  it("gets what a killed runner had not uploaded", async () => {
    const own = new OwnObjects();
    await using farm = await farmOn(own);
    own.fault = "refuses";
    farm.enqueue({ package: "app" });
    farm.after(40_000, () => farm.killRunner());
    farm.after(60_000, () => {
      own.fault = undefined;
    });
    await farm.run();
    expect([...own.objects.keys()].filter((key) => key.endsWith(".narinfo"))).toHaveLength(2);
    expect(farm.database.builds).toMatchObject([{ status: 0 }]);
  });

  it("does not compress: virtual time does not wait for threads", async () => {
    const compressing = await binaryCacheOn(new OwnObjects(), "compression=zstd");
    await expect(simulateFarm({ packages: {}, caches: [compressing] })).rejects.toThrow(SimulationError);
  });
});

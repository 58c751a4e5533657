// Counters and histograms of a runner, and those of its process.
import { describe, expect, it } from "vitest";
import { Metrics } from "../../../lib/status/index.js";
import { collectGarbage } from "../../support/collect-garbage.js";

describe("metrics", () => {
  it("of a runner that is gone are not held by what observes the process", async () => {
    const used = async (): Promise<WeakRef<Metrics>> => {
      const metrics = new Metrics();
      await metrics.families();
      return new WeakRef(metrics);
    };
    const registries = async (): Promise<WeakRef<Metrics["registry"]>> => {
      const { registry } = new Metrics();
      await registry.getMetricsAsJSON();
      return new WeakRef(registry);
    };
    const gone = [await used(), await registries()];
    // A weak reference keeps its target for the turn in which it was made.
    for (let turn = 0; turn < 3; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      collectGarbage();
    }
    expect(gone.map((reference) => reference.deref())).toEqual([undefined, undefined]);
  });

  it("of two runners in a process have the families of the process once each", async () => {
    const names = async (metrics: Metrics): Promise<string[]> =>
      (await metrics.families()).map(({ name }) => name);
    const [first, second] = [await names(new Metrics()), await names(new Metrics())];
    expect(first.filter((name) => name.startsWith("nodejs_")).length).toBeGreaterThan(5);
    expect(new Set(first).size).toBe(first.length);
    expect(second).toEqual(first);
    expect(await names(new Metrics({ runtime: false }))).toEqual(
      first.filter((name) => !/^(?:nodejs|process)_/.test(name)),
    );
  });
});

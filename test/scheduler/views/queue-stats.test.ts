/** Since when the step has been ready that has waited longest, per system. */
import { expect, it } from "vitest";
import { World } from "../world.js";

const oldest = (world: World): Record<string, number> =>
  Object.fromEntries(world.scheduler.queueStats().map((one) => [one.system, one.oldestReadySince]));

it("is that of the longest-waiting ready step of any features, and 0 when none is ready", () => {
  const world = new World();
  const start = world.now;
  world.step("first");
  world.step("kvm", [], { features: ["kvm"] });
  world.step("mac", [], { system: "aarch64-darwin" });
  world.build(1, "kvm");
  // As the runner does after each change; what is new becomes ready then.
  world.assign();
  world.now += 5_000;
  world.build(2, "first");
  world.assign();
  world.now += 5_000;
  world.build(3, "mac");
  world.assign();
  expect(oldest(world)).toEqual({ "x86_64-linux": start, "aarch64-darwin": start + 10_000 });
  world.machine("plain");
  world.assign();
  expect(oldest(world)).toMatchObject({ "x86_64-linux": start });
  world.machine("kvm", { supportedFeatures: ["kvm"] });
  world.assign();
  expect(oldest(world)).toEqual({ "x86_64-linux": 0, "aarch64-darwin": start + 10_000 });
});

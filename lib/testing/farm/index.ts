/** A simulated farm; what it is made of is loaded with the first one. */
import {
  type ArgumentRule,
  aFunction,
  aList,
  aLogger,
  aNumber,
  anObject,
  checkMembers,
  checkNoOthers,
  optional,
} from "../../argument-checks.js";
import type { SimulatedFarm } from "./farm.js";
import type { SimulatedFarmOptions } from "./options.js";

const optionRules = {
  packages: anObject,
  machines: optional(aList),
  config: optional(anObject),
  shares: optional(anObject),
  caches: optional(aList),
  machineOrder: optional(aFunction),
  machineFree: optional(aFunction),
  stepOrder: optional(aFunction),
  onLog: optional(aFunction),
  onResult: optional(aFunction),
  notifier: optional(anObject),
  seed: optional(aNumber),
  startAt: optional(aNumber),
  logger: optional(aLogger),
} satisfies Record<keyof SimulatedFarmOptions, ArgumentRule>;

/**
 * Opens a farm that lives in virtual time: the real runner, with a simulated database, store, wire and machines. It needs
 * neither Nix nor PostgreSQL, a day passes in about a second, and the same seed gives the same history. To try own orders
 * of steps and machines, sinks of results and logs, and builders.
 *
 * ```ts
 * await using farm = await simulateFarm({
 *   seed: 1,
 *   packages: { zlib: {}, png: { inputs: ["zlib"], durationMs: 5_000 } },
 *   machines: [{ hostname: "fast", speedFactor: 4 }],
 * });
 * farm.enqueue({ package: "png" });
 * farm.after(10_000, () => farm.cut("fast", 30_000));
 * await farm.run();
 * ```
 *
 * @throws SimulationError `bad-farm` for packages and machines that cannot be; ConfigError for settings that cannot
 */
export async function simulateFarm(options: SimulatedFarmOptions): Promise<SimulatedFarm> {
  checkMembers("simulateFarm", options, optionRules);
  checkNoOthers("simulateFarm", options, optionRules);
  const { SimulatedFarm: Farm } = await import("./farm.js");
  return new Farm(options);
}

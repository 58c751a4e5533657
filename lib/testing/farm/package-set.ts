/** Packages in an order in which they can be built. */
import type { DerivationPlan } from "../simulated/derivations.js";
import { type SimulatedPackage, SimulationError } from "./options.js";

/** A package with its name and defaults. */
export interface PlannedPackage extends DerivationPlan {
  readonly package: SimulatedPackage;
}

/**
 * Inputs before those that need them.
 *
 * @throws SimulationError `bad-farm` for an input that is not there, and for packages that need each other
 */
export function planPackages(packages: Readonly<Record<string, SimulatedPackage>>): PlannedPackage[] {
  const planned = new Map<string, PlannedPackage | undefined>();
  const visit = (name: string, neededBy: string): void => {
    const found = Object.hasOwn(packages, name) ? packages[name] : undefined;
    if (found === undefined)
      throw new SimulationError("bad-farm", `${neededBy} needs ${name}, which is not among the packages`);
    if (planned.has(name)) {
      if (planned.get(name) !== undefined) return;
      throw new SimulationError("bad-farm", `package ${name} needs itself`);
    }
    planned.set(name, undefined);
    const { inputs = [], system = "x86_64-linux", features = [], contentAddressed = false } = found;
    for (const input of inputs) visit(input, `package ${name}`);
    // Last in the map, after its inputs.
    planned.delete(name);
    planned.set(name, { name, inputs, system, features, floating: contentAddressed, package: found });
  };
  for (const name of Object.keys(packages)) visit(name, "the farm");
  return [...planned.values()].filter((one) => one !== undefined);
}

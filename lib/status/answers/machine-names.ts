/** Names that distinguish machines. */
import type { MachineReport } from "../types.js";
import { compareText } from "./encoding.js";

/**
 * Machines by name, in the order in which they joined. Of several with one host name the first to join has the plain one,
 * which `buildsteps.machine` refers to; the others get the start of their id behind it instead of vanishing.
 */
export function namedMachines(machines: readonly MachineReport[]): Map<string, MachineReport> {
  const byName = new Map<string, MachineReport>();
  const inOrder = [...machines].sort(
    (a, b) => a.view.joinedAt - b.view.joinedAt || compareText(a.view.info.id, b.view.info.id),
  );
  for (const machine of inOrder) {
    const { hostname, id } = machine.view.info;
    const key = byName.has(hostname) ? `${hostname} (${id.slice(0, 8)})` : hostname;
    byName.set(byName.has(key) ? `${hostname} (${id})` : key, machine);
  }
  return byName;
}

/**
 * The machines whose tunnel is open, by the principal that joined them. Not by connection: behind a proxy each call may
 * come over another one.
 */
import { type Principal, principalKey } from "../principal.js";

const none: ReadonlySet<string> = new Set();

/** Open tunnels, counted by principal and machine id. */
export class MachineRegistry {
  /** Open tunnels by principal and machine id. */
  readonly #tunnels = new Map<string, Map<string, number>>();
  readonly #ids = new Map<string, Set<string>>();

  /** Machine ids with an open tunnel of the principal, as of now. */
  of(principal: Principal): ReadonlySet<string> {
    return this.#ids.get(principalKey(principal)) ?? none;
  }

  /** A tunnel of the machine was opened. */
  joined(principal: Principal, machineId: string): void {
    const key = principalKey(principal);
    const tunnels = this.#tunnels.get(key) ?? new Map<string, number>();
    this.#tunnels.set(key, tunnels);
    tunnels.set(machineId, (tunnels.get(machineId) ?? 0) + 1);
    const ids = this.#ids.get(key) ?? new Set<string>();
    this.#ids.set(key, ids);
    ids.add(machineId);
  }

  /** A tunnel of the machine was closed; another one may be open already. */
  left(principal: Principal, machineId: string): void {
    const key = principalKey(principal);
    const tunnels = this.#tunnels.get(key);
    const rest = (tunnels?.get(machineId) ?? 0) - 1;
    if (rest > 0) {
      tunnels?.set(machineId, rest);
      return;
    }
    tunnels?.delete(machineId);
    this.#ids.get(key)?.delete(machineId);
    if (tunnels?.size !== 0) return;
    this.#tunnels.delete(key);
    this.#ids.delete(key);
  }
}

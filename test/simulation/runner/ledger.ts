/**
 * What really happened, whatever the runner believes: who was asked to build what, and which bytes its owner says it built.
 *
 * Owners may lie about the outputs of their own steps, since Nix has no way to prove a build; about nothing else.
 */
import type { Hash, StorePath } from "../../../lib/nix/index.js";
import type { BuildCompletion, BuildOrder, Principal } from "../../../lib/rpc/index.js";
import { isSamePrincipal, principalKey } from "../../../lib/rpc/index.js";
import { hashText } from "../../../lib/testing/simulated/contents.js";

/** An order that was put into a machine's tunnel. */
export interface GivenOrder {
  readonly order: BuildOrder;
  readonly machine: string;
  readonly principal: Principal;
}

export class Ledger {
  readonly #orders = new Map<string, GivenOrder>();
  readonly #built = new Map<StorePath, Set<string>>();
  readonly #loggers = new Map<StorePath, Set<string>>();
  /** Derivations whose owner said something about their outcome that is not so. */
  readonly misreported = new Set<string>();

  ordered(given: GivenOrder): void {
    this.#orders.set(given.order.buildId, given);
    const { drv } = given.order;
    this.#loggers.set(drv, (this.#loggers.get(drv) ?? new Set()).add(principalKey(given.principal)));
  }

  order(attempt: string): GivenOrder | undefined {
    return this.#orders.get(attempt);
  }

  /** Orders that were ever given. */
  orders(): readonly GivenOrder[] {
    return [...this.#orders.values()];
  }

  /** A report is about to be made; only what the owner of the attempt says of its own outputs counts. */
  reports(principal: Principal, { buildId, machineId, state, outputs }: BuildCompletion): void {
    const given = this.#orders.get(buildId);
    if (given === undefined || !this.owns(principal, machineId, given)) return;
    const { derivation } = given.order;
    if (state !== "success") return;
    for (const [name, { path, narHash }] of outputs) {
      const wanted = derivation?.outputs.get(name);
      if (wanted === undefined || narHash === undefined) continue;
      if (wanted.kind === "inputAddressed" && wanted.path !== path) continue;
      this.#add(path, narHash);
    }
  }

  owns(principal: Principal, machine: string, given: GivenOrder): boolean {
    return given.machine === machine && isSamePrincipal(given.principal, principal);
  }

  /** Whether the owner of some attempt at it says that it built these bytes. */
  isBuilt(path: StorePath, narHash: Hash): boolean {
    return this.#built.get(path)?.has(hashText(narHash)) === true;
  }

  /** Whether the principal (as text) was ever asked to build the derivation. */
  mayLog(principal: string, drv: StorePath): boolean {
    return this.#loggers.get(drv)?.has(principal) === true;
  }

  #add(path: StorePath, narHash: Hash): void {
    const hashes = this.#built.get(path) ?? new Set<string>();
    this.#built.set(path, hashes.add(hashText(narHash)));
  }
}

/**
 * Whose machines these are: a machine belongs to the principal that joined it, for as long as something can still be
 * asked about it. That is while it has a tunnel or attempts, and while an answer to one of its reports is remembered.
 */
import { isSamePrincipal, type Principal, principalKey } from "../../rpc/index.js";
import type { MachineId } from "../../scheduler/ids.js";
import { Groups } from "./groups.js";

/** Who a machine belongs to. */
export interface MachineOwner {
  readonly principal: Principal;
  /** The host name that it joined with. */
  readonly hostname: string;
}

/** How owners find out whether a machine is still in use. */
export interface MachineOwnersOptions {
  /** Whether the machine has an open tunnel or attempts. */
  readonly inUse: (machine: MachineId) => boolean;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** How long a report may be repeated after its attempt ended, in milliseconds. */
export const answerMemoryMs = 10 * 60_000;

interface Owned {
  readonly owner: MachineOwner;
  /** Milliseconds since the epoch; its reports may be repeated until then. */
  answersUntil: number;
}

/** Below this many entries nothing is swept. */
const fewMachines = 64;

/** The owners of machines. */
export class MachineOwners {
  readonly #options: MachineOwnersOptions;
  readonly #owned = new Map<MachineId, Owned>();
  readonly #machines = new Groups<string, MachineId>();
  #sweepAt = fewMachines;

  constructor(options: MachineOwnersOptions) {
    this.#options = options;
  }

  /**
   * Makes the machine the principal's. False, and nothing changes, when it is another principal's, or
   * another host's that is still using it.
   */
  claim(machine: MachineId, owner: MachineOwner): boolean {
    const before = this.#owned.get(machine);
    if (before !== undefined && this.#isLive(machine, before)) {
      if (!isSamePrincipal(before.owner.principal, owner.principal)) return false;
      if (before.owner.hostname !== owner.hostname && this.#options.inUse(machine)) return false;
    }
    this.#forget(machine);
    this.#sweep();
    this.#owned.set(machine, { owner, answersUntil: before?.answersUntil ?? 0 });
    this.#machines.add(principalKey(owner.principal), machine);
    return true;
  }

  /** Undefined for machines that never joined, or left and have nothing to ask for any more. */
  of(machine: MachineId): MachineOwner | undefined {
    const owned = this.#owned.get(machine);
    if (owned === undefined) return undefined;
    if (this.#isLive(machine, owned)) return owned.owner;
    this.#forget(machine);
    return undefined;
  }

  /** Entries that are kept, those of machines that have left included. */
  get size(): number {
    return this.#owned.size;
  }

  /** Whether the machine is the principal's. */
  owns(principal: Principal, machine: MachineId): boolean {
    const owner = this.of(machine);
    return owner !== undefined && isSamePrincipal(owner.principal, principal);
  }

  /** All machines of the principal. */
  machinesOf(principal: Principal): readonly MachineId[] {
    const machines = [...this.#machines.get(principalKey(principal))];
    return machines.filter((machine) => this.of(machine) !== undefined);
  }

  /** Whether the principal has a machine. */
  hasMachines(principal: Principal): boolean {
    return this.#someLive(this.#machines.get(principalKey(principal)));
  }

  /** Whether there are machines of more than one principal. */
  get isShared(): boolean {
    let principals = 0;
    for (const machines of this.#machines.all()) {
      if (this.#someLive(machines)) principals++;
      if (principals > 1) return true;
    }
    return false;
  }

  /** Whether one of them is in use; those before it are forgotten. */
  #someLive(machines: Iterable<MachineId>): boolean {
    for (const machine of machines) if (this.of(machine) !== undefined) return true;
    return false;
  }

  /** One of the machine's attempts may be reported now, and the report repeated for a while. */
  reporting(machine: MachineId): void {
    const owned = this.#owned.get(machine);
    if (owned !== undefined) owned.answersUntil = this.#options.now() + answerMemoryMs;
  }

  #isLive(machine: MachineId, owned: Owned): boolean {
    return this.#options.now() < owned.answersUntil || this.#options.inUse(machine);
  }

  #forget(machine: MachineId): void {
    const owned = this.#owned.get(machine);
    if (owned === undefined) return;
    this.#owned.delete(machine);
    this.#machines.delete(principalKey(owned.owner.principal), machine);
  }

  /** Machines that left unused would pile up otherwise. */
  #sweep(): void {
    if (this.#owned.size < this.#sweepAt) return;
    for (const [machine, owned] of this.#owned) if (!this.#isLive(machine, owned)) this.#forget(machine);
    this.#sweepAt = Math.max(fewMachines, 2 * this.#owned.size);
  }
}

/** What happens to machines, as events. */
import type { BuilderJoin } from "../../rpc/types.js";
import { type MachineId, machineId } from "../../scheduler/ids.js";
import type { MachineLossReason, MachineNotice } from "../../scheduler/types.js";
import type { EventEmitter } from "../events/index.js";

/** Emits the events of machines. */
export class MachineEvents {
  readonly #events: EventEmitter;
  readonly #now: () => number;
  /** The scheduler names lost machines by id only. */
  readonly #joined = new Map<MachineId, { readonly hostname: string; readonly peer: string | undefined }>();

  constructor(options: { readonly events: EventEmitter; readonly now: () => number }) {
    this.#events = options.events;
    this.#now = options.now;
  }

  /** `peer`: address of its connection. */
  joined({ machineId: id, hostname, systems, maxJobs, running }: BuilderJoin, peer?: string): void {
    this.#joined.set(machineId(id), { hostname, peer });
    this.#events.emit({
      type: "machineJoined",
      at: this.#now(),
      machine: { id, hostname },
      systems,
      maxJobs,
      running: running?.length ?? 0,
      ...(peer !== undefined && { peer }),
    });
  }

  left(id: MachineId, reason: MachineLossReason): void {
    const { hostname = "", peer } = this.#joined.get(id) ?? {};
    this.#joined.delete(id);
    this.#events.emit({
      type: "machineLeft",
      at: this.#now(),
      machine: { id, hostname },
      reason,
      ...(peer !== undefined && { peer }),
    });
  }

  /** Empty for a machine that has left. */
  hostnameOf(id: MachineId): string {
    return this.#joined.get(id)?.hostname ?? "";
  }

  /** A machine was held or released. */
  noticed(notice: MachineNotice): void {
    const at = this.#now();
    const machine = { id: notice.machine, hostname: notice.hostname };
    switch (notice.kind) {
      case "held": {
        const { until, reason, fault, failures, step } = notice;
        const drv = step === undefined ? {} : { drv: step };
        this.#events.emit({ type: "machineHeld", at, machine, until, reason, fault, failures, ...drv });
        break;
      }
      case "released":
        this.#events.emit({ type: "machineReleased", at, machine, because: notice.because });
        break;
    }
  }
}

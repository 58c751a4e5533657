/** The runner's own disk: its logs, and what has to be written before an upload. It fills, and descriptors run out. */
import type { StorePath } from "../../../lib/nix/index.js";
import { type Principal, principalKey } from "../../../lib/rpc/index.js";
import type { RunnerEdges } from "../../../lib/runner/outputs/edges.js";
import { idleEdges } from "../../support/idle-runner.js";

export const diskFaults = ["ENOSPC", "EMFILE"] as const;
export type DiskFault = (typeof diskFaults)[number];

export class SimulatedDisk {
  fault: DiskFault | undefined;

  /** @throws a system error while the disk has one */
  check(): void {
    if (this.fault === undefined) return;
    throw Object.assign(new Error(`${this.fault}: simulated`), { code: this.fault, syscall: "write" });
  }

  /** `onLog` gets each log that was written. */
  logs(onLog: (drv: StorePath, text: string) => void): RunnerEdges["logs"] {
    return {
      ...idleEdges.logs,
      create: async (drv) => {
        this.check();
        const chunks: Uint8Array[] = [];
        return {
          path: drv,
          maxBytes: 1_000_000,
          write: async (chunk) => {
            this.check();
            chunks.push(chunk);
          },
          close: async () => onLog(drv, Buffer.concat(chunks).toString()),
        };
      },
      finish: async () => this.check(),
    };
  }
}

const separator = " wrote the log of ";

export function logText(principal: Principal, attempt: string): string {
  return `${principalKey(principal)}${separator}${attempt}`;
}

/** The principal that wrote the log, as text. */
export function loggerOf(text: string): string {
  return text.split(separator)[0] ?? "";
}

/** The file in which a runner notes unproven paths for the next one. It outlives the process. */
import type { StorePath } from "../../../lib/nix/index.js";
import type { UnprovenMemory } from "../../../lib/runner/state/unproven-paths.js";
import type { ProcessLife } from "../../../lib/testing/simulated/process-life.js";
import type { VirtualTime } from "../../../lib/testing/simulated/virtual-time.js";
import type { SimulatedDisk } from "./simulated-disk.js";

/** How long one write takes, and how soon one that failed is tried again. Milliseconds. */
const writeMs = 1;
const retryMs = 1_000;

export class UnprovenList {
  /** What the last process that could write has noted. */
  paths: readonly StorePath[] = [];

  /** The side of one process. */
  connect(life: ProcessLife, disk: SimulatedDisk, time: VirtualTime): UnprovenMemory {
    const write = (paths: () => readonly StorePath[], done: () => void): void => {
      if (!life.alive) return;
      if (disk.fault !== undefined) {
        time.after(retryMs, () => write(paths, done));
        return;
      }
      this.paths = paths();
      done();
    };
    return {
      save: (paths, signal) =>
        new Promise((resolve, reject) => {
          signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
          time.after(writeMs, () => write(paths, resolve));
        }),
    };
  }
}

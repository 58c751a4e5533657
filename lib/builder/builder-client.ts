/** Joins a runner and builds for it. */
import type { BuilderCounters } from "./counters.js";
import type { BuilderClientOptions, BuilderExit } from "./options.js";

export declare class BuilderClient implements AsyncDisposable {
  constructor(options: BuilderClientOptions);
  /** Connects; resolves when a runner has taken us, rejects with `BuilderError` when it cannot succeed. */
  start(): Promise<void>;
  /** Resolves when the builder is over; never rejects. */
  readonly finished: Promise<BuilderExit>;
  /** The id of the current tunnel's machine. */
  readonly machineId: string;
  counters(): BuilderCounters;
  /** Stops. `drain`: take no new orders and finish what is running first. Calling it again without drain cuts short. */
  close(options?: { readonly drain?: boolean }): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

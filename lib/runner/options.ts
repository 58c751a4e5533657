/** What a queue runner is made with. */
import type { QueueRunnerConfig } from "../config/types.js";
import type { Logger } from "../log.js";
import type { LogLevels } from "../log-levels.js";
import type { Store } from "../nix/store/store.js";
import type { ListenerOptions, ServerTlsOptions } from "../rpc/index.js";
import type { RunnerPolicies } from "./policies.js";
import type { RunnerSinks } from "./sinks.js";

/** Settings, store and listeners of a `QueueRunner`. */
export interface QueueRunnerOptions extends RunnerPolicies, RunnerSinks {
  readonly config: QueueRunnerConfig;
  /** The runner's Nix store; the runner does not close it. */
  readonly store: Store;
  /** Where the status API listens; undefined = it does not. */
  readonly rest?: ListenerOptions | undefined;
  /** Where builders connect. */
  readonly grpc: ListenerOptions;
  readonly tls?: ServerTlsOptions | undefined;
  /** Take builds in only when asked to (`POST /build_one`, `PUT /build`). Default false. */
  readonly disableQueueMonitor?: boolean | undefined;
  readonly logger?: Logger | undefined;
  /** The levels of `logger`, when the status API may show and change them. Default: it may not. */
  readonly logLevels?: LogLevels | undefined;
  /** Of this software, for the status API. */
  readonly version?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined;
  /** Uniform in [0, 1). */
  readonly random?: (() => number) | undefined;
}

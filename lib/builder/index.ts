/**
 * The builder: one process per machine that joins a runner, builds what the runner orders with the local Nix daemon, and
 * ships logs and outputs back. It keeps no state on disk.
 *
 * Inner rooms:
 * - `connection`: reaching a runner, joining it, and calls that survive a lost connection
 * - `build`: the phases of one build: inputs, log, outputs, report
 * - `presigned`: uploads straight to the cache, with URLs that the runner signs
 * - `resources`: what builds use: CPU time, memory, traffic with disks
 * - `machine`: what this machine is and how busy it is
 */

/** One build machine; start here. */
export { BuilderClient } from "./builder-client.js";
/** Runners by their addresses, with credentials from files. */
export { type CredentialFiles, type RunnerGatewaysOptions, runnerGateways } from "./connection/gateways.js";
/** What a builder counts, for metrics. */
export type { BuilderCounters } from "./counters.js";
/** Why a builder cannot join, or has ended. */
export { BuilderError, type BuilderErrorCode } from "./errors.js";
/** What own programs can attach to a builder: listeners, another way to build or to measure load. */
export {
  type BuildEvent,
  type BuildEventBase,
  type BuildExecutor,
  type BuilderHooks,
  type BuildLogChunk,
  daemonExecutor,
  type ExecutorJob,
} from "./hooks.js";
/** The settings of the local Nix that a runner needs. */
export {
  defaultBuildDir,
  type NixConfiguration,
  type ReadNixConfigurationOptions,
  readNixConfiguration,
} from "./machine/nix-configuration.js";
/** Load, memory, pressure and disk space at one moment. */
export { type SampleOptions, type SystemSample, sampleSystem } from "./machine/system-sampling.js";
/** What a `BuilderClient` is made with, and how it ends. */
export type {
  BuilderClientOptions,
  BuilderExit,
  BuilderSettings,
  OpenBuilderOptions,
  RunnerGateway,
} from "./options.js";

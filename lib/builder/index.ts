/**
 * The builder: one process per machine that joins a runner, builds what the runner orders with the local Nix daemon, and
 * ships logs and outputs back.
 *
 * In this room live the tunnel to the runner, the phases of one build and the sampling of the machine. It keeps no
 * state on disk.
 */
export { BuilderClient } from "./builder-client.js";
export { type CredentialFiles, type RunnerGatewaysOptions, runnerGateways } from "./connection/gateways.js";
export type { BuilderCounters } from "./counters.js";
export { BuilderError, type BuilderErrorCode } from "./errors.js";
export { defaultBuildDir, type NixConfiguration, readNixConfiguration } from "./machine/nix-configuration.js";
export { type SystemSample, sampleSystem } from "./machine/system-sampling.js";
export type { BuilderClientOptions, BuilderExit, BuilderSettings, RunnerGateway } from "./options.js";

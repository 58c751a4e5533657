/** What a builder is made with. */
import type { BuilderConfig } from "../config/types.js";
import type { Logger } from "../log.js";
import type { StorePath } from "../nix/path/store-path.js";
import type { Store } from "../nix/store/store.js";
import type { RunnerApi } from "../rpc/types.js";
import type { CredentialFiles } from "./connection/gateways.js";
import type { BuilderHooks } from "./hooks.js";
import type { NixConfiguration } from "./machine/nix-configuration.js";

/** Keys of the builder's file that the program uses rather than the library. */
type ProgramKey = "hostname" | "protocolVersion" | "reconnectTimeoutInS" | "drainTimeoutInS";
/** Keys that may be absent; `measureBuilds` is true then. */
type OptionalKey = "ioPsiThreshold" | "systems" | "supportedFeatures" | "measureBuilds";

/**
 * The settings that a `BuilderClient` uses; a `BuilderConfig` has them all. Meaning, unit and range of each stand in
 * `docs/configuration.md`.
 */
export interface BuilderSettings
  extends Omit<BuilderConfig, ProgramKey | OptionalKey>,
    Partial<Pick<BuilderConfig, OptionalKey>> {}

/** One address under which a runner may be found. */
export interface RunnerGateway {
  /** For log lines. */
  readonly address: string;
  /** Makes a client; called for each attempt, so tokens and certificates may change in between. */
  connect(): RunnerApi | Promise<RunnerApi>;
}

/** What a `BuilderClient` is made with; only `settings`, `gateways` and `store` are required. */
export interface BuilderClientOptions extends BuilderHooks {
  readonly settings: BuilderSettings;
  /** Tried in turn until one takes us. At least one. */
  readonly gateways: readonly RunnerGateway[];
  readonly store: Store;
  /** Version that is compared with the runner's; default that of the reference this project is compatible with. */
  readonly version?: string | undefined;
  /** Default: the kernel's node name. */
  readonly hostname?: string | undefined;
  /** Default: read by running `nix` with `env`. */
  readonly nixConfiguration?: NixConfiguration | undefined;
  /** Whose disk is watched when Nix does not say where it builds. Default: the system's temporary folder. */
  readonly defaultBuildDir?: string | undefined;
  /** Environment for `nix`; default that of this process. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /**
   * Whether a runner, by the version it answers, lets a builder come back under the same machine id with its builds
   * still running. For all others a lost tunnel aborts every build. Default: the version ends in `+resume`.
   */
  readonly resumable?: ((serverVersion: string) => boolean) | undefined;
  /**
   * Milliseconds we try to (re)join before giving up; builds for a resumable runner go on meanwhile. 0 ends the builder
   * with its tunnel. Default 10 minutes.
   */
  readonly reconnectTimeoutMs?: number | undefined;
  /** Builds held at once, uploads included; more are refused. Default `4 * maxJobs + 16`. */
  readonly maxActiveBuilds?: number | undefined;
  /** Milliseconds: first and longest delay between tries to connect. Default 500 and 5 000. */
  readonly reconnectDelayMs?: { readonly first: number; readonly longest: number } | undefined;
  /** Milliseconds without a message from the runner after which the tunnel counts as lost. Default 120 000. */
  readonly silenceLimitMs?: number | undefined;
  /** Where compressed NARs are put on their way to a presigned URL. Default the system's temporary folder. */
  readonly spoolDirectory?: string | undefined;
  readonly logger?: Logger | undefined;
  /** Called with the derivations being built each time the set changes, and when we have joined. */
  readonly onActivity?: ((drvs: readonly StorePath[]) => void) | undefined;
  /** Milliseconds, monotonic. */
  readonly clock?: (() => number) | undefined;
  readonly random?: (() => number) | undefined;
}

/** Why a builder is over; `exitCode` is what a process should end with. */
export interface BuilderExit {
  readonly reason: "closed" | "failed";
  readonly exitCode: number;
  readonly error: Error | undefined;
}

/** What `BuilderClient.open` takes. */
export interface OpenBuilderOptions extends Omit<BuilderClientOptions, "settings" | "gateways"> {
  /** `http://…`, `https://…`, `unix://<path>`; tried in turn. */
  readonly runners: readonly string[];
  readonly credentials?: CredentialFiles | undefined;
  /** Default: what `defineBuilderConfig()` gives. */
  readonly settings?: BuilderSettings | undefined;
}

/**
 * Settings of the two programs as they come out of the loader: checked, defaults filled in, secrets wrapped.
 * Meaning, unit, range and default of every key stand beside it in `queue-runner-settings.ts` and
 * `builder-settings.ts`, from which the reference in `docs/configuration.md` is made.
 */
import type { MachineFreeName, MachineOrderName, StepOrderName } from "../scheduler/index.js";
import type { Secret } from "./secret.js";

export interface OverflowStoreConfig {
  /** `s3://…` */
  readonly store: string;
  /** `project:jobset` names whose outputs go there. */
  readonly jobsets: readonly string[];
}

/** Settings of the queue-runner. Names are the keys of the file. */
export interface QueueRunnerConfig {
  readonly hydraDataDir: string;
  readonly dbUrl: Secret;
  readonly maxDbConnections: number;
  readonly machineSortFn: MachineOrderName;
  readonly machineFreeFn: MachineFreeName;
  readonly stepSortFn: StepOrderName;
  /** Seconds; 0 or less = no timer. */
  readonly dispatchTriggerTimerInS: number;
  /** Seconds; 0 or less = no timer. */
  readonly queueTriggerTimerInS: number;
  /** Only entries that a store can be opened for. */
  readonly remoteStoreAddr: readonly string[];
  readonly useSubstitutes: boolean;
  readonly rootsDir: string;
  readonly maxRetries: number;
  /** Seconds. */
  readonly retryInterval: number;
  readonly retryBackoff: number;
  /** Seconds. */
  readonly maxUnsupportedTimeInS: number;
  /** Seconds; 0 or less = never. */
  readonly stopQueueRunAfterInS: number;
  readonly maxConcurrentDownloads: number;
  readonly concurrentUploadLimit: number;
  /** Content of the files named by `tokenPaths`; undefined = no authentication, empty = nobody may join. */
  readonly tokens: readonly Secret[] | undefined;
  readonly tokenPaths: readonly string[] | undefined;
  /** A builder's token must come from a file with its host name. */
  readonly bindTokensToHosts: boolean;
  readonly enableFodChecker: boolean;
  readonly usePresignedUploads: boolean;
  /** Bytes; 0 = no limit. */
  readonly maxOutputSize: number;
  /** Seconds; 0 = no limit. */
  readonly maxSilentTime: number;
  /** Seconds; 0 = no limit. */
  readonly buildTimeout: number;
  /** Bytes; 0 = no limit. */
  readonly maxLogSize: number;
  readonly forcedSubstituters: readonly string[];
  readonly overflowStore: OverflowStoreConfig | undefined;
  readonly protocolVersion: string;
  /** `protocolVersion` included. */
  readonly acceptedPeerVersions: readonly string[];
  readonly maxConcurrentUploadsPerMachine: number;
  /** Seconds; 0 = never. */
  readonly machineHeartbeatTimeoutInS: number;
  /** Seconds. */
  readonly drainTimeoutInS: number;
  /** 0 = chosen from `maxDbConnections`. */
  readonly maxConcurrentIngestion: number;
  /** Content of the file named by `statusTokenPath`. */
  readonly statusToken: Secret | undefined;
  readonly statusTokenPath: string | undefined;
}

/** Settings of the builder. Names are the keys of the file. */
export interface BuilderConfig {
  /** Seconds. */
  readonly pingInterval: number;
  readonly speedFactor: number;
  readonly maxJobs: number;
  /** 0 = all. */
  readonly buildCores: number;
  /** Percent free. */
  readonly buildDirAvailThreshold: number;
  /** Percent free. */
  readonly storeAvailThreshold: number;
  readonly load1Threshold: number;
  /** Percent. */
  readonly cpuPsiThreshold: number;
  /** Percent. */
  readonly memPsiThreshold: number;
  /** Percent; undefined = not looked at. */
  readonly ioPsiThreshold: number | undefined;
  /** Undefined = what Nix says. */
  readonly systems: readonly string[] | undefined;
  /** Undefined = what Nix says. */
  readonly supportedFeatures: readonly string[] | undefined;
  readonly mandatoryFeatures: readonly string[];
  readonly useSubstitutes: boolean;
  /** Undefined = the kernel's node name. */
  readonly hostname: string | undefined;
  readonly protocolVersion: string;
  /** Seconds a runner may be away before the builder gives up; 0 = at once. */
  readonly reconnectTimeoutInS: number;
  /** Seconds. */
  readonly drainTimeoutInS: number;
}

/** What a loader returns. */
export interface Loaded<Config> {
  readonly config: Config;
  /** File that was read; undefined when the defaults were taken. */
  readonly path: string | undefined;
  /** One line each, for the log. */
  readonly warnings: readonly string[];
}

export interface LoadOptions {
  /** File to read. */
  readonly path?: string;
  /**
   * The path was asked for by the user: not being able to read it is an error. When false or left out a missing file
   * means the defaults, with a warning. Default: whether `path` was given.
   */
  readonly explicit?: boolean;
  /** Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

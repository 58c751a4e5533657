/**
 * Types of checked settings, computed from the tables that check the files: a key is written once, in
 * `queue-runner-settings.ts` or `builder-settings.ts`, with its unit, range, default and meaning.
 */
import type { builderSettings } from "./builder-settings.js";
import type { queueRunnerSettings } from "./queue-runner-settings.js";
import type { Secret } from "./secret.js";
import type { ValuesOf } from "./setting.js";

/** The queue runner's file as it was written, defaults filled in. */
export type QueueRunnerFile = ValuesOf<typeof queueRunnerSettings>;

/** The table `overflowStore`, both members present. */
export type OverflowStoreConfig = {
  readonly [K in keyof NonNullable<QueueRunnerFile["overflowStore"]>]-?: NonNullable<
    NonNullable<QueueRunnerFile["overflowStore"]>[K]
  >;
};

/**
 * Settings of the queue runner. Names are the keys of the file; the members declared here are those whose value differs
 * from what the file says.
 */
export interface QueueRunnerConfig extends Omit<QueueRunnerFile, "dbUrl" | "rootsDir" | "overflowStore"> {
  /** From `HYDRA_DATABASE_URL`, else from the file. */
  readonly dbUrl: Secret;
  readonly rootsDir: string;
  /** Only addresses of a known form. */
  readonly remoteStoreAddr: readonly string[];
  readonly overflowStore: OverflowStoreConfig | undefined;
  /** Content of the files in `tokenPaths`. Undefined: no authentication. Empty: every builder is refused. */
  readonly tokens: readonly Secret[] | undefined;
  /** Content of the file `statusTokenPath`. */
  readonly statusToken: Secret | undefined;
  /** Includes `protocolVersion`. */
  readonly acceptedPeerVersions: readonly string[];
}

/** Settings of the builder. Names are the keys of the file. */
export interface BuilderConfig extends ValuesOf<typeof builderSettings> {}

type InputValue<V> = V extends string
  ? V
  : V extends readonly (infer Item)[]
    ? readonly Item[]
    : V extends object
      ? InputOf<V>
      : V;
type InputOf<T> = { readonly [K in keyof T]?: InputValue<T[K]> | undefined };

/** Keys of the queue runner's file, all optional. */
export type QueueRunnerConfigInput = InputOf<Omit<QueueRunnerFile, "dbUrl">> & {
  /** A {@link Secret} is never shown in dumps. */
  readonly dbUrl?: string | Secret | undefined;
};

/** Keys of the builder's file, all optional. */
export type BuilderConfigInput = InputOf<BuilderConfig>;

/** What a configuration in code is completed with. */
export interface DefineOptions {
  /** Where environment variables such as `HYDRA_DATABASE_URL` and `LOGNAME` come from. Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Gets one line for each thing that is accepted but will not do what was meant. Default: a warning of the process. */
  readonly onWarning?: (line: string) => void;
}

/** Result of loading a configuration file. */
export interface Loaded<Config> {
  readonly config: Config;
  /** File that was read; undefined when all settings have their defaults. */
  readonly path: string | undefined;
  /** Things to log; one line each. */
  readonly warnings: readonly string[];
}

/** Which file to read, and the environment it is completed from. */
export interface LoadOptions {
  /** Default `config.toml` in the working folder. */
  readonly path?: string;
  /**
   * True: a missing file is an error. False: a missing file means all defaults, with a warning. Any other failure to
   * read the file is always an error. Default: true when `path` is given.
   */
  readonly explicit?: boolean;
  /** Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

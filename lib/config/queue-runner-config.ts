import { userInfo } from "node:os";
import { join } from "node:path";

import { checkValues } from "./check-file.js";
import { ConfigError, keyError } from "./config-error.js";
import { checkLoadOptions, loadFile } from "./load-file.js";
import { queueRunnerSettings } from "./queue-runner-settings.js";
import { checkReadable, readTokenFile } from "./read-secret-file.js";
import { Secret } from "./secret.js";
import type { ValuesOf } from "./setting.js";
import { isStoreAddress, keyFiles, printableAddress, storeAddressForms } from "./store-addresses.js";
import { tell } from "./tell.js";
import type {
  DefineOptions,
  Loaded,
  LoadOptions,
  OverflowStoreConfig,
  QueueRunnerConfig,
  QueueRunnerConfigInput,
} from "./types.js";

type Values = ValuesOf<typeof queueRunnerSettings>;
type Environment = Readonly<Record<string, string | undefined>>;

function databaseUrl(file: string, fromFile: string, env: Environment): Secret {
  const fromEnvironment = env.HYDRA_DATABASE_URL;
  const url = fromEnvironment ?? fromFile;
  if (/^(postgres(ql)?:\/\/.|embedded:)/.test(url)) return new Secret(url);
  const fix = "it must begin with postgres:// (or be embedded:)";
  if (fromEnvironment === undefined) {
    throw keyError(file, "dbUrl", ` is not a database URL; ${fix}`);
  }
  throw new ConfigError(
    `HYDRA_DATABASE_URL in the environment ${url === "" ? "is empty" : "is not a database URL"}; ${fix}`,
    { key: "dbUrl" },
  );
}

/** The rule of the daemon's address: the state folder of a store with a root of its own lies below that root. */
function nixStateDir(env: Environment): string {
  const remote = env.NIX_REMOTE ?? "";
  const query = remote.indexOf("?");
  if (query >= 0) {
    const parameters = new URLSearchParams(remote.slice(query + 1));
    const state = parameters.get("state");
    if (state !== null && state !== "") return state;
    const root = parameters.get("root");
    if (root !== null && root !== "") return join(root, "nix/var/nix");
  }
  return env.NIX_STATE_DIR ?? "/nix/var/nix";
}

function defaultRootsDir(env: Environment): string {
  const user = env.LOGNAME;
  return join(
    nixStateDir(env),
    "gcroots/per-user",
    user === undefined || user === "" ? userInfo().username : user,
    "hydra-roots",
  );
}

function overflowStore(file: string, table: Values["overflowStore"]): OverflowStoreConfig | undefined {
  if (table === undefined) return undefined;
  const { store, jobsets } = table;
  if (store === undefined) {
    throw keyError(file, "overflowStore.store", " is missing; it is required in that table");
  }
  if (jobsets === undefined) {
    throw keyError(file, "overflowStore.jobsets", " is missing; it is required in that table (it may be [])");
  }
  if (!store.startsWith("s3://")) {
    throw keyError(file, "overflowStore.store", " must begin with s3://");
  }
  const odd = jobsets.find((name) => !/^[^:\s]+:[^:\s]+$/.test(name));
  if (odd !== undefined) throw keyError(file, "overflowStore.jobsets", `: '${odd}' is not 'project:jobset'`);
  return { store, jobsets };
}

function checkKeyFiles(file: string, key: string, addresses: readonly string[]): void {
  for (const address of addresses) {
    for (const path of keyFiles(address)) checkReadable(file, key, "signing key file", path);
  }
}

interface Completed {
  readonly config: QueueRunnerConfig;
  readonly warnings: readonly string[];
}

/** What both entrances end in. `file`: name of the file, or of the function that got the values. */
function complete(file: string, values: Values, env: Environment): Completed {
  const warnings: string[] = [];
  const usable = values.remoteStoreAddr.filter(isStoreAddress);
  for (const address of values.remoteStoreAddr) {
    if (usable.includes(address)) continue;
    warnings.push(
      `${file}: key 'remoteStoreAddr': '${printableAddress(address)}' is ignored; it must begin with ${storeAddressForms}`,
    );
  }
  if (values.usePresignedUploads && !(usable[0] ?? "").startsWith("s3://")) {
    throw keyError(
      file,
      "usePresignedUploads",
      " needs an s3:// store as the first entry of 'remoteStoreAddr'",
    );
  }
  if (values.frontendUrl !== undefined && !/^https?:\/\/[^/]/.test(values.frontendUrl)) {
    throw keyError(file, "frontendUrl", " must begin with https:// or http://");
  }
  const overflow = overflowStore(file, values.overflowStore);
  checkKeyFiles(file, "remoteStoreAddr", usable);
  if (overflow !== undefined) checkKeyFiles(file, "overflowStore.store", [overflow.store]);

  if (values.enableFodChecker) {
    warnings.push(
      `${file}: key 'enableFodChecker' has no effect: fixed-output derivations are not checked again`,
    );
  }

  const { tokenPaths, statusTokenPath } = values;
  const tokens = tokenPaths?.map((path) => readTokenFile(file, "tokenPaths", path));
  if (values.bindTokensToHosts && tokens === undefined) {
    warnings.push(`${file}: key 'bindTokensToHosts' without 'tokenPaths': every builder is refused`);
  }
  if (tokens?.length === 0) warnings.push(`${file}: key 'tokenPaths' is empty: every builder is refused`);

  const config: QueueRunnerConfig = {
    ...values,
    dbUrl: databaseUrl(file, values.dbUrl, env),
    remoteStoreAddr: usable,
    rootsDir: values.rootsDir ?? defaultRootsDir(env),
    overflowStore: overflow,
    tokens,
    statusToken:
      statusTokenPath === undefined ? undefined : readTokenFile(file, "statusTokenPath", statusTokenPath),
    acceptedPeerVersions: [...new Set([values.protocolVersion, ...values.acceptedPeerVersions])],
  };
  return { config, warnings };
}

/**
 * Reads, checks and completes the settings of the queue-runner.
 * @throws ConfigError with one line that names file and key
 */
export async function loadQueueRunnerConfig(options: LoadOptions = {}): Promise<Loaded<QueueRunnerConfig>> {
  checkLoadOptions("loadQueueRunnerConfig", options);
  const { name, path, config: values, warnings: noFile } = await loadFile(options, queueRunnerSettings);
  const { config, warnings } = complete(name, values, options.env ?? process.env);
  return { config, path, warnings: [...noFile, ...warnings] };
}

/**
 * Settings of the queue runner in code: any of the keys of the file, with the same names, units and ranges, checked and
 * completed like a file. Token files are read now; `HYDRA_DATABASE_URL` in the environment takes precedence over `dbUrl`.
 *
 * ```ts
 * const config = defineQueueRunnerConfig({ hydraDataDir: "/var/lib/hydra", dbUrl: "embedded:" });
 * ```
 *
 * @throws ConfigError that names the key and what is allowed
 */
export function defineQueueRunnerConfig(
  values: QueueRunnerConfigInput = {},
  options: DefineOptions = {},
): QueueRunnerConfig {
  const name = "defineQueueRunnerConfig";
  const checked = checkValues(name, values, queueRunnerSettings);
  const { config, warnings } = complete(name, checked, options.env ?? process.env);
  for (const warning of warnings) tell(options, warning);
  return config;
}

import { userInfo } from "node:os";
import { join } from "node:path";

import { UsageError } from "../errors.js";
import { configError } from "./check-file.js";
import { loadFile } from "./load-file.js";
import { queueRunnerSettings } from "./queue-runner-settings.js";
import { checkReadable, readTokenFile } from "./read-secret-file.js";
import { Secret } from "./secret.js";
import type { ValuesOf } from "./setting.js";
import { isStoreAddress, keyFiles, printableAddress } from "./store-addresses.js";
import type { Loaded, LoadOptions, OverflowStoreConfig, QueueRunnerConfig } from "./types.js";

type Values = ValuesOf<typeof queueRunnerSettings>;
type Environment = Readonly<Record<string, string | undefined>>;

function databaseUrl(file: string, fromFile: string, env: Environment): Secret {
  const fromEnvironment = env.HYDRA_DATABASE_URL;
  const url = fromEnvironment ?? fromFile;
  if (/^(postgres(ql)?:\/\/.|embedded:)/.test(url)) return new Secret(url);
  const fix = "it must begin with postgres:// (or be embedded:)";
  if (fromEnvironment === undefined) throw configError(file, `key 'dbUrl' is not a database URL; ${fix}`);
  throw new UsageError(
    `HYDRA_DATABASE_URL in the environment ${url === "" ? "is empty" : "is not a database URL"}; ${fix}`,
    { code: "config" },
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
  if (store === undefined)
    throw configError(file, "key 'overflowStore.store' is missing; it is required in that table");
  if (jobsets === undefined) {
    throw configError(
      file,
      "key 'overflowStore.jobsets' is missing; it is required in that table (it may be [])",
    );
  }
  if (!store.startsWith("s3://")) throw configError(file, "key 'overflowStore.store' must begin with s3://");
  const odd = jobsets.find((name) => !/^[^:\s]+:[^:\s]+$/.test(name));
  if (odd !== undefined)
    throw configError(file, `key 'overflowStore.jobsets': '${odd}' is not 'project:jobset'`);
  return { store, jobsets };
}

async function checkKeyFiles(file: string, key: string, addresses: readonly string[]): Promise<void> {
  for (const address of addresses) {
    for (const path of keyFiles(address)) await checkReadable(file, key, "signing key file", path);
  }
}

/**
 * Reads, checks and completes the settings of the queue-runner.
 * @throws UsageError with one line that names file and key
 */
export async function loadQueueRunnerConfig(options: LoadOptions = {}): Promise<Loaded<QueueRunnerConfig>> {
  const env = options.env ?? process.env;
  const { name: file, path, config: values, warnings: noFile } = await loadFile(options, queueRunnerSettings);
  const warnings = [...noFile];
  const usable = values.remoteStoreAddr.filter(isStoreAddress);
  for (const address of values.remoteStoreAddr) {
    if (usable.includes(address)) continue;
    warnings.push(
      `${file}: key 'remoteStoreAddr': '${printableAddress(address)}' is ignored; it must begin with s3://, file://, ssh:// or /`,
    );
  }
  if (values.usePresignedUploads && !(usable[0] ?? "").startsWith("s3://")) {
    throw configError(
      file,
      "key 'usePresignedUploads' needs an s3:// store as the first entry of 'remoteStoreAddr'",
    );
  }
  const overflow = overflowStore(file, values.overflowStore);
  await checkKeyFiles(file, "remoteStoreAddr", usable);
  if (overflow !== undefined) await checkKeyFiles(file, "overflowStore.store", [overflow.store]);

  if (values.enableFodChecker) {
    warnings.push(
      `${file}: key 'enableFodChecker' has no effect: fixed-output derivations are not checked again`,
    );
  }

  const { tokenPaths, statusTokenPath } = values;
  const tokens =
    tokenPaths === undefined
      ? undefined
      : await Promise.all(tokenPaths.map((tokenPath) => readTokenFile(file, "tokenPaths", tokenPath)));
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
      statusTokenPath === undefined
        ? undefined
        : await readTokenFile(file, "statusTokenPath", statusTokenPath),
    acceptedPeerVersions: [...new Set([values.protocolVersion, ...values.acceptedPeerVersions])],
  };
  return { config, path, warnings };
}

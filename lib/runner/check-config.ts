/**
 * What can be found out about the settings of the queue runner without any connection: addresses, files, programs.
 */
import { join } from "node:path";
import { aFlag, anObject, aText, checkMembers, having, optional } from "../argument-checks.js";
import { parseCacheUri } from "../binary-cache/index.js";
import { hasProgram, missingProgram } from "../compression/index.js";
import { nearestWord } from "../config/spelling.js";
import type { QueueRunnerConfig } from "../config/types.js";
import { connectionSettings } from "../database/connection-settings.js";
import { errorChain, UsageError } from "../errors.js";
import { Signer } from "../nix/cache/signer.js";
import { parseStoreUri } from "../nix/daemon/store-uri.js";
import { requireWritableFolder } from "../process/index.js";
import { hostOf } from "../status/http/host-names.js";

/** How to check settings. */
export interface CheckConfigOptions {
  /** Name of the file in messages. */
  readonly file: string;
  /** Refuse what would only be ignored with a warning: unknown parameters of store addresses. Default false. */
  readonly strict?: boolean;
  /** Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * Checks settings that the loader has accepted: whether addresses can be parsed, files hold what they must, and
 * programs that will be run are installed.
 *
 * @throws UsageError, one line that names file and key
 */
export async function checkQueueRunnerConfig(
  config: QueueRunnerConfig,
  options: CheckConfigOptions,
): Promise<void> {
  checkMembers("checkQueueRunnerConfig", config, {
    dbUrl: having("a Secret: see defineQueueRunnerConfig()", ["reveal"]),
    hydraDataDir: aText,
  });
  checkMembers("checkQueueRunnerConfig", options, {
    file: aText,
    strict: optional(aFlag),
    env: optional(anObject),
  });
  const { file, strict = false, env = process.env } = options;
  const url = config.dbUrl.reveal();
  const urlKey = env.HYDRA_DATABASE_URL === undefined ? `${file}: key 'dbUrl'` : "HYDRA_DATABASE_URL";
  if (!url.startsWith("embedded:")) await checked(urlKey, () => connectionSettings(url, env));
  for (const part of ["", "build-logs", "queue-runner", "queue-runner/uploads"]) {
    await checked(`${file}: key 'hydraDataDir'`, () =>
      requireWritableFolder(join(config.hydraDataDir, part)),
    );
  }
  const { rootsDir, statusHosts } = config;
  if (rootsDir !== undefined) await checked(`${file}: key 'rootsDir'`, () => requireWritableFolder(rootsDir));
  for (const name of statusHosts ?? []) await checked(`${file}: key 'statusHosts'`, () => checkHost(name));
  await checked("NIX_REMOTE", () => parseStoreUri(env.NIX_REMOTE, env));
  for (const address of config.remoteStoreAddr) {
    await checked(`${file}: key 'remoteStoreAddr'`, () => checkStore(address, strict));
  }
  const overflow = config.overflowStore?.store;
  if (overflow !== undefined) {
    await checked(`${file}: key 'overflowStore.store'`, () => checkStore(overflow, strict));
  }
}

/** Names the setting in front of whatever `check` says. */
async function checked(setting: string, check: () => unknown): Promise<void> {
  try {
    await check();
  } catch (cause) {
    throw new UsageError(`${setting}: ${errorChain(cause)}`, { code: "config", cause });
  }
}

async function checkStore(address: string, strict: boolean): Promise<void> {
  if (!/^(s3|file):\/\//.test(address)) {
    if (!hasProgram("nix")) throw new UsageError("copying to this store needs the program 'nix' on PATH");
    const [place = ""] = address.split("?");
    if (place.startsWith("/")) await requireWritableFolder(place);
    else if (!/^ssh:\/\/(?:[^@/]*@)?[^@/]+(?:\/|$)/.test(place))
      throw new UsageError("the host is missing: write ssh://<host>");
    return;
  }
  const { settings, unknownParameters, knownParameters } = parseCacheUri(address);
  if (settings.kind === "file") await requireWritableFolder(settings.place);
  const [unknown] = unknownParameters;
  if (strict && unknown !== undefined) {
    const near = nearestWord(unknown, knownParameters);
    const advice = near === undefined ? "remove it" : `did you mean '${near}'?`;
    throw new UsageError(`unknown parameter '${unknown}' of the store ${settings.place}; ${advice}`);
  }
  for (const path of settings.secretKeyFiles) await Signer.fromFile(path);
  for (const [parameter, method] of [
    ["compression", settings.compression],
    ["narinfo-compression", settings.narinfoCompression],
    ["ls-compression", settings.lsCompression],
    ["log-compression", settings.logCompression],
  ] as const) {
    const program = await missingProgram(method);
    if (program === undefined) continue;
    throw new UsageError(
      `'${parameter}' of the store ${settings.place} is ${method}, but the program '${program}' is not on PATH; install it or choose another method`,
    );
  }
}

function checkHost(name: string): void {
  if (name === "*" || hostOf(name) !== undefined) return;
  throw new UsageError(`'${name}' is not a host name; give names like 'hydra.example.org', or '*' for any`);
}

/** What the builder's options mean here: the runner's addresses, the local store, files that may be open. */
import { tmpdir } from "node:os";
import { type RunnerGateway, runnerGateways } from "../../lib/builder/index.js";
import type { BuilderConfig } from "../../lib/config/index.js";
import {
  DaemonError,
  type DaemonStore,
  openStore,
  parseStoreUri,
  type StoreDir,
  type StorePath,
} from "../../lib/nix/index.js";
import {
  errorChain,
  type Logger,
  requireOpenFiles,
  requireWritableFolder,
  UsageError,
} from "../../lib/process/index.js";
import { defaultGateway } from "./default-gateway.js";
import type { BuilderFlags } from "./hydra-builder.js";

/** Undefined when the daemon does not answer, which is logged. */
export async function openLocalStore(maxJobs: number, logger: Logger): Promise<DaemonStore | undefined> {
  try {
    // Transfers of several builds must not keep their short questions waiting.
    const store = await openStore(process.env.NIX_REMOTE, { env: process.env, poolSize: 8 + 2 * maxJobs });
    if (store.server.trust === "notTrusted") {
      logger.error("the nix-daemon does not trust this user; add it to trusted-users in nix.conf");
    }
    return store;
  } catch (error) {
    if (!(error instanceof DaemonError) || error.code === "address") throw error;
    logger.error(errorChain(error));
    return undefined;
  }
}

/** The runner's addresses, with what is needed to call them. @throws UsageError */
export function gatewaysOf(
  flags: BuilderFlags,
  storeDir: StoreDir,
  logger: Logger,
): Promise<RunnerGateway[]> {
  return runnerGateways({
    addresses: flags.gatewayEndpoint.length === 0 ? [defaultGateway] : flags.gatewayEndpoint,
    credentials: {
      ca: flags.serverRootCaCertPath,
      certificate: flags.clientCertPath,
      key: flags.clientKeyPath,
      serverName: flags.domainName,
      token: flags.authorizationFile,
    },
    storeDir,
    logger,
  });
}

/** @throws UsageError when `NIX_REMOTE` is not an address of a store */
export function checkStoreAddress(): void {
  try {
    parseStoreUri(process.env.NIX_REMOTE);
  } catch (cause) {
    throw new UsageError(`NIX_REMOTE: ${errorChain(cause)}`, { cause });
  }
}

/** Logs and uploads pass through files there. @throws UsageError when it cannot be written */
export async function checkTemporaryFolder(): Promise<void> {
  try {
    await requireWritableFolder(tmpdir());
  } catch (cause) {
    throw new UsageError(`TMPDIR: ${errorChain(cause)}`, { cause });
  }
}

/** Files and connections: of the program itself, and of its builds (daemon, log, inputs, outputs). @throws UsageError */
export function requireOpenFilesFor({ maxJobs }: BuilderConfig): void {
  const ownFiles = 64;
  requireOpenFiles(ownFiles + 4 * maxJobs, `maxJobs = ${maxJobs}`);
}

/** What the service manager shows. */
export function activity(drvs: readonly StorePath[]): string {
  return `Building ${drvs.length} drvs${drvs.length === 0 ? "" : `: ${drvs.join(", ")}`}`;
}

/** What `hydra-builder` does after its command line: opens the local store and builds until a signal ends it. */
import type { Command } from "commander";
import {
  BuilderClient,
  BuilderError,
  defaultBuildDir,
  type RunnerGateway,
  runnerGateways,
} from "../lib/builder/index.js";
import {
  type BuilderConfig,
  builderConfigChanges,
  builderSettings,
  defaultConfigFile,
  loadBuilderConfig,
} from "../lib/config/index.js";
import { errorChain, UsageError } from "../lib/errors.js";
import type { Logger } from "../lib/log.js";
import { DaemonError, type DaemonStore, openStore, parseStoreUri, type StorePath } from "../lib/nix/index.js";
import { defaultStoreDir, type StoreDir } from "../lib/nix/path/store-path.js";
import { requireOpenFiles, SystemdNotifier, shutdownSignals } from "../lib/process/index.js";
import { type BuilderFlags, defaultGateway } from "./commands/hydra-builder.js";
import { LiveSettings, printDefaults, programLog, readSettings, reportValid } from "./common.js";

function activity(drvs: readonly StorePath[]): string {
  return `Building ${drvs.length} drvs${drvs.length === 0 ? "" : `: ${drvs.join(", ")}`}`;
}

/** Undefined when the daemon does not answer, which is logged. */
async function openLocalStore(maxJobs: number, logger: Logger): Promise<DaemonStore | undefined> {
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

/** Drains the client for up to `drainTimeoutInS`, or closes it immediately when that is 0 or a second signal comes. */
async function stop(client: BuilderClient, config: BuilderConfig, second: AbortSignal): Promise<void> {
  if (config.drainTimeoutInS === 0) return client.close();
  const timer = setTimeout(() => void client.close(), config.drainTimeoutInS * 1000);
  second.addEventListener("abort", () => void client.close(), { once: true });
  await client.close({ drain: true });
  clearTimeout(timer);
}

function gatewaysOf(flags: BuilderFlags, storeDir: StoreDir, logger: Logger): Promise<RunnerGateway[]> {
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
function checkStoreAddress(): void {
  try {
    parseStoreUri(process.env.NIX_REMOTE);
  } catch (cause) {
    throw new UsageError(`NIX_REMOTE: ${errorChain(cause)}`, { cause });
  }
}

/** Files and connections: of the program itself, and of its builds (daemon, log, inputs, outputs). */
function openFilesOf({ maxJobs }: BuilderConfig): number {
  const ownFiles = 64;
  return ownFiles + 4 * maxJobs;
}

/** Resolves to the exit code. @throws UsageError for flags, settings and surroundings that cannot work */
export async function runHydraBuilder(program: Command): Promise<number> {
  const flags = program.opts<BuilderFlags>();
  if (flags.printDefaultConfig === true) return printDefaults(defaultConfigFile(builderSettings));
  const { logger } = programLog({ filter: "hydra_builder", target: "hydra_builder" });
  const config = await readSettings(program, loadBuilderConfig, logger);
  checkStoreAddress();
  if (flags.checkConfig === true) {
    await gatewaysOf(flags, defaultStoreDir, logger);
    reportValid(flags);
    return 0;
  }

  requireOpenFiles(openFilesOf(config), `maxJobs = ${config.maxJobs}`);
  using signals = shutdownSignals();
  await using systemd = new SystemdNotifier({ logger });
  await using store = await openLocalStore(config.maxJobs, logger);
  if (store === undefined) return 2;
  const gateways = await gatewaysOf(flags, store.storeDir, logger);
  await using client = new BuilderClient({
    settings: config,
    gateways,
    store,
    version: config.protocolVersion,
    hostname: config.hostname,
    defaultBuildDir: defaultBuildDir(store.server.nixVersion ?? "", store.stateDir),
    reconnectTimeoutMs: config.reconnectTimeoutInS * 1000,
    logger,
    onActivity: (drvs) => void systemd.notify({ status: activity(drvs), ready: true }),
  });
  using settings = new LiveSettings(config, {
    load: () => loadBuilderConfig({ path: flags.configPath, explicit: true }),
    changes: builderConfigChanges,
    apply: async (changed) => {
      const known = client.reload(changed);
      return { runnerKnows: { now: "now", later: "when the builder joins again" }[known] };
    },
    status: "Configuration reloaded",
    systemd,
    logger,
  });
  signals.first.addEventListener("abort", () => {
    void systemd.notify({ stopping: true });
    void stop(client, settings.current, signals.second);
  });
  systemd.startWatchdog(() => true);
  await client.start().catch((error: unknown) => {
    if (!(error instanceof BuilderError)) throw error;
  });
  const { exitCode, error } = await client.finished;
  if (error !== undefined) logger.error(errorChain(error));
  return exitCode;
}

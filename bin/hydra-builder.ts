#!/usr/bin/env node
/**
 * `hydra-builder`: reads its settings, opens the local store and builds for a runner until a signal ends it.
 *
 * Only command line, environment and signals are dealt with here; everything else is the library's.
 */
import { Command } from "commander";
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
  loadBuilderConfig,
  programLogFormat,
  programLogLevel,
} from "../lib/config/index.js";
import { errorChain, UsageError } from "../lib/errors.js";
import { createLogger, type Logger, silentLogger } from "../lib/log.js";
import { DaemonError, type DaemonStore, openStore, type StorePath } from "../lib/nix/index.js";
import { defaultStoreDir, type StoreDir } from "../lib/nix/path/store-path.js";
import { onReloadSignal, runProgram, SystemdNotifier, shutdownSignals } from "../lib/process/index.js";
import { packageVersion } from "../lib/version.js";

interface Flags {
  readonly gatewayEndpoint: readonly string[];
  readonly configPath: string;
  readonly serverRootCaCertPath?: string;
  readonly clientCertPath?: string;
  readonly clientKeyPath?: string;
  readonly domainName?: string;
  readonly authorizationFile?: string;
  readonly checkConfig?: boolean;
}

const defaultGateway = "http://[::1]:50051";

const program = new Command("hydra-builder")
  .description("builds on this machine what a Hydra queue runner orders")
  .version(`hydra-builder ${packageVersion}`, "-V, --version")
  .option(
    "-g, --gateway-endpoint <address>",
    `runner: http://…, https://… or unix://<path>; may be given several times (default: ${defaultGateway})`,
    (value: string, before: readonly string[]) => [...before, value],
    [],
  )
  .option("-c, --config-path <file>", "settings (TOML)", "config.toml")
  .option("--server-root-ca-cert-path <file>", "authority that the runner's certificate must come from (PEM)")
  .option("--client-cert-path <file>", "certificate of this builder (PEM)")
  .option("--client-key-path <file>", "its key (PEM)")
  .option("--domain-name <name>", "name that the runner's certificate must bear")
  .option("--authorization-file <file>", "file with the token that the runner wants")
  .option("--check-config", "check settings, addresses and files, say so, and end")
  .showHelpAfterError()
  .exitOverride((end) => process.exit(end.exitCode === 0 ? 0 : 2));

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
    if (!(error instanceof DaemonError)) throw error;
    if (error.code === "address") throw new UsageError(error.message, { cause: error });
    logger.error(errorChain(error));
    return undefined;
  }
}

/** Ends the client in order, or at once when there is no time for that or a second signal comes. */
async function stop(client: BuilderClient, config: BuilderConfig, second: AbortSignal): Promise<void> {
  if (config.drainTimeoutInS === 0) return client.close();
  const timer = setTimeout(() => void client.close(), config.drainTimeoutInS * 1000);
  second.addEventListener("abort", () => void client.close(), { once: true });
  await client.close({ drain: true });
  clearTimeout(timer);
}

function gatewaysOf(flags: Flags, storeDir: StoreDir, logger: Logger): Promise<RunnerGateway[]> {
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

/** The settings in force afterwards. */
async function reload(
  client: BuilderClient,
  before: BuilderConfig,
  path: string,
  systemd: SystemdNotifier,
  logger: Logger,
): Promise<BuilderConfig> {
  await systemd.notify({ reloading: true });
  try {
    const { config, warnings } = await loadBuilderConfig({ path, explicit: true });
    for (const warning of warnings) logger.warn(warning);
    const { live, atRestart } = builderConfigChanges(before, config);
    const known = client.reload(config);
    logger.info("settings reloaded", {
      changed: live.join(","),
      waitForRestart: atRestart.join(","),
      runnerKnows: { now: "now", later: "when the builder joins again" }[known],
    });
    await systemd.notify({ status: "Configuration reloaded", ready: true });
    return config;
  } catch (error) {
    logger.error("settings not reloaded; the old ones stay in force", { error });
    await systemd.notify({ status: "Reload failed", errno: 1, ready: true });
    return before;
  }
}

async function main(): Promise<number> {
  program.parse();
  const flags = program.opts<Flags>();
  const format = programLogFormat(process.env);
  const level = programLogLevel("hydra_builder", process.env);
  const logger = level === "off" ? silentLogger : createLogger({ target: "hydra_builder", level, format });
  const explicit = program.getOptionValueSource("configPath") === "cli";
  const { config, warnings } = await loadBuilderConfig({ path: flags.configPath, explicit });
  for (const warning of warnings) logger.warn(warning);
  if (flags.checkConfig === true) {
    await gatewaysOf(flags, defaultStoreDir, logger);
    process.stdout.write(`${flags.configPath}: no mistakes\n`);
    return 0;
  }

  using signals = shutdownSignals();
  await using systemd = new SystemdNotifier({ logger });
  await using store = await openLocalStore(config.maxJobs, logger);
  if (store === undefined) return 1;
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
  let current = config;
  signals.first.addEventListener("abort", () => {
    void systemd.notify({ stopping: true });
    void stop(client, current, signals.second);
  });
  using _reload = onReloadSignal(
    async () => {
      current = await reload(client, current, flags.configPath, systemd, logger);
    },
    (error) => logger.error("reload failed", { error }),
  );
  systemd.startWatchdog(() => true);
  await client.start().catch((error: unknown) => {
    if (!(error instanceof BuilderError)) throw error;
  });
  const { exitCode, error } = await client.finished;
  if (error !== undefined) logger.error(errorChain(error));
  return exitCode;
}

await runProgram(main, { name: "hydra-builder" });

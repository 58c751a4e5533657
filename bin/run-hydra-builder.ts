/** What `hydra-builder` does after its command line: opens the local store and builds until a signal ends it. */
import type { Command } from "commander";
import { BuilderClient, BuilderError, defaultBuildDir } from "../lib/builder/index.js";
import {
  type BuilderConfig,
  builderConfigChanges,
  builderSettings,
  defaultConfigFile,
  loadBuilderConfig,
} from "../lib/config/index.js";
import { defaultStoreDir } from "../lib/nix/index.js";
import { errorChain, runProgram, SystemdNotifier, shutdownSignals } from "../lib/process/index.js";
import {
  activity,
  checkStoreAddress,
  checkTemporaryFolder,
  gatewaysOf,
  openLocalStore,
  requireOpenFilesFor,
} from "./commands/builder-surroundings.js";
import type { BuilderFlags } from "./commands/hydra-builder.js";
import { LiveSettings, printDefaults, programLog, readSettings, reportValid } from "./common.js";
import { builderTracing } from "./tracing.js";

/** Drains the client for up to `drainTimeoutInS`, or closes it immediately when that is 0 or a second signal comes. */
async function stop(client: BuilderClient, config: BuilderConfig, second: AbortSignal): Promise<void> {
  if (config.drainTimeoutInS === 0) return client.close();
  const timer = setTimeout(() => void client.close(), config.drainTimeoutInS * 1000);
  second.addEventListener("abort", () => void client.close(), { once: true });
  await client.close({ drain: true });
  clearTimeout(timer);
}

/** Runs and ends the program. */
export function builderProgram(program: Command): Promise<void> {
  return runProgram(() => runHydraBuilder(program), { name: "hydra-builder" });
}

/** Resolves to the exit code. @throws UsageError for flags, settings and surroundings that cannot work */
async function runHydraBuilder(program: Command): Promise<number> {
  const flags = program.opts<BuilderFlags>();
  if (flags.printDefaultConfig === true) return printDefaults(defaultConfigFile(builderSettings));
  const { logger } = programLog({ filter: "hydra_builder", target: "hydra_builder" });
  const config = await readSettings(program, loadBuilderConfig, logger);
  checkStoreAddress();
  await checkTemporaryFolder();
  if (flags.checkConfig === true) {
    await gatewaysOf(flags, defaultStoreDir, logger);
    return reportValid(flags);
  }

  requireOpenFilesFor(config);
  using signals = shutdownSignals();
  await using systemd = new SystemdNotifier({ logger });
  await using store = await openLocalStore(config.maxJobs, logger);
  if (store === undefined) return 2;
  const gateways = await gatewaysOf(flags, store.storeDir, logger);
  await using tracing = await builderTracing(logger);
  await using client = new BuilderClient({
    settings: config,
    gateways,
    store,
    version: config.protocolVersion,
    hostname: config.hostname,
    defaultBuildDir: defaultBuildDir(store.server.nixVersion ?? "", store.stateDir),
    reconnectTimeoutMs: config.reconnectTimeoutInS * 1000,
    logger,
    onBuild: tracing?.onBuild,
    traceReport: tracing?.traceReport,
    onActivity: (drvs) => systemd.activity(activity(drvs)),
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

#!/usr/bin/env node
/**
 * `queue-runner`: reads its settings, opens the store and runs a `QueueRunner` until a signal ends it.
 *
 * Only command line, environment and signals are dealt with here; everything else is the library's.
 */
import { readFile } from "node:fs/promises";
import { Command } from "commander";
import {
  configChanges,
  loadQueueRunnerConfig,
  programLogFormat,
  programLogLevel,
  type QueueRunnerConfig,
} from "../lib/config/index.js";
import { UsageError } from "../lib/errors.js";
import { createLogger, type Logger, silentLogger } from "../lib/log.js";
import { openStore } from "../lib/nix/index.js";
import {
  inheritedSockets,
  onReloadSignal,
  runProgram,
  SystemdNotifier,
  shutdownSignals,
} from "../lib/process/index.js";
import {
  checkTls,
  type ListenerOptions,
  parseListenAddress,
  type ServerTlsOptions,
} from "../lib/rpc/index.js";
import { QueueRunner } from "../lib/runner/index.js";
import { packageVersion } from "../lib/version.js";

interface Flags {
  readonly restBind: string;
  readonly grpcBind: string;
  readonly configPath: string;
  readonly serverCertPath?: string;
  readonly serverKeyPath?: string;
  readonly clientCaCertPath?: string;
  readonly checkConfig?: boolean;
  readonly disableQueueMonitorLoop?: boolean;
}

const program = new Command("hydra-queue-runner")
  .description("builds what Hydra has queued, on the machines that have joined")
  .version(`hydra-queue-runner ${packageVersion}`, "-V, --version")
  .option("-r, --rest-bind <address>", "status API: IP:port, or - for an inherited socket", "[::1]:8080")
  .option("-g, --grpc-bind <address>", "builders: IP:port, path of a Unix socket, or -", "[::1]:50051")
  .option("-c, --config-path <file>", "settings (TOML)", "config.toml")
  .option("--server-cert-path <file>", "certificate chain of this server (PEM)")
  .option("--server-key-path <file>", "its key (PEM)")
  .option("--client-ca-cert-path <file>", "authority that builders' certificates must come from (PEM)")
  .option("--check-config", "check settings, addresses and files, say so, and end")
  .option("--disable-queue-monitor-loop", "take builds in only on request")
  .exitOverride((end) => process.exit(end.exitCode === 0 ? 0 : 2));

function bindAddress(
  flag: string,
  value: string,
  socket: "rest" | "grpc",
  inherited: ReadonlyMap<string, number>,
): ListenerOptions {
  if (value !== "-") return parseListenAddress(value);
  const fd = inherited.get(socket);
  if (fd === undefined)
    throw new UsageError(
      `${flag} is -, but no socket named ${socket} was handed over (LISTEN_FDS, LISTEN_FDNAMES)`,
    );
  return { kind: "fd", fd };
}

async function readPem(flag: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new UsageError(`${flag}: ${path} cannot be read`, { cause });
  }
}

async function tlsOptions(flags: Flags): Promise<ServerTlsOptions | undefined> {
  const { serverCertPath, serverKeyPath, clientCaCertPath } = flags;
  if (serverCertPath === undefined && serverKeyPath === undefined && clientCaCertPath === undefined)
    return undefined;
  if (serverCertPath === undefined || serverKeyPath === undefined) {
    throw new UsageError("--server-cert-path and --server-key-path must be given together");
  }
  return {
    certificate: await readPem("--server-cert-path", serverCertPath),
    key: await readPem("--server-key-path", serverKeyPath),
    clientCa:
      clientCaCertPath === undefined ? undefined : await readPem("--client-ca-cert-path", clientCaCertPath),
  };
}

/** The settings in force afterwards. */
async function reload(
  runner: QueueRunner,
  before: QueueRunnerConfig,
  flags: Flags,
  systemd: SystemdNotifier,
  logger: Logger,
): Promise<QueueRunnerConfig> {
  await systemd.notify({ reloading: true });
  try {
    const { config, warnings } = await loadQueueRunnerConfig({ path: flags.configPath, explicit: true });
    for (const warning of warnings) logger.warn(warning);
    await runner.reload(config, await tlsOptions(flags));
    const { live, atRestart } = configChanges(before, config);
    logger.info("settings reloaded", { changed: live.join(","), waitForRestart: atRestart.join(",") });
    await systemd.notify({ status: "Configuration reloaded - Running", ready: true });
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
  const level = programLogLevel("hydra_queue_runner", process.env);
  const logger = level === "off" ? silentLogger : createLogger({ target: "queue_runner", level, format });
  const explicit = program.getOptionValueSource("configPath") === "cli";
  const { config, warnings } = await loadQueueRunnerConfig({ path: flags.configPath, explicit });
  for (const warning of warnings) logger.warn(warning);
  const inherited = inheritedSockets(process.env);
  const rest = bindAddress("--rest-bind", flags.restBind, "rest", inherited);
  if (rest.kind === "unix") {
    throw new UsageError(`--rest-bind ${flags.restBind}: the status API needs IP:port or -`);
  }
  const grpc = bindAddress("--grpc-bind", flags.grpcBind, "grpc", inherited);
  const tls = await tlsOptions(flags);
  if (tls !== undefined) checkTls(tls);
  if (flags.checkConfig === true) {
    process.stdout.write(`${flags.configPath}: no mistakes\n`);
    return 0;
  }

  using signals = shutdownSignals();
  await using systemd = new SystemdNotifier({ logger });
  await using store = await openStore(process.env.NIX_REMOTE, { env: process.env });
  await using runner = new QueueRunner({
    config,
    store,
    rest,
    grpc,
    tls,
    disableQueueMonitor: flags.disableQueueMonitorLoop === true,
    logger,
    version: packageVersion,
  });
  const stopped = new Promise<undefined>((resolve) => {
    signals.first.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  signals.second.addEventListener("abort", () => process.exit(1), { once: true });
  await Promise.race([runner.start(), stopped]);
  if (!signals.first.aborted) {
    logger.info("listening", { rest: runner.restAddress, grpc: runner.grpcAddress, state: runner.state });
    await systemd.notify({ status: "Running", ready: true });
    systemd.startWatchdog(() => runner.healthy);
  }
  let current = config;
  using _reload = onReloadSignal(
    async () => {
      current = await reload(runner, current, flags, systemd, logger);
    },
    (error) => logger.error("reload failed", { error }),
  );
  const exit = await Promise.race([runner.finished, stopped]);
  await systemd.notify({ stopping: true });
  await runner.close();
  return exit?.exitCode ?? 0;
}

await runProgram(main, { name: "queue-runner" });

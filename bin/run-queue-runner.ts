/** What `queue-runner` does after its command line: opens the store and runs a `QueueRunner` until a signal ends it. */
import type { Command } from "commander";
import {
  configChanges,
  defaultConfigFile,
  loadQueueRunnerConfig,
  queueRunnerSettings,
} from "../lib/config/index.js";
import { openStore } from "../lib/nix/index.js";
import {
  inheritedSockets,
  packageVersion,
  runProgram,
  SystemdNotifier,
  shutdownSignals,
} from "../lib/process/index.js";
import { checkTls } from "../lib/rpc/index.js";
import { checkQueueRunnerConfig, QueueRunner } from "../lib/runner/index.js";
import type { QueueRunnerFlags } from "./commands/queue-runner.js";
import { bindAddress, requireOpenFilesFor, restAddress, tlsOptions } from "./commands/runner-surroundings.js";
import { LiveSettings, printDefaults, programLog, readSettings, reportValid, startStep } from "./common.js";
import { runnerTracing } from "./tracing.js";

/** Runs and ends the program. */
export function queueRunnerProgram(program: Command): Promise<void> {
  return runProgram(() => runQueueRunner(program), { name: "queue-runner" });
}

/** Resolves to the exit code. @throws UsageError for flags, settings and surroundings that cannot work */
async function runQueueRunner(program: Command): Promise<number> {
  const flags = program.opts<QueueRunnerFlags>();
  if (flags.printDefaultConfig === true) return printDefaults(defaultConfigFile(queueRunnerSettings));
  const { logger, levels } = programLog({ filter: "hydra_queue_runner", target: "queue_runner" });
  const config = await readSettings(program, loadQueueRunnerConfig, logger);
  await checkQueueRunnerConfig(config, { file: flags.configPath, strict: flags.checkConfig === true });
  const inherited = inheritedSockets(process.env);
  const rest = restAddress(flags.restBind, inherited);
  const grpc = bindAddress("--grpc-bind", flags.grpcBind, "grpc", inherited);
  const tls = await tlsOptions(flags);
  if (tls !== undefined) checkTls(tls);
  if (flags.checkConfig === true) return reportValid(flags);

  requireOpenFilesFor(config);
  using signals = shutdownSignals();
  await using systemd = new SystemdNotifier({ logger });
  await using store = await startStep(openStore(process.env.NIX_REMOTE, { env: process.env }));
  let current = config;
  await using tracing = await runnerTracing(logger, () => current.frontendUrl);
  await using runner = new QueueRunner({
    config,
    store,
    rest,
    grpc,
    tls,
    disableQueueMonitor: flags.disableQueueMonitorLoop === true,
    logger,
    logLevels: levels,
    traceOrder: tracing?.traceOrder,
    version: packageVersion,
  });
  tracing?.follow(runner);
  const stopped = new Promise<undefined>((resolve) => {
    signals.first.addEventListener("abort", () => resolve(undefined), { once: true });
  });
  signals.second.addEventListener("abort", () => process.exit(1), { once: true });
  await Promise.race([startStep(runner.start()), stopped]);
  if (!signals.first.aborted) {
    logger.info("listening", { rest: runner.restAddress, grpc: runner.grpcAddress, state: runner.state });
    await systemd.notify({ status: "Running", ready: true });
    // Trouble outside the process would not be mended by ending it.
    systemd.startWatchdog(() => true);
  }
  using _settings = new LiveSettings(config, {
    load: () => loadQueueRunnerConfig({ path: flags.configPath, explicit: true }),
    changes: configChanges,
    apply: async (changed) => {
      await checkQueueRunnerConfig(changed, { file: flags.configPath });
      await runner.reload(changed, await tlsOptions(flags));
      current = changed;
      return {};
    },
    status: "Configuration reloaded - Running",
    systemd,
    logger,
  });
  const exit = await Promise.race([runner.finished, stopped]);
  await systemd.notify({ stopping: true });
  await runner.close();
  return exit?.exitCode ?? 0;
}

/** `queue-runner export-trace`: writes what was built as a trace, for replays under other policies. */
import { writeFile } from "node:fs/promises";
import { Command, InvalidArgumentError } from "commander";
import { loadQueueRunnerConfig } from "../lib/config/index.js";
import { openHydraDatabase } from "../lib/database/index.js";
import { openStore } from "../lib/nix/index.js";
import { printOut, runProgram, shutdownSignals } from "../lib/process/index.js";
import { exportTrace } from "../lib/testing/index.js";
import { programLog, readSettings, startStep } from "./common.js";

interface Flags {
  readonly configPath: string;
  readonly since?: number;
  readonly until?: number;
  readonly hashNames?: boolean;
  readonly output: string;
}

/** Unix seconds. */
function time(text: string): number {
  const at = Date.parse(text);
  if (Number.isNaN(at))
    throw new InvalidArgumentError("give a date, such as 2026-11-28 or 2026-11-28T12:00:00Z.");
  return Math.floor(at / 1000);
}

const daySeconds = 86_400;

function command(): Command {
  return new Command("queue-runner export-trace")
    .description(
      "Writes what was built in a span of time, with dependencies and machines, as a trace (JSON) that hydra-runner/testing replays.\nReads the database and the store; a runner may go on working.",
    )
    .option("-c, --config-path <file>", "configuration file (TOML) that names the database", "config.toml")
    .option("--since <date>", "begin of the span (default: a day before its end)", time)
    .option("--until <date>", "end of the span (default: now)", time)
    .option("--hash-names", "replace names of projects, jobsets, packages and machines by hashes")
    .option("-o, --output <file>", "where the trace goes; - for standard output", "-")
    .helpOption("-h, --help", "print this help and exit")
    .exitOverride((end) => process.exit(end.exitCode === 0 ? 0 : 2));
}

/** Runs and ends the program; `args` stand after the command's name. */
export function exportTraceProgram(args: readonly string[]): Promise<void> {
  return runProgram(() => runExportTrace(args), { name: "queue-runner" });
}

/** Resolves to the exit code. @throws UsageError for settings, a database or a store that cannot be used */
async function runExportTrace(args: readonly string[]): Promise<number> {
  const program = command().parse(args, { from: "user" });
  const flags = program.opts<Flags>();
  const { logger } = programLog({ filter: "hydra_queue_runner", target: "queue_runner" });
  const config = await readSettings(program, loadQueueRunnerConfig, logger);
  using signals = shutdownSignals();
  const signal = signals.first;
  const opening = openHydraDatabase({
    url: config.dbUrl.reveal(),
    dataDir: config.hydraDataDir,
    maxConnections: 4,
    logger,
    signal,
  });
  await using database = await startStep(opening);
  await using store = await startStep(openStore(process.env.NIX_REMOTE, { env: process.env }));
  const until = flags.until ?? Math.floor(Date.now() / 1000) + 1;
  const since = flags.since ?? until - daySeconds;
  const { hashNames } = flags;
  const { trace, unreadable, cachedBuilds } = await exportTrace({
    database,
    store,
    since,
    until,
    hashNames,
    signal,
  });
  const text = `${JSON.stringify(trace)}\n`;
  await startStep(flags.output === "-" ? printOut(text) : writeFile(flags.output, text));
  logger.info("trace exported", {
    steps: trace.steps.length,
    builds: trace.builds.length,
    machines: trace.machines.length,
    derivationsGone: unreadable,
    buildsWithoutSteps: cachedBuilds,
  });
  return 0;
}

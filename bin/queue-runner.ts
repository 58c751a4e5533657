#!/usr/bin/env node
/**
 * `queue-runner`, also named `hydra-queue-runner`. All but the command line is loaded after that was read, so that help,
 * version and mistakes are answered at once.
 *
 * Only command line, environment and signals are dealt with in this folder; everything else is the library's.
 */
import { keepHeapSmall, requireFilesToLoad, runProgram } from "../lib/process/index.js";
import { queueRunnerCommand } from "./commands/queue-runner.js";

async function main(): Promise<number> {
  const [first, ...rest] = process.argv.slice(2);
  if (first === "export-trace") {
    const { runExportTrace } = await import("./export-trace.js");
    return runExportTrace(rest);
  }
  const program = queueRunnerCommand().parse();
  requireFilesToLoad();
  keepHeapSmall();
  const { runQueueRunner } = await import("./run-queue-runner.js");
  return runQueueRunner(program);
}

await runProgram(main, { name: "queue-runner" });

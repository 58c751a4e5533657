/** All but the command line is loaded after that was read, so that help, version and mistakes are answered at once. */
import { keepHeapSmall, requireFilesToLoad, runProgram } from "../../lib/process/index.js";
import { queueRunnerCommand } from "../commands/queue-runner.js";

async function main(): Promise<number> {
  const [first, ...rest] = process.argv.slice(2);
  if (first === "export-trace") return (await import("../export-trace.js")).runExportTrace(rest);
  const program = queueRunnerCommand().parse();
  requireFilesToLoad();
  keepHeapSmall();
  return (await import("../run-queue-runner.js")).runQueueRunner(program);
}

await runProgram(main, { name: "queue-runner" });

/**
 * All but the command line is loaded after that was read, so that help, version and mistakes are answered at once. What
 * is loaded then has error classes of its own (`.ci/build.mjs`), so it reports its own errors.
 */
import { keepHeapSmall, requireFilesToLoad, runProgram } from "../../lib/process/index.js";
import { queueRunnerCommand } from "../commands/queue-runner.js";

async function main(): Promise<number> {
  const [first, ...rest] = process.argv.slice(2);
  if (first === "export-trace") await (await import("../export-trace.js")).exportTraceProgram(rest);
  else {
    const program = queueRunnerCommand().parse();
    requireFilesToLoad();
    keepHeapSmall();
    await (await import("../run-queue-runner.js")).queueRunnerProgram(program);
  }
  return Number(process.exitCode);
}

await runProgram(main, { name: "queue-runner" });

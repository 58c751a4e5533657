/**
 * All but the command line is loaded after that was read, so that help, version and mistakes are answered at once. What
 * is loaded then has error classes of its own (`.ci/build.mjs`), so it reports its own errors.
 */
import { keepHeapSmall, requireFilesToLoad, runProgram } from "../../lib/process/index.js";
import { builderCommand } from "../commands/hydra-builder.js";

async function main(): Promise<number> {
  const program = builderCommand().parse();
  requireFilesToLoad();
  keepHeapSmall();
  await (await import("../run-hydra-builder.js")).builderProgram(program);
  return Number(process.exitCode);
}

await runProgram(main, { name: "hydra-builder" });

/** All but the command line is loaded after that was read, so that help, version and mistakes are answered at once. */
import { keepHeapSmall, requireFilesToLoad, runProgram } from "../../lib/process/index.js";
import { builderCommand } from "../commands/hydra-builder.js";

async function main(): Promise<number> {
  const program = builderCommand().parse();
  requireFilesToLoad();
  keepHeapSmall();
  return (await import("../run-hydra-builder.js")).runHydraBuilder(program);
}

await runProgram(main, { name: "hydra-builder" });

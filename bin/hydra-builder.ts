#!/usr/bin/env node
/**
 * `hydra-builder`. All but the command line is loaded after that was read, so that help, version and mistakes are
 * answered at once.
 *
 * Only command line, environment and signals are dealt with in this folder; everything else is the library's.
 */
import { keepHeapSmall, requireFilesToLoad, runProgram } from "../lib/process/index.js";
import { builderCommand } from "./commands/hydra-builder.js";

async function main(): Promise<number> {
  const program = builderCommand().parse();
  requireFilesToLoad();
  keepHeapSmall();
  const { runHydraBuilder } = await import("./run-hydra-builder.js");
  return runHydraBuilder(program);
}

await runProgram(main, { name: "hydra-builder" });

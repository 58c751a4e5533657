/** Options that both programs have. */
import type { Command } from "commander";
import { packageVersion } from "../../lib/process/index.js";
import { helpEnd, type ProgramTexts } from "./program-texts.js";

/** Values of the options that both programs have. */
export interface CommonFlags {
  readonly configPath: string;
  readonly checkConfig?: boolean;
  readonly printDefaultConfig?: boolean;
}

/** Adds the options that both programs have and the end of `--help`; a wrong option ends the program with exit code 2. */
export function withCommonOptions(program: Command, texts: ProgramTexts): Command {
  return program
    .option("-c, --config-path <file>", "configuration file (TOML)", "config.toml")
    .option("--check-config", "validate the configuration without any connection, and exit with 0 or 2")
    .option("--print-default-config", "print a configuration file with every key, commented out, and exit")
    .version(`${program.name()} ${packageVersion}`, "-V, --version", "print the version and exit")
    .helpOption("-h, --help", "print this help and exit")
    .addHelpText("after", helpEnd(program.name(), texts))
    .exitOverride((end) => process.exit(end.exitCode === 0 ? 0 : 2));
}

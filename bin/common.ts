/** What both programs do in the same way: flags about settings, the logger, reading settings and reading them again. */
import type { Command } from "commander";
import {
  type ConfigChanges,
  type Loaded,
  type LoadOptions,
  programLogFormat,
  programLogLevels,
} from "../lib/config/index.js";
import {
  createLogger,
  errorChain,
  HydraError,
  isSystemError,
  type LogFields,
  type Logger,
  type LogLevels,
  logOutput,
  onLogLevelSignals,
  onReloadSignal,
  printOut,
  type SystemdNotifier,
  UsageError,
} from "../lib/process/index.js";
import type { CommonFlags } from "./commands/common-options.js";

/** The log of a program, whose levels can be changed while it runs. */
export interface ProgramLog {
  readonly logger: Logger;
  readonly levels: LogLevels;
}

/**
 * The log that `LOG_LEVEL`, `RUST_LOG` and `LOG_FORMAT` ask for. SIGUSR1 makes it say more, SIGUSR2 less.
 * @throws UsageError when one of them cannot be used
 */
export function programLog(names: { readonly filter: string; readonly target: string }): ProgramLog {
  const format = programLogFormat(process.env);
  const levels = programLogLevels(names.filter, process.env);
  const write = logOutput(process.stderr, {
    onLeftOut: (lines) => logger.warn("the log was not read for a while: lines were left out", { lines }),
  });
  const logger = createLogger({ target: names.target, level: levels, format, fold: true, write });
  onLogLevelSignals(levels, logger);
  return { logger, levels };
}

/** Reads the settings that the command line names; warnings go to the log. @throws UsageError */
export async function readSettings<Config>(
  program: Command,
  load: (options: LoadOptions) => Promise<Loaded<Config>>,
  logger: Logger,
): Promise<Config> {
  const { configPath } = program.opts<CommonFlags>();
  const explicit = program.getOptionValueSource("configPath") === "cli";
  const { config, warnings } = await load({ path: configPath, explicit });
  for (const warning of warnings) logger.warn(warning);
  return config;
}

/** The answer of `--print-default-config`: the exit code. */
export async function printDefaults(file: string): Promise<number> {
  await printOut(file);
  return 0;
}

/** The answer of `--check-config` when nothing is wrong: the exit code. */
export async function reportValid({ configPath }: CommonFlags): Promise<number> {
  await printOut(`${configPath}: configuration is valid\n`);
  return 0;
}

/**
 * Runs a step of the start. What fails for a reason outside the program (a daemon that is down, a file that cannot be
 * written) is one line for the operator, not a stack.
 * @throws UsageError for every typed error and every error of the operating system
 */
export async function startStep<T>(step: Promise<T>): Promise<T> {
  try {
    return await step;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    if (error instanceof HydraError || isSystemError(error)) {
      throw new UsageError(errorChain(error), { cause: error });
    }
    throw error;
  }
}

/** How a program reloads its settings. */
export interface ReloadOptions<Config> {
  readonly load: () => Promise<Loaded<Config>>;
  readonly changes: (before: Config, after: Config) => ConfigChanges<string>;
  /** Puts new settings into force. Resolves to fields for the log line. When it throws the old settings stay. */
  readonly apply: (config: Config) => Promise<LogFields>;
  /** Status text for the service manager after a reload. */
  readonly status: string;
  readonly systemd: SystemdNotifier;
  readonly logger: Logger;
}

/** The settings in force: read again at each SIGHUP, all or nothing, until disposed of. */
export class LiveSettings<Config> implements Disposable {
  readonly #options: ReloadOptions<Config>;
  readonly #signal: Disposable;
  #current: Config;

  constructor(initial: Config, options: ReloadOptions<Config>) {
    this.#current = initial;
    this.#options = options;
    this.#signal = onReloadSignal(
      () => this.#reload(),
      (error) => options.logger.error("reload failed", { error }),
    );
  }

  get current(): Config {
    return this.#current;
  }

  async #reload(): Promise<void> {
    const { load, changes, apply, status, systemd, logger } = this.#options;
    await systemd.notify({ reloading: true });
    try {
      const { config, warnings } = await load();
      for (const warning of warnings) logger.warn(warning);
      const { live, atRestart } = changes(this.#current, config);
      const fields = await apply(config);
      this.#current = config;
      logger.info("settings reloaded", {
        changed: live.join(","),
        waitForRestart: atRestart.join(","),
        ...fields,
      });
      await systemd.notify({ status, ready: true });
    } catch (error) {
      logger.error("settings not reloaded; the old ones stay in force", { error });
      await systemd.notify({ status: "Reload failed", errno: 1, ready: true });
    }
  }

  [Symbol.dispose](): void {
    this.#signal[Symbol.dispose]();
  }
}

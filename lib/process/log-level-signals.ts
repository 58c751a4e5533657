/** SIGUSR1 and SIGUSR2 as "say more" and "say less". */
import { aLogger, checkArgument, having } from "../argument-checks.js";
import type { Logger } from "../log.js";
import type { LogLevels } from "../log-levels.js";

/**
 * SIGUSR1 raises the log level of every room by one step, SIGUSR2 lowers it, until the result is disposed of. While it
 * lasts, SIGUSR1 does not start Node's debugger.
 */
export function onLogLevelSignals(levels: LogLevels, logger: Logger): Disposable {
  checkArgument("onLogLevelSignals", "levels", levels, having("LogLevels", ["move"]));
  checkArgument("onLogLevelSignals", "logger", logger, aLogger);
  const move = (by: 1 | -1): void => {
    levels.move(by);
    // Of the gravest level, so that it is seen whatever the level is now.
    logger.error("log levels changed by a signal", { levels: levels.text });
  };
  const more = (): void => move(1);
  const less = (): void => move(-1);
  process.on("SIGUSR1", more);
  process.on("SIGUSR2", less);
  return {
    [Symbol.dispose]: () => {
      process.off("SIGUSR1", more);
      process.off("SIGUSR2", less);
    },
  };
}

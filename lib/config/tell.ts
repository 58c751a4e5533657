/** Where warnings about a configuration in code go. */
import type { DefineOptions } from "./types.js";

/** One line about something that is accepted but will not do what was meant. */
export function tell({ onWarning }: Pick<DefineOptions, "onWarning">, line: string): void {
  if (onWarning === undefined) process.emitWarning(line, { type: "ConfigWarning" });
  else onWarning(line);
}

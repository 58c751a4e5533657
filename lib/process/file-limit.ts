/** How many files and connections the process may have open at once. */

import { readFileSync } from "node:fs";
import { anAmount, aText, checkArgument } from "../argument-checks.js";
import { UsageError } from "../errors.js";

/** What Node needs to load one of the programs, as it opens many modules at once. */
const filesOfProgram = 128;

/** The soft limit in the text of `/proc/<pid>/limits`; undefined when there is none, or none is known. */
export function openFilesLimit(limits: string): number | undefined {
  checkArgument("openFilesLimit", "limits", limits, aText);
  const soft = /^Max open files\s+(\d+)\s/m.exec(limits)?.[1];
  return soft === undefined ? undefined : Number(soft);
}

/**
 * Makes sure that the process may open `needed` files. Node has raised the soft limit to the hard one at its start, so
 * what is lacking now can only be given from outside. Does nothing where the limit cannot be found out.
 *
 * @throws UsageError in one line when the limit is lower
 */
export function requireOpenFiles(needed: number, settings: string): void {
  checkArgument("requireOpenFiles", "needed", needed, anAmount);
  checkArgument("requireOpenFiles", "settings", settings, aText);
  let limits: string;
  try {
    limits = readFileSync("/proc/self/limits", "utf8");
  } catch {
    return;
  }
  const limit = openFilesLimit(limits);
  if (limit === undefined || limit >= needed) return;
  throw new UsageError(
    `at most ${limit} files can be open, but ${needed} are needed (${settings}): ` +
      "raise the limit (LimitNOFILE= of the service, or ulimit -Hn) or lower the settings",
  );
}

/**
 * Makes sure that the program itself can be loaded; to be called before that. What its settings need is only known later.
 *
 * @throws UsageError in one line when the limit is lower
 */
export function requireFilesToLoad(): void {
  requireOpenFiles(filesOfProgram, "to load the program");
}

/** The frame of a program's `main`: exit codes, and how errors look to the person in front of it. */
import { aFunction, aText, checkArgument, checkMembers } from "../argument-checks.js";
import { toError, UsageError } from "../errors.js";

/** How a program is run. */
export interface ProgramOptions {
  /** Stands in front of messages. */
  readonly name: string;
  /**
   * How long the process may still live after `main` is over when something was left open; then it is ended.
   * Milliseconds, default 2000.
   */
  readonly lingerMs?: number;
}

/** An error and its causes with stacks, as far as they have some. */
function stackChain(thrown: unknown): string {
  const error = toError(thrown);
  const own = error.stack ?? `${error.name}: ${error.message}`;
  const nested =
    error instanceof AggregateError ? error.errors.map((one) => `\n  of: ${stackChain(one)}`) : [];
  const cause =
    error.cause === undefined || error.cause === thrown ? "" : `\ncaused by: ${stackChain(error.cause)}`;
  return own + nested.join("") + cause;
}

/**
 * Runs `main` and ends the process with what it resolves to (nothing = 0). A `UsageError` is one line on standard
 * error and exit code 2; any other error is a fault of ours or of the system: its stack and exit code 1.
 */
export async function runProgram(
  main: () => Promise<number | undefined> | Promise<void>,
  options: ProgramOptions,
): Promise<void> {
  checkArgument("runProgram", "main", main, aFunction);
  checkMembers("runProgram", options, { name: aText });
  let code: number;
  try {
    code = (await main()) ?? 0;
  } catch (error) {
    const text = error instanceof UsageError ? error.message.replaceAll(/\s*\n\s*/g, " ") : stackChain(error);
    process.stderr.write(`${options.name}: ${text}\n`);
    code = error instanceof UsageError ? 2 : 1;
  }
  process.exitCode = code;
  // Lets standard error drain; a forgotten handle must not keep a stopped service alive.
  setTimeout(() => process.exit(code), options.lingerMs ?? 2000).unref();
}

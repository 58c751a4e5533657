/** Builds: a log that flows with backpressure, and an end when the caller wants one. */

import { printStorePath, type StoreDir } from "../path/store-path.js";
import type { BuildOptions, BuildResult, DerivedPath } from "../store/store.js";
import type { DaemonConnection } from "./connection.js";
import { DaemonError } from "./error.js";
import type { Operation } from "./protocol/operations.js";
import type { StderrHandlers } from "./protocol/stderr.js";
import { printDerivedPath } from "./protocol/values.js";

/** Log bytes that may wait for a slow consumer before we stop reading from the daemon. */
const maxWaitingLog = 4 << 20;
/** What a waiting line costs besides its bytes, so that many empty lines count as well. */
const lineOverhead = 64;

type LogConsumer = NonNullable<BuildOptions["onLog"]>;

/**
 * Hands lines to a consumer one after the other. The producer waits only while too much is queued, because a daemon
 * that cannot write stalls with the build it runs.
 */
class LogQueue {
  readonly #consume: LogConsumer;
  #lines: { readonly line: Uint8Array; readonly complete: boolean }[] = [];
  #waiting = 0;
  #pumping: Promise<void> | undefined;
  #error: unknown;
  #failed = false;
  #wake: () => void = () => {};

  constructor(consume: LogConsumer) {
    this.#consume = consume;
  }

  async push(line: Uint8Array, complete: boolean): Promise<void> {
    if (this.#failed) throw this.#error;
    this.#lines.push({ line, complete });
    this.#waiting += line.length + lineOverhead;
    this.#pumping ??= this.#pump();
    while (this.#waiting > maxWaitingLog && !this.#failed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failed) throw this.#error;
  }

  /** Waits until everything has been consumed. */
  async drain(): Promise<void> {
    await this.#pumping;
    if (this.#failed) throw this.#error;
  }

  async #pump(): Promise<void> {
    try {
      while (this.#lines.length > 0) {
        const lines = this.#lines;
        this.#lines = [];
        for (const { line, complete } of lines) {
          await this.#consume(line, complete);
          this.#waiting -= line.length + lineOverhead;
          this.#wake();
        }
      }
    } catch (error) {
      this.#error = error;
      this.#failed = true;
      this.#lines = [];
      this.#wake();
    } finally {
      this.#pumping = undefined;
    }
  }
}

/** The lines of a build's log: what its builder prints and what the daemon says meanwhile. */
function logHandlers(queue: LogQueue): StderrHandlers {
  return {
    logLine: (piece, complete) => queue.push(piece, complete),
    message: (piece, complete) => {
      // The daemon ends its own messages with a newline, the builder's lines come without.
      const newline = complete && piece.at(-1) === 0x0a;
      return queue.push(newline ? piece.subarray(0, -1) : piece, complete);
    },
  };
}

/**
 * Runs a building operation on `connection`, which an error closes: that ends whatever the daemon still does. The log
 * is through before the result is.
 */
export async function runBuild<T>(
  connection: DaemonConnection,
  operation: Operation<T>,
  options: Pick<BuildOptions, "signal" | "onLog">,
  onResult?: (result: T) => void | Promise<void>,
): Promise<T> {
  const { signal } = options;
  const queue =
    options.onLog === undefined
      ? undefined
      : new LogQueue((line, complete) => options.onLog?.(line, complete));
  try {
    const result = await connection.run(operation, {
      ...(signal === undefined ? {} : { signal }),
      ...(queue === undefined ? {} : { handlers: logHandlers(queue) }),
    });
    await onResult?.(result);
    await queue?.drain();
    return result;
  } catch (error) {
    if (error instanceof DaemonError && error.code === "remote") await queue?.drain();
    throw error;
  }
}

/**
 * Finds each target's answer by its name: daemons answer in an order of their own, and some give one answer for all
 * targets of a derivation.
 * @throws DaemonError `protocol` for a target without an answer
 */
export function matchBuildResults(
  dir: StoreDir,
  targets: readonly DerivedPath[],
  answers: readonly { readonly name: string; readonly result: BuildResult }[],
): { readonly target: DerivedPath; readonly result: BuildResult }[] {
  const byName = new Map<string, BuildResult>();
  const byPath = new Map<string, BuildResult>();
  for (const { name, result } of answers) {
    byName.set(name, result);
    byPath.set(name.replace(/[!^].*/, ""), result);
  }
  return targets.map((target) => {
    const path = printStorePath(dir, target.kind === "opaque" ? target.path : target.drvPath);
    const result = byName.get(printDerivedPath(dir, target)) ?? byPath.get(path);
    if (result === undefined)
      throw new DaemonError("protocol", `The nix-daemon does not say what became of ${path}`);
    return { target, result };
  });
}

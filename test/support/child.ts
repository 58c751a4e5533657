// Child processes of tests: their output is kept, and nothing outlives the test that started it.
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { descendants } from "./nix.js";

export interface ChildOptions {
  /** Stands in front of the output in failure reports. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Descriptors 3, 4, … of the child. */
  readonly extraFds?: readonly number[];
}

export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Child {
  readonly name: string;
  readonly pid: number;
  /** Resolves when the process has ended; never rejects. */
  readonly ended: Promise<ChildEnd>;
  readonly running: boolean;
  /** Everything it wrote to standard output and standard error so far (the oldest part is dropped after 4 MiB). */
  output(): string;
  /** What it writes from now on has no reader. */
  closeOutput(): void;
  /** Waits until the output matches; fails with the output when the process ends first or time is up. */
  waitForOutput(pattern: RegExp, timeoutMs?: number): Promise<RegExpMatchArray>;
  signal(name: NodeJS.Signals): void;
  /** SIGKILL for the process alone, as a crash or the kernel's memory killer would do it; waits for the end. */
  kill(): Promise<void>;
  /** SIGTERM, and SIGKILL for it and all its descendants after the grace. */
  stop(graceMs?: number): Promise<ChildEnd>;
}

const maxOutput = 4 << 20;
/** Global setup looks at the warnings of all programs at the end of the run. */
const warnings = { NODE_REDIRECT_WARNINGS: process.env.NODE_REDIRECT_WARNINGS };
const alive = new Set<ChildProcess>();

// A test run that is ended from outside must not leave programs behind.
process.on("exit", () => {
  for (const child of alive) child.kill("SIGKILL");
});

export function startChild(options: ChildOptions): Child {
  const extra = options.extraFds ?? [];
  const child = spawn(options.command, [...options.args], {
    env: { ...warnings, ...options.env },
    cwd: options.cwd,
    stdio: ["ignore", "pipe", "pipe", ...extra],
  });
  let text = "";
  const listeners = new Set<() => void>();
  const take = (chunk: Buffer): void => {
    text += chunk.toString();
    if (text.length > maxOutput) text = text.slice(-maxOutput / 2);
    for (const listener of listeners) listener();
  };
  child.stdout?.on("data", take);
  child.stderr?.on("data", take);
  alive.add(child);
  let running = true;
  const ended = new Promise<ChildEnd>((resolve) => {
    child.once("error", (error) => {
      text += `\n${error.message}\n`;
      resolve({ code: null, signal: null });
    });
    // "close" comes after the last output, "exit" may come before it; a grandchild can hold the pipes open.
    child.once("exit", (code, signal) => {
      const done = (): void => resolve({ code, signal });
      child.once("close", done);
      setTimeout(done, 500).unref();
    });
  }).finally(() => {
    running = false;
    alive.delete(child);
    for (const listener of listeners) listener();
  });

  const waitForOutput = async (pattern: RegExp, timeoutMs = 120_000): Promise<RegExpMatchArray> => {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const match = text.match(pattern);
      if (match !== null) return match;
      if (!running || Date.now() > deadline) {
        throw new Error(
          `${options.name} ${running ? "did not say" : "ended without saying"} ${pattern}:\n${text}`,
        );
      }
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          listeners.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, Math.max(1, deadline - Date.now()));
        listeners.add(wake);
      });
    }
  };

  return {
    name: options.name,
    pid: child.pid ?? -1,
    ended,
    get running() {
      return running;
    },
    output: () => text,
    closeOutput: () => {
      child.stdout?.destroy();
      child.stderr?.destroy();
    },
    waitForOutput,
    signal: (name) => void child.kill(name),
    kill: async () => {
      child.kill("SIGKILL");
      await ended;
    },
    stop: async (graceMs = 60_000) => {
      if (running && child.pid !== undefined) {
        child.kill("SIGTERM");
        const first = await Promise.race([ended.then(() => true), sleep(graceMs, false, { ref: false })]);
        if (!first) {
          for (const pid of [child.pid, ...(await descendants(child.pid))]) killQuietly(pid);
        }
      }
      return ended;
    },
  };
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // gone already
  }
}

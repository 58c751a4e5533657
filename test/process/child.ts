// Runs short programs against the compiled library, as a service manager would.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const compiled = (module: string): string => new URL(`../../dist/lib/${module}`, import.meta.url).href;

export interface Child {
  readonly process: ChildProcess;
  /** The next line of its standard output. */
  line(): Promise<string>;
  /** What it has written to standard error so far. */
  errors(): string;
  /** When it is over: exit code or signal, and what it wrote to standard error. */
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string }>;
}

export interface ScratchFolder extends AsyncDisposable {
  readonly path: string;
  /** Writes a module as `start` does, and returns its file. */
  write(code: string): Promise<string>;
  /** Starts a module with this text; `process/index.js` is bound to `lib`, `errors.js` to `errors`. */
  start(
    code: string,
    options?: { readonly env?: NodeJS.ProcessEnv; readonly stdio?: readonly number[] },
  ): Promise<Child>;
}

export async function scratchFolder(): Promise<ScratchFolder> {
  const path = await mkdtemp(join(tmpdir(), "process-"));
  const children: ChildProcess[] = [];
  let count = 0;
  const write = async (code: string): Promise<string> => {
    const file = join(path, `program-${++count}.mjs`);
    const imports = `import * as lib from ${JSON.stringify(compiled("process/index.js"))};
import * as errors from ${JSON.stringify(compiled("errors.js"))};\n`;
    await writeFile(file, imports + code);
    return file;
  };
  return {
    path,
    write,
    async start(code, options = {}) {
      const file = await write(code);
      const child = spawn(process.execPath, [file], {
        env: { ...process.env, ...options.env },
        stdio: ["ignore", "pipe", "pipe", ...(options.stdio ?? [])],
      });
      children.push(child);
      let stderr = "";
      child.stderr?.setEncoding("utf8").on("data", (text: string) => {
        stderr += text;
      });
      if (child.stdout === null) throw new Error("no standard output");
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const ended = once(child, "close").then(([exit, signal]) => ({
        code: exit as number | null,
        signal: signal as NodeJS.Signals | null,
        stderr,
      }));
      return {
        process: child,
        ended,
        errors: () => stderr,
        line: async () => {
          const next = await lines.next();
          if (next.done === true) throw new Error(`the program ended: ${(await ended).stderr}`);
          return next.value;
        },
      };
    },
    async [Symbol.asyncDispose]() {
      for (const child of children) child.kill("SIGKILL");
      await rm(path, { recursive: true, force: true });
    },
  };
}

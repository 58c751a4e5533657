/** Codecs that are programs: their standard input and output are the stream. */

import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { aText, checkArgument } from "../argument-checks.js";
import type { Codec, InputState } from "./codec.js";
import { CompressionError } from "./errors.js";
import { openProgramOutput, type ProgramOutput } from "./program-output.js";

/** What was found, by name; for one value of PATH. */
const programs = { path: "", found: new Map<string, boolean>() };

/** Whether a program of that name is on PATH. Looked up once: this is asked for every log and NAR. */
export function hasProgram(name: string): boolean {
  checkArgument("hasProgram", "name", name, aText);
  const { PATH: path = "" } = process.env;
  if (programs.path !== path) Object.assign(programs, { path, found: new Map() });
  const known = programs.found.get(name);
  if (known !== undefined) return known;
  const found = lookUp(path, name);
  programs.found.set(name, found);
  return found;
}

function lookUp(path: string, name: string): boolean {
  return path.split(delimiter).some((folder) => {
    if (folder === "") return false;
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

const complaintLimit = 2000;

/** Starts a program that filters its standard input to its standard output. */
export async function childCodec(
  program: string,
  args: readonly string[],
  state: InputState,
): Promise<Codec> {
  // Without room for a socket of ours the program's output comes in the usual way.
  const output = await openProgramOutput().catch(() => undefined);
  const child = start(program, args, output);
  const { stdin, stdout, stderr }: Partial<Pick<ChildProcess, "stdin" | "stdout" | "stderr">> = child;
  let complaint = "";
  stderr?.on("data", (chunk: Buffer) => {
    if (complaint.length < complaintLimit) complaint += chunk.toString();
  });
  const endOutput = (): void => {
    output?.destroy();
    stdout?.destroy();
  };
  // A stream may fail before anyone listens; `finished` reports what went wrong.
  stdout?.on("error", () => undefined);
  const finished = new Promise<void>((resolve, reject) => {
    child.on("error", (cause: NodeJS.ErrnoException) => {
      endOutput();
      reject(
        cause.code === "ENOENT"
          ? new CompressionError("missing-program", `the program '${program}' is not on PATH: install it`, {
              cause,
            })
          : new CompressionError("failed", `the program '${program}' cannot be started: ${cause.message}`, {
              cause,
            }),
      );
    });
    child.on("close", (status, signal) => {
      if (status === 0) resolve();
      else reject(exitError(program, status, signal, complaint.trim(), state));
    });
  });
  if (stdin === undefined || stdin === null) {
    // Too many open files: there is not even a process.
    await finished;
    throw new CompressionError("failed", `the program '${program}' has no standard input`);
  }
  return {
    input: stdin,
    output: output?.pieces ?? stdout ?? [],
    lends: output !== undefined,
    finished,
    kill: () => {
      stdin.destroy();
      endOutput();
      child.kill("SIGKILL");
    },
  };
}

function start(program: string, args: readonly string[], output: ProgramOutput | undefined): ChildProcess {
  try {
    return spawn(program, [...args], { stdio: ["pipe", output?.writeEnd ?? "pipe", "pipe"] });
  } catch (error) {
    output?.destroy();
    throw error;
  } finally {
    output?.writeEnd.destroy();
  }
}

function exitError(
  program: string,
  status: number | null,
  signal: NodeJS.Signals | null,
  complaint: string,
  state: InputState,
): CompressionError {
  if (status === null)
    return new CompressionError("failed", `${program} was ended by ${signal ?? "a signal"}`);
  const what = complaint === "" ? `exit status ${status}` : complaint.slice(0, complaintLimit);
  if (state.bytes === 0 || /unexpected end|premature|truncated|ends unexpectedly/i.test(complaint)) {
    return new CompressionError("truncated", `the input of ${program} ends too early: ${what}`);
  }
  const corrupt = /corrupt|not recognized|not in|unsupported|integrity|decod|magic|memory/i.test(complaint);
  return new CompressionError(corrupt ? "corrupt" : "failed", `${program} failed: ${what}`);
}

/** Codecs that are programs: their standard input and output are the stream. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import type { Codec, InputState } from "./codec.js";
import { CompressionError } from "./errors.js";

/** What was found, by name; for one value of PATH. */
const programs = { path: "", found: new Map<string, boolean>() };

/** Whether a program of that name is on PATH. Looked up once: this is asked for every log and NAR. */
export function hasProgram(name: string): boolean {
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
export function childCodec(program: string, args: readonly string[], state: InputState): Codec {
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(program, [...args], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => {
    if (complaint.length < complaintLimit) complaint += chunk.toString();
  });
  const finished = new Promise<void>((resolve, reject) => {
    child.on("error", (cause: NodeJS.ErrnoException) => {
      child.stdout.destroy();
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
  return {
    input: child.stdin,
    output: child.stdout,
    finished,
    kill: () => {
      child.stdin.destroy();
      child.stdout.destroy();
      child.kill("SIGKILL");
    },
  };
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

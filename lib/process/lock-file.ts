/**
 * One instance per data folder: an exclusive `flock` on a file, the same that the Rust programs take, so that they
 * and ours keep each other out. The kernel drops it when the process dies, however it dies.
 *
 * Node cannot call flock(2). The lock belongs to the open file, not to a process, so the `flock` program takes it on
 * a descriptor it inherits from us, and we keep it. Where that program is missing (macOS) a file with our process id
 * stands in; it keeps out our own kind only.
 */

import { spawn } from "node:child_process";
import { type FileHandle, mkdir, open, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { aText, checkArgument, checkMembers, optional } from "../argument-checks.js";

import { ProcessError } from "./errors.js";
import { acquirePidFile } from "./pid-file.js";

/** A lock that is held until it is released or the process ends. */
export interface LockFile extends AsyncDisposable {
  readonly path: string;
  /** `pid-file` does not keep out programs that use flock. */
  readonly kind: "flock" | "pid-file";
  /** Gives the lock back. The file stays: removing it would let two others hold "the" lock on two files. */
  release(): Promise<void>;
}

/** How a lock file is taken. */
export interface LockFileOptions {
  /** Program that locks an inherited descriptor: `<program> -x -n 3`. Default `flock`. */
  readonly flockProgram?: string;
}

type FlockResult = "locked" | "busy" | "no-program";

function flockDescriptor(program: string, fd: number): Promise<FlockResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ["-x", "-n", "3"], { stdio: ["ignore", "ignore", "pipe", fd] });
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    child.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "ENOENT" ? resolve("no-program") : reject(error),
    );
    child.once("close", (code) => {
      if (code === 0) resolve("locked");
      // Silence and 1 is its way to say that someone else has it.
      else if (code === 1 && said.trim() === "") resolve("busy");
      else reject(new Error(`${program} ended with ${code}: ${said.trim()}`));
    });
  });
}

async function isSameFile(file: FileHandle, path: string): Promise<boolean> {
  try {
    const [opened, named] = await Promise.all([file.stat(), stat(path)]);
    return opened.ino === named.ino && opened.dev === named.dev;
  } catch {
    return false;
  }
}

async function holderText(path: string): Promise<string> {
  const pid = /^\d{1,9}$/.exec((await readFile(path, "utf8").catch(() => "")).trim())?.[0];
  return pid === undefined ? "" : ` (process ${pid})`;
}

async function lockOpenFile(
  program: string,
  file: FileHandle,
  path: string,
): Promise<FlockResult | "replaced"> {
  const result = await flockDescriptor(program, file.fd);
  if (result !== "locked") return result;
  // Programs that remove their lock file at exit may have done so between our open and our lock.
  if (!(await isSameFile(file, path))) return "replaced";
  await file.truncate(0);
  await file.write(`${process.pid}\n`, 0);
  return "locked";
}

/**
 * Takes the lock, making the file and its folder when needed. Does not wait.
 * @throws ProcessError `locked` when someone else has it, `lock-unusable` when the file cannot be made or locked
 */
export async function acquireLockFile(path: string, options: LockFileOptions = {}): Promise<LockFile> {
  checkArgument("acquireLockFile", "path", path, aText);
  checkMembers("acquireLockFile", options, { flockProgram: optional(aText) });
  const unusable = (cause: unknown): ProcessError =>
    new ProcessError("lock-unusable", `cannot lock ${path}; its folder must exist and be writable for us`, {
      cause,
    });
  for (;;) {
    let file: FileHandle;
    try {
      await mkdir(dirname(path), { recursive: true });
      file = await open(path, "a+");
    } catch (cause) {
      throw unusable(cause);
    }
    let result: Awaited<ReturnType<typeof lockOpenFile>>;
    try {
      result = await lockOpenFile(options.flockProgram ?? "flock", file, path);
    } catch (cause) {
      await file.close();
      throw unusable(cause);
    }
    if (result === "locked") {
      const release = async (): Promise<void> => file.close();
      return { path, kind: "flock", release, [Symbol.asyncDispose]: release };
    }
    await file.close();
    if (result === "no-program") {
      const release = await acquirePidFile(`${path}.pid`);
      return { path: `${path}.pid`, kind: "pid-file", release, [Symbol.asyncDispose]: release };
    }
    if (result === "busy") {
      throw new ProcessError(
        "locked",
        `another instance is already running: ${path} is locked${await holderText(path)}`,
      );
    }
  }
}

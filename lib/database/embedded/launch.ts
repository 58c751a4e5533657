/**
 * Starting PostgreSQL's programs as an ordinary user.
 *
 * They refuse to run as root. Root therefore starts them in a user namespace of their own, where the same files belong
 * to a user without privileges; where namespaces are forbidden, as the user `postgres` or `nobody`. The kernel
 * signals a server that we started when this process ends, also by SIGKILL.
 */
import { execFile } from "node:child_process";
import { chown, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { DatabaseError } from "../errors.js";

const run = promisify(execFile);

/** How the server's programs are started. */
export interface Launcher {
  /** Program and arguments that start `command`. */
  wrap(command: readonly string[], options?: { readonly diesWithUs?: boolean }): readonly string[];
  /** Files that the programs must own, when these are not ours. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
}

/** The programs found to work, tried once. */
export async function chooseLauncher(): Promise<Launcher> {
  const deathSignal = (await works(["setpriv", "--pdeathsig=INT", "true"]))
    ? ["setpriv", "--pdeathsig=INT"]
    : [];
  const make = (prefix: readonly string[], owner?: { uid: number; gid: number }): Launcher => ({
    wrap: (command, options) => [...prefix, ...(options?.diesWithUs === true ? deathSignal : []), ...command],
    owner,
  });
  if (process.getuid?.() !== 0) return make([]);
  const namespace = ["unshare", "--user", "--map-user=65534", "--map-group=65534"];
  if (await works([...namespace, "true"])) return make(namespace);
  for (const name of ["postgres", "nobody"]) {
    const owner = await userIds(name);
    if (owner === undefined) continue;
    const prefix = ["setpriv", `--reuid=${owner.uid}`, `--regid=${owner.gid}`, "--clear-groups"];
    if (await works([...prefix, "true"])) return make(prefix, owner);
  }
  throw new DatabaseError(
    "embedded",
    "PostgreSQL does not run as root, and neither unshare nor setpriv can start it as another user;" +
      " run this program as an ordinary user, or set dbUrl to a server",
  );
}

async function works(command: readonly string[]): Promise<boolean> {
  const [program = "", ...args] = command;
  try {
    await run(program, args);
    return true;
  } catch {
    return false;
  }
}

async function userIds(name: string): Promise<{ uid: number; gid: number } | undefined> {
  const passwd = await readFile("/etc/passwd", "utf8").catch(() => "");
  const entry = passwd.split("\n").find((line) => line.startsWith(`${name}:`));
  const [, , uid, gid] = entry?.split(":") ?? [];
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
}

/** Gives a folder and what is in it to the user that the programs run as. */
export async function giveTo(launcher: Launcher, folder: string): Promise<void> {
  const { owner } = launcher;
  if (owner === undefined) return;
  await chown(folder, owner.uid, owner.gid);
  for (const entry of await readdir(folder, { recursive: true })) {
    await chown(join(folder, entry), owner.uid, owner.gid);
  }
}

/** Listening sockets that the service manager opened for us: the `LISTEN_FDS` convention. */

import { fstatSync } from "node:fs";
import { anObject, checkArgument } from "../argument-checks.js";

import { UsageError } from "../errors.js";

/** An environment that variables are removed from, so that child processes do not take the sockets for theirs. */
export type MutableEnvironment = Record<string, string | undefined>;

/** Where to look for inherited sockets. */
export interface InheritedSocketsOptions {
  /** Names we listen under, in the order that nameless sockets are given to them. Default `rest`, `grpc`. */
  readonly names?: readonly string[];
  /** Default: the id of this process. */
  readonly pid?: number;
  /** Tells whether a descriptor is an open socket. Default: asks the kernel. */
  readonly isSocket?: (fd: number) => boolean;
}

function isOpenSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false;
  }
}

function natural(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/**
 * Descriptors by name. A name that `LISTEN_FDNAMES` does not list gets the socket at its own place in `names`, as
 * long as no other name lists that one. `LISTEN_PID` may be missing; when it is there it must be ours. All variables
 * of the convention are removed from `env`. Node itself has made the descriptors close-on-exec.
 * @throws UsageError when a descriptor that would be used is not a socket, or a name occurs twice
 */
export function inheritedSockets(
  env: MutableEnvironment = process.env,
  options: InheritedSocketsOptions = {},
): ReadonlyMap<string, number> {
  checkArgument("inheritedSockets", "env", env, anObject);
  const { names = ["rest", "grpc"], pid = process.pid, isSocket = isOpenSocket } = options;
  const { LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES, LISTEN_FDS_FIRST_FD } = env;
  for (const name of ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_FDS_FIRST_FD"]) delete env[name];

  const found = new Map<string, number>();
  const count = natural(LISTEN_FDS) ?? 0;
  const forUs = LISTEN_PID === undefined || LISTEN_PID === "" || natural(LISTEN_PID) === pid;
  if (count === 0 || !forUs) return found;
  const first = natural(LISTEN_FDS_FIRST_FD) ?? 3;

  const listed = LISTEN_FDNAMES === undefined || LISTEN_FDNAMES === "" ? [] : LISTEN_FDNAMES.split(":");
  for (const [index, name] of listed.entries()) {
    if (index >= count || !names.includes(name)) continue;
    if (found.has(name)) {
      throw new UsageError(`LISTEN_FDNAMES names two sockets '${name}'; every name may stand there once`);
    }
    found.set(name, first + index);
  }
  const taken = new Set(found.values());
  for (const [index, name] of names.entries()) {
    const fd = first + index;
    if (!found.has(name) && index < count && !taken.has(fd)) found.set(name, fd);
  }
  for (const [name, fd] of found) {
    if (isSocket(fd)) continue;
    throw new UsageError(`LISTEN_FDS promises a socket '${name}' as descriptor ${fd}, but it is none`);
  }
  return found;
}

/** Where a server listens: TCP, a Unix socket, or a listening socket inherited from the parent process. */

import { lstat, unlink } from "node:fs/promises";
import { type AddressInfo, connect, isIP, type Server } from "node:net";
import { anObject, aText, checkArgument } from "../../argument-checks.js";
import { isSystemError, toError, UsageError } from "../../errors.js";

/** Where a server listens. */
export type ListenerOptions = (
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string }
  /** A listening stream socket (TCP or Unix) that is open already. */
  | { readonly kind: "fd"; readonly fd: number }
) & {
  /** Name of the setting that says so, for messages. */
  readonly setting?: string | undefined;
};

/** `host:port` (IPv6 in brackets) or the path of a Unix socket. @throws UsageError for anything else */
export function parseListenAddress(text: string): ListenerOptions {
  checkArgument("parseListenAddress", "text", text, aText);
  const match = /^(?:\[([0-9A-Fa-f:.%\w]+)\]|([^/:\s]+)):(\d{1,5})$/.exec(text);
  if (match === null) {
    if (text.includes("/")) return { kind: "unix", path: checkedPath(text) };
    throw new UsageError(`${JSON.stringify(text)} is neither an address with port nor the path of a socket`);
  }
  const port = Number(match[3]);
  if (port > 65_535) throw new UsageError(`${JSON.stringify(text)} has no valid port`);
  const host = match[1] ?? match[2] ?? "";
  // Four numbers or more are never a name.
  if (/^\d+(?:\.\d+){3,}$/.test(host) && isIP(host) === 0)
    throw new UsageError(`${JSON.stringify(text)} has no valid address`);
  return { kind: "tcp", host, port };
}

/** Bytes of the path of a Unix socket, without its NUL (`sun_path` in unix(7)). */
const longestSocketPath = 107;

function checkedPath(path: string): string {
  const bytes = Buffer.byteLength(path);
  if (bytes <= longestSocketPath) return path;
  throw new UsageError(`the path of a socket may have ${longestSocketPath} bytes, not ${bytes}: ${path}`);
}

/** Whether a process answers at a Unix socket. */
function isServed(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED" || error.code === "ENOENT") resolve(false);
      else reject(error);
    });
  });
}

/** Removes the socket a dead process left behind; refuses to touch anything else. */
async function removeStale(path: string): Promise<void> {
  const stat = await lstat(path).catch(() => undefined);
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new UsageError(`${path} exists and is not a socket`);
  if (await isServed(path)) throw new UsageError(`${path} is in use by another process`);
  await unlink(path);
}

/**
 * Connections that may wait to be accepted: all builders of a large farm come back at once. The kernel's own limit
 * (`net.core.somaxconn`) may be lower.
 */
const backlog = 4_096;

/** Resolves when the server accepts connections. */
export async function listen(server: Server, options: ListenerOptions): Promise<void> {
  if (options.kind === "unix") await removeStale(options.path);
  await new Promise<void>((resolve, reject) => {
    const onError = (cause: Error): void => reject(cannotListen(options, cause));
    server.once("error", onError);
    const onListening = (): void => {
      server.off("error", onError);
      resolve();
    };
    if (options.kind === "tcp")
      server.listen({ host: options.host, port: options.port, backlog }, onListening);
    else if (options.kind === "unix") server.listen({ path: options.path, backlog }, onListening);
    else server.listen({ fd: options.fd }, onListening);
  });
}

/** The error of a place that was chosen: which setting, which address, and why not. */
export function cannotListen(options: ListenerOptions, cause: unknown): UsageError {
  checkArgument("cannotListen", "options", options, anObject);
  const { setting } = options;
  const place =
    setting === undefined ? `cannot listen on ${describe(options)}` : `${setting} ${describe(options)}`;
  return new UsageError(`${place}: ${reasonOf(cause)}`, { cause });
}

function reasonOf(cause: unknown): string {
  const code = isSystemError(cause) ? (cause.code ?? "") : "";
  switch (code) {
    case "EADDRINUSE":
      return "the address is already in use by another program";
    case "EADDRNOTAVAIL":
      return "this machine does not have the address";
    case "EACCES":
      return "no permission to listen there";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "the host name is unknown";
    default:
      return toError(cause).message;
  }
}

function describe(options: ListenerOptions): string {
  switch (options.kind) {
    case "tcp":
      return `${options.host.includes(":") ? `[${options.host}]` : options.host}:${options.port}`;
    case "unix":
      return options.path;
    case "fd":
      return `inherited socket ${options.fd}`;
  }
}

/** The address a listening server can be reached at. */
export function addressOf(server: Server): AddressInfo | string | undefined {
  return server.address() ?? undefined;
}

/** What the queue runner's options mean here: sockets, certificates, files that may be open. */
import { readFile } from "node:fs/promises";
import type { QueueRunnerConfig } from "../../lib/config/index.js";
import { errorChain, requireOpenFiles, UsageError } from "../../lib/process/index.js";
import { type ListenerOptions, parseListenAddress, type ServerTlsOptions } from "../../lib/rpc/index.js";
import type { QueueRunnerFlags } from "./queue-runner.js";

function parseFlag(flag: string, value: string): ListenerOptions {
  try {
    return parseListenAddress(value);
  } catch (cause) {
    throw new UsageError(`${flag}: ${errorChain(cause)}`, { cause });
  }
}

/** Where to listen; `-` is the socket of that name which the parent process opened. @throws UsageError */
export function bindAddress(
  flag: string,
  value: string,
  socket: "rest" | "grpc",
  inherited: ReadonlyMap<string, number>,
): ListenerOptions {
  if (value !== "-") return { ...parseFlag(flag, value), setting: flag };
  const fd = inherited.get(socket);
  if (fd === undefined)
    throw new UsageError(
      `${flag} is -, but no socket named ${socket} was inherited (see LISTEN_FDS, LISTEN_FDNAMES)`,
    );
  return { kind: "fd", fd, setting: flag };
}

/** Where the status API listens. @throws UsageError */
export function restAddress(value: string, inherited: ReadonlyMap<string, number>) {
  const address = bindAddress("--rest-bind", value, "rest", inherited);
  if (address.kind !== "unix") return address;
  throw new UsageError(`--rest-bind ${value}: the status API needs IP:port or -`);
}

async function readPem(flag: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new UsageError(`${flag}: ${path} cannot be read`, { cause });
  }
}

/** Certificate and key that the options name. @throws UsageError when one is missing or cannot be read */
export async function tlsOptions(flags: QueueRunnerFlags): Promise<ServerTlsOptions | undefined> {
  const { serverCertPath, serverKeyPath, clientCaCertPath } = flags;
  if (serverCertPath === undefined && serverKeyPath === undefined && clientCaCertPath === undefined)
    return undefined;
  if (serverCertPath === undefined || serverKeyPath === undefined) {
    throw new UsageError("--server-cert-path and --server-key-path must be given together");
  }
  return {
    certificate: await readPem("--server-cert-path", serverCertPath),
    key: await readPem("--server-key-path", serverKeyPath),
    clientCa:
      clientCaCertPath === undefined ? undefined : await readPem("--client-ca-cert-path", clientCaCertPath),
  };
}

/** Its own files and connections, and a minimum for what it serves. @throws UsageError when fewer may be open */
export function requireOpenFilesFor(config: QueueRunnerConfig): void {
  const { maxDbConnections, concurrentUploadLimit } = config;
  const ownFiles = 64;
  const builders = 32;
  requireOpenFiles(
    ownFiles + builders + maxDbConnections + 4 * concurrentUploadLimit,
    `maxDbConnections = ${maxDbConnections}, concurrentUploadLimit = ${concurrentUploadLimit}, and builders`,
  );
}

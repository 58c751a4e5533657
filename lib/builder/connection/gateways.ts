/**
 * Gateways by their addresses, with credentials from files.
 *
 * The files are read again for each connection, so that they can be replaced while the builder runs; reading them once
 * beforehand turns mistakes into errors at the start.
 */

import { readFile } from "node:fs/promises";
import { aLogger, anObject, aText, checkMembers, listOf, optional } from "../../argument-checks.js";
import { UsageError } from "../../errors.js";
import type { Logger } from "../../log.js";
import type { StoreDir } from "../../nix/path/store-path.js";
import type { ClientTlsOptions } from "../../rpc/index.js";
import type { RunnerGateway } from "../options.js";

/** Paths of PEM files, of a file with a token, and the name that the runner's certificate must bear. */
export interface CredentialFiles {
  readonly ca?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  readonly serverName?: string | undefined;
  readonly token?: string | undefined;
}

/** Where runners are, and how to authenticate to them. */
export interface RunnerGatewaysOptions {
  /** `http://…`, `https://…`, `unix://<path>` */
  readonly addresses: readonly string[];
  readonly credentials?: CredentialFiles | undefined;
  readonly storeDir: StoreDir;
  readonly logger?: Logger | undefined;
}

/** @throws UsageError for addresses and files that cannot be used */
export async function runnerGateways(options: RunnerGatewaysOptions): Promise<RunnerGateway[]> {
  checkMembers("runnerGateways", options, {
    addresses: listOf('a list of addresses, such as ["http://[::1]:50051"]', aText),
    credentials: optional(anObject),
    storeDir: aText,
    logger: optional(aLogger),
  });
  const { addresses, credentials = {}, storeDir, logger } = options;
  const { connectRunner } = await import("../../rpc/client/index.js");
  const tls = await readTls(credentials);
  await readToken(credentials.token);
  for (const address of addresses) {
    // Does not connect yet, but throws for what is not an address.
    connectRunner({ endpoint: address, tls });
    if (tls !== undefined && !address.startsWith("https://")) {
      throw new UsageError(
        `certificates are given, but the connection to ${address} would not be encrypted; use https://`,
      );
    }
  }
  const connect = async (endpoint: string) =>
    connectRunner({
      endpoint,
      storeDir,
      logger,
      tls: await readTls(credentials),
      token: await readToken(credentials.token),
    });
  return addresses.map((address) => ({ address, connect: () => connect(address) }));
}

async function readTls(files: CredentialFiles): Promise<ClientTlsOptions | undefined> {
  const { ca, certificate, key, serverName } = files;
  if ((certificate === undefined) !== (key === undefined)) {
    throw new UsageError("a client certificate and its key must be given together");
  }
  if (certificate !== undefined && (ca === undefined || serverName === undefined)) {
    throw new UsageError("a client certificate also needs the runner's CA certificate and domain name");
  }
  if (ca === undefined && serverName === undefined) return undefined;
  const read = (path: string | undefined) => (path === undefined ? undefined : readText(path));
  return { ca: await read(ca), certificate: await read(certificate), key: await read(key), serverName };
}

async function readToken(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const token = (await readText(path)).trim();
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new UsageError(`${path} must hold one token of printable ASCII characters`, { code: "secret-file" });
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new UsageError(`${path} cannot be read; is it there, and readable for this user?`, {
      code: "secret-file",
      cause,
    });
  }
}

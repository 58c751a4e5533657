/**
 * Database addresses as libpq writes them: `postgres://user:password@host:port/database?parameters`.
 *
 * A host that begins with `/` once percent-encoding is undone is the folder of a Unix socket; an empty one means the
 * socket in the usual place. Parameters override what the rest of the address says, as in libpq.
 */

import { existsSync, readFileSync } from "node:fs";
import { userInfo } from "node:os";
import type { ConnectionOptions } from "node:tls";
import type { ClientConfig } from "pg";
import { anObject, aText, checkArgument } from "../argument-checks.js";
import { UsageError } from "../errors.js";
import { numericTypes } from "./numeric-types.js";

/** A database address that was parsed. */
export interface ConnectionSettings {
  /** For the driver. May hold a password: never print it. */
  readonly config: ClientConfig;
  /** Where it goes, without secrets. */
  readonly description: string;
}

const socketFolders = ["/run/postgresql", "/var/run/postgresql", "/tmp"];
const connectTimeoutMs = 10_000;

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    throw new UsageError("the database URL has a stray % (write %25 for a percent sign)", { cause: error });
  }
}

function splitAuthority(authority: string): { user: string; password: string; host: string; port: string } {
  const at = authority.lastIndexOf("@");
  const login = at < 0 ? "" : authority.slice(0, at);
  const place = authority.slice(at + 1);
  const colon = login.indexOf(":");
  const [, bracketed, plain = "", port = ""] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d*))?$/.exec(place) ?? [];
  if (bracketed === undefined && plain === "" && port === "" && place !== "" && place !== ":") {
    throw new UsageError("the database URL must name exactly one host and port");
  }
  return {
    user: decode(colon < 0 ? login : login.slice(0, colon)),
    password: colon < 0 ? "" : decode(login.slice(colon + 1)),
    host: decode(bracketed ?? plain),
    port,
  };
}

function defaultHost(port: number): string {
  return socketFolders.find((folder) => existsSync(`${folder}/.s.PGSQL.${port}`)) ?? "localhost";
}

function readPem(file: string | null): { readonly text?: string } {
  if (file === null || file === "") return {};
  try {
    return { text: readFileSync(file, "utf8") };
  } catch (error) {
    throw new UsageError(`${file}, named in the database URL, cannot be read`, { cause: error });
  }
}

/** The meaning of `sslmode` in libpq, except that nothing falls back to an unencrypted connection by itself. */
function encryption(parameters: URLSearchParams): ConnectionOptions | false {
  const mode = parameters.get("sslmode") ?? "disable";
  const ca = readPem(parameters.get("sslrootcert")).text;
  const cert = readPem(parameters.get("sslcert")).text;
  const key = readPem(parameters.get("sslkey")).text;
  const files = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
  switch (mode) {
    case "disable":
    case "allow":
    case "prefer":
      return false;
    case "require":
      if (ca === undefined) return { ...files, rejectUnauthorized: false };
      return { ...files, checkServerIdentity: () => undefined };
    case "verify-ca":
      return { ...files, checkServerIdentity: () => undefined };
    case "verify-full":
      return files;
    default:
      throw new UsageError(`sslmode=${mode} in the database URL is not known`);
  }
}

function portNumber(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) {
    throw new UsageError(`the database URL has an impossible port: ${text}`);
  }
  return port;
}

/** @throws UsageError for anything that is not an address of a PostgreSQL database */
export function connectionSettings(
  url: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): ConnectionSettings {
  checkArgument("connectionSettings", "url", url, aText);
  checkArgument("connectionSettings", "env", env, anObject);
  const match = /^postgres(?:ql)?:\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(url);
  if (match === null) {
    throw new UsageError("the database URL is malformed; write postgres://user@host:port/database");
  }
  const [, authority = "", path = "", query = ""] = match;
  const parts = splitAuthority(authority);
  const parameters = new URLSearchParams(query);
  const pick = (name: string, own: string, variable: string): string =>
    parameters.get(name) || own || env[variable] || "";
  const port = portNumber(pick("port", parts.port, "PGPORT") || "5432");
  const host = pick("host", parts.host, "PGHOST") || defaultHost(port);
  const user = pick("user", parts.user, "PGUSER") || userInfo().username;
  const database = pick("dbname", decode(path), "PGDATABASE") || user;
  const password = pick("password", parts.password, "PGPASSWORD");
  const config: ClientConfig = {
    host,
    port,
    user,
    database,
    // Without a password the driver looks into PGPASSFILE.
    ...(password === "" ? {} : { password }),
    application_name: pick("application_name", "", "PGAPPNAME") || "hydra-queue-runner",
    ssl: encryption(parameters),
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    connectionTimeoutMillis: connectTimeoutMs,
    types: numericTypes,
  };
  const options = parameters.get("options");
  if (options !== null) config.options = options;
  return { config, description: `${user}@${host}:${port}/${database}` };
}

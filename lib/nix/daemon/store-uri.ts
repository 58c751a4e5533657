/** Which store a `NIX_REMOTE` value means, and where its socket and files are. */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { aText, checkArgument, optional } from "../../argument-checks.js";
import { parseStoreDir, type StoreDir } from "../path/store-path.js";
import { DaemonError } from "./error.js";

/** Environment variables, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Folders of a store. */
export interface StorePlaces {
  /** Logical store directory. */
  readonly storeDir: StoreDir;
  /** Where the files are. */
  readonly realStoreDir: string;
  readonly stateDir: string;
}

/** How a store is reached: over the socket of a running daemon, or through a daemon of our own for a local store. */
export type StoreAddress =
  | (StorePlaces & { readonly kind: "socket"; readonly socket: string })
  | (StorePlaces & {
      /** A daemon of our own on its standard input and output. */
      readonly kind: "spawn";
      /** Its `--store`. */
      readonly store: string;
      readonly env: Environment;
    });

/**
 * Understands `""`, `auto`, `daemon`, `unix://[socket]?root=&store=&state=&real=`, `local[?…]` and a directory (the
 * root of a local store). Values of the query are decoded as in forms; the socket path is taken as it is.
 *
 * `auto` is the daemon, unless its socket is missing and the state directory is there: then a local store.
 * @throws DaemonError `address`
 */
export function parseStoreUri(remote: string | undefined, env: Environment = process.env): StoreAddress {
  checkArgument("parseStoreUri", "remote", remote, optional(aText));
  const uri = remote ?? env.NIX_REMOTE ?? "";
  const queryAt = uri.indexOf("?");
  const base = queryAt < 0 ? uri : uri.slice(0, queryAt);
  const query = new URLSearchParams(queryAt < 0 ? "" : uri.slice(queryAt + 1));
  if (base.startsWith("unix://")) return socketAddress(base.slice("unix://".length), query, env);
  if (base === "daemon") return socketAddress("", query, env);
  if (base === "" || base === "auto") {
    const address = socketAddress("", query, env);
    const local = !existsSync(address.socket) && existsSync(address.stateDir);
    return local ? spawnAddress("local", query, query.get("root") ?? "", env) : address;
  }
  if (base === "local") return spawnAddress(uri, query, query.get("root") ?? "", env);
  if (/^\.{0,2}\//.test(base) || base === "." || base === "..") {
    const root = resolve(base);
    return spawnAddress(root + uri.slice(base.length), query, root, env);
  }
  throw new DaemonError(
    "address",
    `Cannot use the store '${uri}': give daemon, auto, unix://<socket>, local?root=<directory> or a directory`,
  );
}

function socketAddress(
  path: string,
  query: URLSearchParams,
  env: Environment,
): Extract<StoreAddress, { kind: "socket" }> {
  const places = storePlaces(query, query.get("root") ?? "", env);
  const socket = path || env.NIX_DAEMON_SOCKET_PATH || `${places.stateDir}/daemon-socket/socket`;
  return { kind: "socket", socket, ...places };
}

function spawnAddress(store: string, query: URLSearchParams, root: string, env: Environment): StoreAddress {
  return { kind: "spawn", store, env, ...storePlaces(query, root, env) };
}

function storePlaces(query: URLSearchParams, root: string, env: Environment): StorePlaces {
  const storeDir = parseStoreDir(query.get("store") || env.NIX_STORE_DIR || "/nix/store");
  const rootDir = root.replace(/\/+$/, "");
  const stateDir =
    query.get("state") || (rootDir ? `${rootDir}/nix/var/nix` : env.NIX_STATE_DIR || "/nix/var/nix");
  // Under a root the files are always in nix/store, whatever the logical directory is.
  const realStoreDir = query.get("real") || (rootDir ? `${rootDir}/nix/store` : storeDir);
  return { storeDir, realStoreDir, stateDir };
}

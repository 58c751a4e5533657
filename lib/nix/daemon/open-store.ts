/** The way in: from a `NIX_REMOTE` value to a connected store. */

import { anObject, aSignal, aText, checkArgument, checkMembers, optional } from "../../argument-checks.js";
import type { CancelOptions } from "../store/store.js";
import { DaemonStore, type DaemonStoreOptions } from "./daemon-store.js";

/** What a store is opened with. */
export interface OpenStoreOptions extends Omit<DaemonStoreOptions, "remote">, CancelOptions {
  /** The logical store directory when `remote` names none; default: `NIX_STORE_DIR`, then `/nix/store`. */
  readonly storeDir?: string;
}

/**
 * Opens the store that `remote` means: `""`, `auto`, `daemon`, `unix://<socket>?root=&store=&state=&real=`,
 * `local?root=…` (a daemon of our own) or a directory. Undefined stands for `NIX_REMOTE` of `env`.
 *
 * @throws DaemonError `address`, `connect`
 */
export async function openStore(remote?: string, options: OpenStoreOptions = {}): Promise<DaemonStore> {
  checkArgument("openStore", "remote", remote, optional(aText));
  checkMembers("openStore", options, {
    storeDir: optional(aText),
    env: optional(anObject),
    signal: optional(aSignal),
  });
  const { storeDir, ...rest } = options;
  const env = rest.env ?? process.env;
  return DaemonStore.open({
    ...rest,
    ...(remote === undefined ? {} : { remote }),
    env: storeDir === undefined ? env : { ...env, NIX_STORE_DIR: storeDir },
  });
}

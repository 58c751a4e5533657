/** Garbage collector roots: temporary ones that live with a connection, and symlinks. */
import { randomUUID } from "node:crypto";
import { rename, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isSystemError } from "../../errors.js";
import { inFolder } from "../../in-folder.js";
import type { StorePath } from "../path/store-path.js";
import type { CancelOptions, RootsSession } from "../store/store.js";
import type { DaemonConnection } from "./connection.js";
import { addTempRoot } from "./protocol/operations.js";

/** Holds one connection; requests are queued, because a connection does one thing at a time. */
export class DaemonRootsSession implements RootsSession {
  readonly #connection: DaemonConnection;
  readonly #rooted = new Set<StorePath>();
  #last: Promise<unknown> = Promise.resolve();
  readonly #onClose: () => void;

  /** @param onClose parts with the connection */
  constructor(connection: DaemonConnection, onClose: () => void) {
    this.#connection = connection;
    this.#onClose = onClose;
  }

  addTempRoots(paths: readonly StorePath[], options: CancelOptions = {}): Promise<void> {
    return this.alone(async (connection) => {
      const wanted = [...new Set(paths)].filter((path) => !this.#rooted.has(path));
      if (wanted.length > 0) await connection.pipeline(wanted.map(addTempRoot), options);
      for (const path of wanted) this.#rooted.add(path);
    });
  }

  async close(): Promise<void> {
    this.#onClose();
  }

  /** Does something when all that was asked for before is done. */
  protected alone<T>(work: (connection: DaemonConnection) => Promise<T>): Promise<T> {
    const result = this.#last.then(() => work(this.#connection));
    this.#last = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Points `link` at `target`, replacing what was there atomically. */
export async function replaceSymlink(target: string, link: string): Promise<void> {
  if (await linked(target, link)) return;
  // Not made of the link's own name, which may be as long as names can be.
  const temporary = join(dirname(link), `.tmp-${randomUUID()}`);
  await symlink(target, temporary);
  try {
    await rename(temporary, link);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** The usual case: nothing of that name is there. False when something is. */
async function linked(target: string, link: string): Promise<boolean> {
  try {
    await inFolder(dirname(link), () => symlink(target, link));
    return true;
  } catch (error) {
    if (isSystemError(error) && error.code === "EEXIST") return false;
    throw error;
  }
}

/** Files of an embedded server. Everything follows from the data folder, so other programs find the server as well. */

import { createHash } from "node:crypto";
import { lstat, mkdir, rmdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { aText, checkArgument } from "../../argument-checks.js";
import { DatabaseError } from "../errors.js";

/** The PostgreSQL user that owns the database. */
export const embeddedUser = "hydra";
/** The name of the database. */
export const embeddedDatabase = "hydra";
const port = 5432;

/** Paths of Unix sockets hold 107 bytes; the name of the socket follows the folder. */
const longestSocketFolder = 107 - `/.s.PGSQL.${port}.lock`.length;

/** Where an embedded server keeps its files. */
export interface EmbeddedPlaces {
  /** Everything of the server. */
  readonly root: string;
  /** PostgreSQL's own data folder. */
  readonly data: string;
  readonly socketFolder: string;
  readonly socket: string;
  readonly log: string;
  /** Who started the server. */
  readonly owner: string;
  readonly links: string;
  readonly url: string;
}

/** The places below a data folder. Touches nothing. */
export function embeddedPlaces(dataDir: string): EmbeddedPlaces {
  const root = join(resolve(dataDir), "postgres");
  let socketFolder = join(root, "socket");
  if (Buffer.byteLength(socketFolder) > longestSocketFolder) {
    const mark = createHash("sha256").update(root).digest("hex").slice(0, 16);
    socketFolder = `/tmp/hydra-pg-${process.getuid?.() ?? 0}-${mark}`;
  }
  return {
    root,
    data: join(root, "data"),
    socketFolder,
    socket: join(socketFolder, `.s.PGSQL.${port}`),
    log: join(root, "server.log"),
    owner: join(root, "owner.json"),
    links: join(root, "lib"),
    url: `postgres://${embeddedUser}@${encodeURIComponent(socketFolder)}:${port}/${embeddedDatabase}`,
  };
}

/** The address of the server that `openHydraDatabase` runs for `embedded:`. Whether it runs is not looked at. */
export function embeddedDatabaseUrl(dataDir: string): string {
  checkArgument("embeddedDatabaseUrl", "dataDir", dataDir, aText);
  return embeddedPlaces(dataDir).url;
}

/**
 * The server trusts every user who can reach its socket, so only we may. `serverUser` is the user it runs as, if not ours.
 *
 * @throws DatabaseError `embedded`
 */
export async function preparePlaces(places: EmbeddedPlaces, serverUser?: number): Promise<void> {
  // Hydra's own folder is for others, too.
  await mkdir(dirname(places.root), { recursive: true });
  await mkdir(places.root, { recursive: true, mode: 0o700 });
  await mkdir(places.socketFolder, { recursive: true, mode: 0o700 });
  const found = await lstat(places.socketFolder);
  const trusted = [process.getuid?.() ?? found.uid, serverUser];
  if (!found.isDirectory() || !trusted.includes(found.uid) || (found.mode & 0o077) !== 0) {
    throw new DatabaseError(
      "embedded",
      `${places.socketFolder} must be a folder that only the user of this program can enter; remove it`,
    );
  }
}

/** Removes the folder of the socket when it is empty and not below the data folder, where it would stay forever. */
export async function removeSocketFolder(places: EmbeddedPlaces): Promise<void> {
  if (dirname(places.socketFolder) === places.root) return;
  try {
    await rmdir(places.socketFolder);
  } catch {
    // Gone, or another server uses it.
  }
}

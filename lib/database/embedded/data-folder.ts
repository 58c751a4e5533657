/** PostgreSQL's own data folder: made when it is not there, never touched when it is of another version. */
import { execFile } from "node:child_process";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { DatabaseError } from "../errors.js";
import { type PostgresPrograms, programEnvironment } from "./binaries.js";
import { giveTo, type Launcher } from "./launch.js";
import { type EmbeddedPlaces, embeddedUser } from "./places.js";

const run = promisify(execFile);

/**
 * Makes the folder under another name first, so that one cut short is never mistaken for a whole one.
 *
 * @throws DatabaseError `embedded` when that fails, or the folder is of another version
 */
export async function ensureDataFolder(
  places: EmbeddedPlaces,
  programs: PostgresPrograms,
  launcher: Launcher,
  durable: boolean,
): Promise<void> {
  const { data, root } = places;
  const version = await readFile(join(data, "PG_VERSION"), "utf8").catch(() => undefined);
  if (version !== undefined) {
    await checkVersion(places, programs, version.trim());
    return;
  }
  const fresh = join(root, "data.new");
  await rm(fresh, { recursive: true, force: true });
  await mkdir(fresh, { mode: 0o700 });
  await giveTo(launcher, root);
  const [program = "", ...args] = launcher.wrap([
    programs.initdb,
    "--pgdata",
    fresh,
    "--username",
    embeddedUser,
    "--auth=trust",
    "--locale=C",
    "--encoding=UTF8",
    ...(durable ? [] : ["--no-sync"]),
  ]);
  try {
    await run(program, args, { env: programEnvironment(programs), cwd: "/" });
  } catch (error) {
    throw new DatabaseError("embedded", "initdb cannot make a database", { cause: error });
  }
  await rename(fresh, data);
}

async function checkVersion(
  places: EmbeddedPlaces,
  programs: PostgresPrograms,
  version: string,
): Promise<void> {
  const { stdout } = await run(programs.postgres, ["--version"], { env: programEnvironment(programs) });
  const own = /\s(\d+)/.exec(stdout)?.[1];
  if (own === version) return;
  throw new DatabaseError(
    "embedded",
    `${places.data} is of PostgreSQL ${version}, the programs are of ${own ?? "an unknown version"};` +
      " dump it with the old programs, or remove it to start with an empty database",
  );
}

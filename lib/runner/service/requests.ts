/** What an embedder asks of a runner, as the status API's routes do it. */
import type { JobsetRow } from "../../database/queries/jobsets.js";
import {
  isDerivationPath,
  parseAnyStorePath,
  type StoreDir,
  type StorePath,
} from "../../nix/path/store-path.js";
import { StatusError } from "../../status/errors.js";
import type { StatusSource } from "../../status/index.js";

/** A derivation to be built for a jobset, without an evaluation. */
export interface EnqueueRequest {
  /** Base name or full path of a derivation in the runner's store. */
  readonly drv: string;
  /** Id of the jobset, or its name: `project:jobset`. */
  readonly jobset: number | string;
}

/** @throws StatusError `bad-request` when it names no derivation */
export function derivationOf(storeDir: StoreDir, text: string): StorePath {
  let path: StorePath;
  try {
    path = parseAnyStorePath(storeDir, text);
  } catch (cause) {
    throw new StatusError("bad-request", `${text} is not a store path`, { cause });
  }
  if (!isDerivationPath(path)) throw new StatusError("bad-request", `${text} is not a derivation`);
  return path;
}

/** @throws StatusError `not-found` when there is no jobset of that name */
export async function jobsetIdOf(
  database: { readonly jobsets: () => Promise<readonly JobsetRow[]> },
  jobset: number | string,
): Promise<number> {
  if (typeof jobset === "number") return jobset;
  const found = (await database.jobsets()).find(({ project, name }) => `${project}:${name}` === jobset);
  if (found === undefined) throw new StatusError("not-found", `jobset ${jobset} does not exist`);
  return found.id;
}

/** @throws StatusError `not-found` when no machine has that id or host name */
export async function switchMachine(
  source: Pick<StatusSource, "drainMachine" | "resumeMachine">,
  action: "drainMachine" | "resumeMachine",
  machine: string,
): Promise<readonly string[]> {
  const ids = await source[action](machine);
  if (ids.length === 0) throw new StatusError("not-found", `machine ${machine} is not connected`);
  return ids;
}

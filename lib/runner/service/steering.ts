/** What people do with builds that wait. */
import type { HydraDatabase } from "../../database/index.js";
import { StatusError } from "../../status/index.js";

/** @throws StatusError `bad-request` when it is not an id, `not-found`, `conflict` when the build has another result */
export async function cancelBuild(
  database: Pick<HydraDatabase, "cancelBuild">,
  build: number,
): Promise<void> {
  const result = await database.cancelBuild(checkedId(build));
  if (result === undefined) throw new StatusError("not-found", `build ${build} does not exist`);
  if (result === "finished") throw new StatusError("conflict", `build ${build} is finished already`);
}

/** @throws StatusError `bad-request` when it is not an id, `not-found`, `conflict` when the build is finished */
export async function bumpBuild(database: Pick<HydraDatabase, "bumpBuild">, build: number): Promise<void> {
  const result = await database.bumpBuild(checkedId(build));
  if (result === undefined) throw new StatusError("not-found", `build ${build} does not exist`);
  if (result === "finished") throw new StatusError("conflict", `build ${build} is finished already`);
}

/** Ids are 32-bit integers; the database refuses others with an error of its own. */
function checkedId(build: number): number {
  if (Number.isInteger(build) && build > 0 && build < 2 ** 31) return build;
  throw new StatusError("bad-request", `${build} is not the id of a build`);
}

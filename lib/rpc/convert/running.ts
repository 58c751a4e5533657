/**
 * Builds in progress, as metadata of the call that opens a tunnel: `v1` and then `;<build id>/<drv>/<age in ms>` for each.
 * The messages of the contract have no place for them.
 */
import type { RunningBuild } from "../types.js";
import { bad, parseUuid } from "./scalars.js";
import { storePathText } from "./store.js";

/** The request header of a join that lists the running builds. Peers that do not know it ignore it. */
export const runningBuildsHeader = "hydra-running-builds";

/** HTTP/2 libraries take no more than 64 KiB of headers. */
const maxLength = 60_000;

/** @throws RpcError `invalid-argument` when they are more than metadata can carry (some hundreds) */
export function runningBuildsToHeader(builds: readonly RunningBuild[]): string {
  const text = ["v1", ...builds.map((b) => `${b.buildId}/${b.drv}/${Math.max(0, Math.round(b.ageMs))}`)].join(
    ";",
  );
  if (text.length > maxLength) throw bad("running", `${builds.length} builds are too many to be told`);
  return text;
}

/** @throws RpcError `invalid-argument` */
export function runningBuildsFromHeader(text: string): readonly RunningBuild[] {
  const [version, ...entries] = text.split(";");
  if (version !== "v1") throw bad(runningBuildsHeader, "is of an unknown version");
  return entries.map((entry) => {
    const [buildId = "", drv = "", age = ""] = entry.split("/");
    if (!/^\d{1,15}$/.test(age)) throw bad(runningBuildsHeader, "an entry has no age");
    return {
      buildId: parseUuid(buildId, runningBuildsHeader),
      drv: storePathText(drv, runningBuildsHeader),
      ageMs: Number(age),
    };
  });
}

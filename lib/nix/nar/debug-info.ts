/** Separate debug information in a store path, found by the build ids in file names. */
import { anObject, aText, checkArgument } from "../../argument-checks.js";
import { findInListing, type NarListing } from "./listing.js";

/** One file with separate debug information. */
export interface DebugInfoFile {
  /** Lower-case hex. */
  readonly buildId: string;
  /** Path within the store path, without leading slash. */
  readonly member: string;
}

const folder = "lib/debug/.build-id";

/** The files `lib/debug/.build-id/<2 hex>/<hex>.debug`, in order of their ids. */
export function findDebugInfo(root: NarListing): DebugInfoFile[] {
  checkArgument("findDebugInfo", "root", root, anObject);
  const found: DebugInfoFile[] = [];
  const ids = findInListing(root, folder);
  if (ids?.type !== "directory") return found;
  for (const [head, directory] of ids.entries) {
    if (!/^[0-9a-f]{2}$/.test(head) || directory.type !== "directory") continue;
    for (const [name, file] of directory.entries) {
      const rest = /^([0-9a-f]+)\.debug$/.exec(name)?.[1];
      if (rest === undefined || file.type !== "regular") continue;
      const bytes = Math.floor((2 + rest.length) / 2);
      if (bytes < 3 || bytes > 64) continue;
      found.push({ buildId: head + rest, member: `${folder}/${head}/${name}` });
    }
  }
  return found.sort((a, b) => (a.buildId < b.buildId ? -1 : a.buildId > b.buildId ? 1 : 0));
}

/** Body of the object `debuginfo/<build id>`; `narUrl` is relative to the root of the cache. */
export function printDebugInfoLink(narUrl: string, member: string): string {
  checkArgument("printDebugInfoLink", "narUrl", narUrl, aText);
  checkArgument("printDebugInfoLink", "member", member, aText);
  return JSON.stringify({ archive: `../${narUrl}`, member });
}

/** Which paths an attempt may bring: its outputs, and paths whose name follows from what is in them. */
import { makeFixedOutputPath, outputPathName } from "../../../nix/path/content-address.js";
import { hashesEqual } from "../../../nix/path/hash.js";
import { type StoreDir, type StorePath, storePathName } from "../../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../../nix/store/path-info.js";
import type { Attempt } from "../../state/attempts.js";

/** Whether the attempt must make the path. Outputs that only the build can name are not among them. */
export function makes({ facts }: Pick<Attempt, "facts">, path: StorePath): boolean {
  for (const output of facts.outputs.values()) if (output === path) return true;
  return false;
}

/** Whether the attempt makes the path, or some output whose path only the build can tell: that may be any. */
export function mayBeOutput({ facts }: Pick<Attempt, "facts">, path: StorePath): boolean {
  for (const output of facts.outputs.values()) if (output === path || output === undefined) return true;
  return false;
}

/** Whether the path could be an output that only the build can name: it has the name of one. */
export function mayMake({ facts }: Pick<Attempt, "facts">, path: StorePath): boolean {
  const name = storePathName(path);
  for (const [output, known] of facts.outputs) {
    if (known === undefined && name === outputPathName(facts.name, output)) return true;
  }
  return false;
}

/** Whether the path follows from its content address and its references; its contents are not looked at. */
export function isAddressed(
  storeDir: StoreDir,
  { path, ca, references }: Pick<ValidPathInfo, "path" | "ca" | "references">,
): boolean {
  if (ca === undefined || ca.method === "foreign") return false;
  const others = references.filter((reference) => reference !== path);
  try {
    const self = others.length < references.length;
    return makeFixedOutputPath(storeDir, storePathName(path), ca, others, self) === path;
  } catch {
    return false;
  }
}

/** Whether the content address is the hash of the NAR itself, so that nothing else has to be read to compare it. */
export function isNarHash({ path, ca, references, narHash }: ValidPathInfo): boolean {
  if (ca === undefined || ca.method !== "nixArchive" || references.includes(path)) return false;
  return hashesEqual(ca.hash, narHash);
}

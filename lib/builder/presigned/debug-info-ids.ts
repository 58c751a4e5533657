/** The build ids of the separate debug information in a path of the local store, from file names alone. */
import type { Dirent } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { whenThereIsRoom } from "../../async/index.js";
import { isLackOfDescriptors, isSystemError } from "../../errors.js";
import { findDebugInfo } from "../../nix/nar/debug-info.js";
import type { NarListing } from "../../nix/nar/listing.js";
import type { StorePath } from "../../nix/path/store-path.js";

const folders = ["lib", "debug", ".build-id"];

/**
 * Empty when there are none. Symbolic links are not followed, as they would not be in a NAR.
 * @throws system errors when a folder that is there cannot be read
 */
export async function debugInfoIds(realStoreDir: string, path: StorePath): Promise<string[]> {
  let at = join(realStoreDir, path);
  for (const folder of folders) {
    const entries = await entriesOf(at);
    if (!entries.some((entry) => entry.name === folder && entry.isDirectory())) return [];
    at = join(at, folder);
  }
  const ids = await list(at, 1);
  const tree = folders.reduceRight<NarListing>(
    (child, name) => ({ type: "directory", entries: new Map([[name, child]]) }),
    ids,
  );
  return findDebugInfo(tree).map((file) => file.buildId);
}

/** Empty for what is not a folder, or not there. */
function entriesOf(directory: string): Promise<Dirent[]> {
  const entries = whenThereIsRoom(() => readdir(directory, { withFileTypes: true }), {
    passes: isLackOfDescriptors,
  });
  return entries.catch((error: unknown) => {
    if (isSystemError(error) && (error.code === "ENOENT" || error.code === "ENOTDIR")) return [];
    throw error;
  });
}

async function list(directory: string, depth: number): Promise<NarListing> {
  const entries = new Map<string, NarListing>();
  for (const entry of await entriesOf(directory)) {
    if (entry.isDirectory() && depth > 0) {
      entries.set(entry.name, await list(join(directory, entry.name), depth - 1));
    } else if (entry.isFile()) {
      entries.set(entry.name, { type: "regular", size: 0, executable: false });
    }
  }
  return { type: "directory", entries };
}

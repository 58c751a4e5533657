/** Remembers what was signed, for whom, until it is published or given up. */
import type { NarInfo } from "../nix/nar-info.js";
import type { StorePath } from "../nix/store-path.js";
import type { MintRequest } from "./presigned-types.js";

export interface Minted {
  readonly request: MintRequest;
  readonly key: string;
  readonly uploadIds: Set<string>;
  /** Those that became an object. */
  readonly completed: Set<string>;
  /** The NAR is in the bucket and was checked; only the narinfo is missing. */
  ready: NarInfo | undefined;
  /** The narinfo is being written. */
  publishing: Promise<void> | undefined;
}

export class MintedUploads {
  /** By owner (an attempt, say) and path. */
  readonly #byOwner = new Map<string, Map<StorePath, Minted>>();

  get(owner: string, path: StorePath): Minted | undefined {
    return this.#byOwner.get(owner)?.get(path);
  }

  of(owner: string): readonly Minted[] {
    return [...(this.#byOwner.get(owner)?.values() ?? [])];
  }

  /** A path that is asked for again keeps the uploads it has. */
  remember(owner: string, request: MintRequest, key: string, uploadId: string): void {
    let owned = this.#byOwner.get(owner);
    if (owned === undefined) {
      owned = new Map();
      this.#byOwner.set(owner, owned);
    }
    const before = owned.get(request.path);
    const uploadIds = before?.uploadIds ?? new Set<string>();
    uploadIds.add(uploadId);
    const completed = before?.completed ?? new Set<string>();
    owned.set(request.path, { request, key, uploadIds, completed, ready: undefined, publishing: undefined });
  }

  forget(owner: string, path: StorePath): void {
    const owned = this.#byOwner.get(owner);
    owned?.delete(path);
    if (owned?.size === 0) this.#byOwner.delete(owner);
  }

  /** Forgets all that `owner` has, and tells what it was. */
  take(owner: string): readonly Minted[] {
    const all = this.of(owner);
    this.#byOwner.delete(owner);
    return all;
  }

  /** Ids of all uploads in parts that somebody may still complete. */
  uploadIds(): Set<string> {
    const ids = new Set<string>();
    for (const owned of this.#byOwner.values()) {
      for (const { uploadIds } of owned.values()) for (const id of uploadIds) ids.add(id);
    }
    return ids;
  }
}

/** Remembers what was signed, for whom, until it is published or given up. */
import type { NarInfo } from "../../nix/cache/nar-info.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { PresignRequest } from "./types.js";

/** One path whose URLs are signed and whose narinfo is not written yet. */
export interface PendingUpload {
  readonly request: PresignRequest;
  readonly key: string;
  readonly uploadIds: Set<string>;
  /** Those that became an object. */
  readonly completed: Set<string>;
  /** The NAR is in the bucket and was checked; only the narinfo is missing. */
  ready: NarInfo | undefined;
  /** The narinfo is being written. */
  publishing: Promise<void> | undefined;
}

/** Uploads under way, by owner and path. In memory only: after a restart builders ask for new URLs. */
export class PendingUploads {
  /** By owner (an attempt, say) and path. */
  readonly #byOwner = new Map<string, Map<StorePath, PendingUpload>>();
  /** Owners of which nothing is published yet. */
  readonly #held = new Set<string>();
  /** Outputs of one execution, by owner; those that the cache has, and those that it lacks. */
  readonly #outputs = new Map<string, { readonly all: Set<StorePath>; readonly lacking: Set<StorePath> }>();

  get(owner: string, path: StorePath): PendingUpload | undefined {
    return this.#byOwner.get(owner)?.get(path);
  }

  of(owner: string): readonly PendingUpload[] {
    return [...(this.#byOwner.get(owner)?.values() ?? [])];
  }

  hold(owner: string): void {
    this.#held.add(owner);
  }

  letGo(owner: string): void {
    this.#held.delete(owner);
  }

  isHeld(owner: string): boolean {
    return this.#held.has(owner);
  }

  /** The NAR was checked by an earlier process, which did not publish it. */
  restore(owner: string, ready: NarInfo): void {
    const { path, narHash, narSize, url } = ready;
    this.#of(owner).set(path, {
      request: { path, narHash, narSize, debugInfoBuildIds: [] },
      key: url,
      uploadIds: new Set(),
      completed: new Set(),
      ready,
      publishing: undefined,
    });
  }

  /** A path that is asked for again keeps the uploads it has. */
  remember(owner: string, request: PresignRequest, key: string, uploadId: string): void {
    const owned = this.#of(owner);
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
    this.settled(owner, path);
  }

  /** Names the paths that `owner` makes in one execution. Only the first call for an owner counts. */
  together(owner: string, outputs: Iterable<StorePath>): void {
    if (this.#outputs.has(owner)) return;
    const all = new Set(outputs);
    if (all.size > 0) this.#outputs.set(owner, { all, lacking: new Set(all) });
  }

  isOutput(owner: string, path: StorePath): boolean {
    return this.#outputs.get(owner)?.all.has(path) ?? false;
  }

  /** The cache has this output. */
  settled(owner: string, path: StorePath): void {
    this.#outputs.get(owner)?.lacking.delete(path);
  }

  /** Whether every output that the cache lacks could be published now. */
  outputsReady(owner: string): boolean {
    const lacking = [...(this.#outputs.get(owner)?.lacking ?? [])];
    return lacking.every((path) => this.get(owner, path)?.ready !== undefined);
  }

  /** Forgets all that `owner` has, and tells what it was. */
  take(owner: string): readonly PendingUpload[] {
    const all = this.of(owner);
    this.#byOwner.delete(owner);
    this.#outputs.delete(owner);
    this.#held.delete(owner);
    return all;
  }

  /** Ids of all multipart uploads that may still be completed. */
  uploadIds(): Set<string> {
    const ids = new Set<string>();
    for (const owned of this.#byOwner.values()) {
      for (const { uploadIds } of owned.values()) for (const id of uploadIds) ids.add(id);
    }
    return ids;
  }

  #of(owner: string): Map<StorePath, PendingUpload> {
    let owned = this.#byOwner.get(owner);
    if (owned === undefined) {
      owned = new Map();
      this.#byOwner.set(owner, owned);
    }
    return owned;
  }
}

/**
 * What builders may publish with presigned uploads: what they state about a path is signed, so the path must be an output of
 * theirs, or be known already.
 */
import type { NarInfo } from "../../../nix/cache/nar-info.js";
import { hashesEqual } from "../../../nix/path/hash.js";
import type { StorePath } from "../../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../../nix/store/path-info.js";
import { RpcError } from "../../../rpc/index.js";
import type { Attempt } from "../../state/attempts.js";
import type { RunnerStore } from "../../state/runner-store.js";
import { isAddressed, isNarHash, makes, mayMake } from "../arriving/addressed.js";

/** Where paths are known. */
export interface UploadRightsOptions {
  /** Without unproven paths. */
  readonly store: Pick<RunnerStore, "storeDir" | "queryPathInfos">;
  /** What our caches know about a path. */
  readonly publishedInfos: (path: StorePath) => AsyncIterable<ValidPathInfo>;
}

/**
 * Builders upload the whole closure of what they have built. Besides its outputs that is what they got from us or from
 * our caches, so it must be the same as there; anything else must follow from its contents.
 */
export class UploadRights {
  readonly #options: UploadRightsOptions;

  constructor(options: UploadRightsOptions) {
    this.#options = options;
  }

  /**
   * @throws RpcError `permission-denied` when the builder of `attempt` may not publish this; what the store and the
   *   caches throw
   */
  async demand(attempt: Attempt, info: NarInfo): Promise<void> {
    const { path } = info;
    if (makes(attempt, path)) return;
    if (isAddressed(this.#options.store.storeDir, info) && (isNarHash(info) || mayMake(attempt, path)))
      return;
    const ours = (await this.#options.store.queryPathInfos([path])).get(path);
    if (ours !== undefined && isSame(ours, info)) return;
    for await (const published of this.#options.publishedInfos(path)) if (isSame(published, info)) return;
    throw new RpcError(
      "permission-denied",
      `${path} is not an output of this build, its name does not follow from its hash, and what is known of it differs`,
    );
  }
}

/** Whether two path infos agree in everything that a signature covers. */
function isSame(one: ValidPathInfo, other: ValidPathInfo): boolean {
  const references = new Set(one.references);
  return (
    one.path === other.path &&
    one.narSize === other.narSize &&
    hashesEqual(one.narHash, other.narHash) &&
    references.size === new Set(other.references).size &&
    other.references.every((reference) => references.has(reference))
  );
}

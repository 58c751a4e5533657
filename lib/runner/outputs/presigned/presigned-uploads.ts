/**
 * Uploads that builders make themselves, with URLs that the runner signs.
 *
 * An upload belongs to the attempt it was asked for, and stays invisible until that attempt has reported success: only then
 * are narinfos signed. When the attempt is over, everything that was not completed is aborted.
 */
import {
  BinaryCacheError,
  type PresignedCache,
  type PresignedNarUrls,
  type PresignedObject,
} from "../../../binary-cache/index.js";
import { hashesEqual } from "../../../nix/path/hash.js";
import type { StorePath } from "../../../nix/path/store-path.js";
import {
  type BuiltOutput,
  type MultipartPart,
  type MultipartPartsRequest,
  type PresignedNar,
  type PresignedUpload,
  type PresignedUploadComplete,
  type PresignedUrlsRequest,
  RpcError,
} from "../../../rpc/index.js";
import { RunnerError } from "../../errors.js";
import type { Attempt } from "../../state/attempts.js";
import type { RunnerStore } from "../../state/runner-store.js";
import { isAddressed } from "../arriving/addressed.js";
import type { RunnerEdges } from "../edges.js";
import { type HeldNarInfoMemory, noHeldNarInfos } from "./held-narinfos.js";
import { UploadRights } from "./upload-rights.js";

/** What presigned uploads work with. */
export interface PresignedUploadsOptions {
  readonly uploads: Pick<RunnerEdges["uploads"], "presignedCache" | "publishedInfos">;
  /** Without unproven paths. */
  readonly store: Pick<RunnerStore, "storeDir" | "queryPathInfos">;
  /** Default: none, so that builders that come back to another runner upload again. */
  readonly memory?: HeldNarInfoMemory | undefined;
}

/** An attempt stays with the bucket it began with, also when the configuration or its jobsets change. */
interface Begun {
  readonly cache: PresignedCache;
  /** Owner of its uploads. An attempt that is adopted again keeps its identifier and gets another owner. */
  readonly owner: string;
  /** What an earlier runner knew of the attempt is being read. */
  restoring: Promise<void> | undefined;
  over: boolean;
}

/** The uploads of attempts that run. */
export class PresignedUploads {
  readonly #uploads: PresignedUploadsOptions["uploads"];
  readonly #store: PresignedUploadsOptions["store"];
  readonly #memory: HeldNarInfoMemory;
  readonly #rights: UploadRights;
  readonly #begun = new WeakMap<Attempt, Begun>();
  #serial = 0;

  constructor({ uploads, store, memory }: PresignedUploadsOptions) {
    this.#uploads = uploads;
    this.#store = store;
    this.#memory = memory ?? noHeldNarInfos;
    this.#rights = new UploadRights({ store, publishedInfos: (path) => uploads.publishedInfos(path) });
  }

  /** URLs for those of the requested paths that the bucket lacks. */
  mint(attempt: Attempt, requests: PresignedUrlsRequest["requests"]): Promise<readonly PresignedNar[]> {
    return this.#with(attempt, async ({ cache, owner }) => {
      const outputs = [...attempt.facts.outputs.values()].filter((path) => path !== undefined);
      const urls = await cache.presigned.urls(owner, requests, { outputs });
      return urls.map((nar) => presignedNar(nar, cache.name));
    });
  }

  /** URLs for further parts of an upload. */
  moreParts(
    attempt: Attempt,
    request: Omit<MultipartPartsRequest, "buildId" | "machineId">,
  ): Promise<readonly MultipartPart[]> {
    return this.#with(attempt, ({ cache, owner }) => cache.presigned.partUrls(owner, request));
  }

  /**
   * Resolves when the NAR is checked. The narinfo is published by `release`.
   *
   * @throws RpcError `permission-denied` when the builder may not publish this path, or not with these contents
   */
  complete(attempt: Attempt, upload: Omit<PresignedUploadComplete, "buildId" | "machineId">): Promise<void> {
    return this.#with(attempt, async ({ cache, owner }) => {
      await this.#rights.demand(attempt, upload.narInfo);
      const checked = await cache.presigned.complete(owner, upload);
      if (checked !== undefined) await this.#memory.save(attempt.id, cache.name, checked);
    });
  }

  /**
   * Outputs that were not uploaded and that clients do not find in the bucket, although a builder reports them as built.
   *
   * @throws RunnerError `output-mismatch`; BinaryCacheError when the bucket cannot be asked
   */
  async lacking(attempt: Attempt, outputs: ReadonlyMap<string, BuiltOutput>): Promise<readonly StorePath[]> {
    const begun = this.#begin(attempt);
    const lacking: StorePath[] = [];
    if (begun === undefined) return lacking;
    await begun.restoring;
    const { cache, owner } = begun;
    for (const [name, { path, narHash, narSize }] of outputs) {
      const info = cache.presigned.checked(owner, path) ?? (await cache.narInfo(path));
      if (info === undefined) {
        lacking.push(path);
        continue;
      }
      const differs = narHash !== undefined && !hashesEqual(narHash, info.narHash);
      if (differs || narSize !== info.narSize) {
        const message = `output ${name} of ${attempt.drv} is not what ${cache.name} has`;
        throw new RunnerError("output-mismatch", message);
      }
      if (attempt.facts.outputs.get(name) === undefined && !isAddressed(this.#store.storeDir, info)) {
        const message = `output ${name} of ${attempt.drv} is not content-addressed in ${cache.name}`;
        throw new RunnerError("output-mismatch", message);
      }
    }
    return lacking;
  }

  /**
   * The attempt succeeded with these outputs: what was uploaded for it is signed and published. May be called again after
   * an error.
   *
   * @throws RunnerError `output-missing` when an output cannot be published, as something that it refers to was begun and
   *   not completed; BinaryCacheError
   */
  async release(attempt: Attempt, outputs: ReadonlyMap<string, BuiltOutput>): Promise<void> {
    const begun = this.#begin(attempt);
    if (begun === undefined) return;
    await begun.restoring;
    const { cache, owner } = begun;
    const unpublished = new Set(await cache.presigned.release(owner));
    for (const [name, { path }] of outputs) {
      if (!unpublished.has(path) || cache.presigned.checked(owner, path) === undefined) continue;
      const message = `output ${name} of ${attempt.drv} refers to paths that were not uploaded`;
      throw new RunnerError("output-missing", message);
    }
  }

  /**
   * The attempt is over: nothing will be completed any more. `mayReturn`: its builder may come back and go on with it, so
   * what it has uploaded is remembered.
   */
  async abandon(attempt: Attempt, { mayReturn = false } = {}): Promise<void> {
    const begun = this.#begun.get(attempt);
    if (begun === undefined) return;
    begun.over = true;
    await begun.cache.presigned.abandon(begun.owner);
    if (!mayReturn) await this.#memory.forget(attempt.id);
  }

  /** Does not wait unless it must: an upload that is begun in the same turn is seen by `abandon`. */
  async #with<T>(attempt: Attempt, work: (begun: Begun) => Promise<T>): Promise<T> {
    const begun = this.#begin(attempt);
    if (begun === undefined) {
      throw new RpcError("failed-precondition", "this runner has no S3 store for presigned uploads");
    }
    if (begun.restoring !== undefined) await begun.restoring;
    if (begun.over) throw new RpcError("failed-precondition", "the build is over");
    return answering(() => work(begun));
  }

  #begin(attempt: Attempt): Begun | undefined {
    const known = this.#begun.get(attempt);
    if (known !== undefined) return known;
    const cache = this.#uploads.presignedCache(attempt);
    if (cache === undefined) return undefined;
    const owner = `${attempt.id} ${++this.#serial}`;
    const begun: Begun = { cache, owner, restoring: undefined, over: false };
    this.#begun.set(attempt, begun);
    cache.presigned.hold(owner);
    if (attempt.adopted === true) begun.restoring = this.#restore(begun, attempt);
    return begun;
  }

  async #restore(begun: Begun, attempt: Attempt): Promise<void> {
    const checked = await this.#memory.load(attempt.id, begun.cache.name);
    if (!begun.over) begun.cache.presigned.hold(begun.owner, checked);
    begun.restoring = undefined;
  }
}

async function answering<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof BinaryCacheError)) throw error;
    const ours = error.code === "missing" || error.code === "mismatch";
    throw new RpcError(ours ? "failed-precondition" : "unavailable", error.message, { cause: error });
  }
}

function presignedNar(nar: PresignedNarUrls, bucket: string): PresignedNar {
  return {
    path: nar.path,
    narUrl: nar.narUrl,
    narUpload: presignedUpload(nar.narUpload),
    lsUpload: nar.lsUpload && presignedUpload(nar.lsUpload),
    debugInfoUploads: nar.debugInfoUploads.map(presignedUpload),
    bucket,
  };
}

function presignedUpload(upload: PresignedObject): PresignedUpload {
  return {
    path: upload.path,
    url: upload.url,
    compression: upload.compression,
    compressionLevel: upload.compressionLevel,
    multipart: upload.multipart,
  };
}

/**
 * Uploads that builders make themselves, with URLs that the runner signs.
 *
 * An upload belongs to the attempt it was asked for; when the attempt is over, everything that was not completed is
 * aborted.
 */
import {
  BinaryCacheError,
  type PresignedCache,
  type PresignedNarUrls,
  type PresignedObject,
} from "../../binary-cache/index.js";
import { hashesEqual } from "../../nix/path/hash.js";
import type { StorePath } from "../../nix/path/store-path.js";
import {
  type BuiltOutput,
  type MultipartPart,
  type MultipartPartsRequest,
  type PresignedNar,
  type PresignedUpload,
  type PresignedUploadComplete,
  type PresignedUrlsRequest,
  RpcError,
} from "../../rpc/index.js";
import { RunnerError } from "../errors.js";
import type { Attempt } from "../state/attempts.js";
import type { RunnerEdges } from "./edges.js";

/** What presigned uploads work with. */
export interface PresignedUploadsOptions {
  readonly uploads: Pick<RunnerEdges["uploads"], "presignedCache">;
}

/** The uploads of attempts that run. */
export class PresignedUploads {
  readonly #uploads: PresignedUploadsOptions["uploads"];
  /** An attempt stays with the bucket it began with, also when the configuration or its jobsets change. */
  readonly #caches = new WeakMap<Attempt, PresignedCache>();

  constructor({ uploads }: PresignedUploadsOptions) {
    this.#uploads = uploads;
  }

  /** URLs for those of the requested paths that the bucket lacks. */
  async mint(attempt: Attempt, requests: PresignedUrlsRequest["requests"]): Promise<readonly PresignedNar[]> {
    const cache = this.#cacheOf(attempt);
    return answering(async () => {
      const outputs = [...attempt.facts.outputs.values()].filter((path) => path !== undefined);
      const urls = await cache.presigned.urls(attempt.id, requests, { outputs });
      return urls.map((nar) => presignedNar(nar, cache.name));
    });
  }

  /** URLs for further parts of an upload. */
  async moreParts(
    attempt: Attempt,
    request: Omit<MultipartPartsRequest, "buildId" | "machineId">,
  ): Promise<readonly MultipartPart[]> {
    const cache = this.#cacheOf(attempt);
    return answering(() => cache.presigned.partUrls(attempt.id, request));
  }

  /** Resolves when the NAR is checked, and the narinfo published unless it has to wait for those of other paths. */
  async complete(
    attempt: Attempt,
    upload: Omit<PresignedUploadComplete, "buildId" | "machineId">,
  ): Promise<void> {
    const cache = this.#cacheOf(attempt);
    await answering(() => cache.presigned.complete(attempt.id, upload));
  }

  /**
   * Outputs that clients do not find in the bucket although a builder reports them as built.
   *
   * @throws RunnerError `output-mismatch`; BinaryCacheError when the bucket cannot be asked
   */
  async lacking(attempt: Attempt, outputs: ReadonlyMap<string, BuiltOutput>): Promise<readonly StorePath[]> {
    const cache = this.#caches.get(attempt) ?? this.#uploads.presignedCache(attempt);
    const lacking: StorePath[] = [];
    if (cache === undefined) return lacking;
    for (const [name, { path, narHash, narSize }] of outputs) {
      const info = await cache.narInfo(path);
      if (info === undefined) {
        lacking.push(path);
        continue;
      }
      const differs = narHash !== undefined && !hashesEqual(narHash, info.narHash);
      if (differs || narSize !== info.narSize) {
        const message = `output ${name} of ${attempt.drv} is not what ${cache.name} has`;
        throw new RunnerError("output-mismatch", message);
      }
    }
    return lacking;
  }

  /** The attempt is over: nothing will be completed any more, and what it was given is forgotten. */
  async abandon(attempt: Attempt): Promise<void> {
    await this.#caches.get(attempt)?.presigned.abandon(attempt.id);
  }

  #cacheOf(attempt: Attempt): PresignedCache {
    const cache = this.#caches.get(attempt) ?? this.#uploads.presignedCache(attempt);
    if (cache === undefined) {
      throw new RpcError("failed-precondition", "this runner has no S3 store for presigned uploads");
    }
    this.#caches.set(attempt, cache);
    return cache;
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

/** Uploads straight to the cache, with URLs that the runner signs: the whole closure, as far as the cache lacks it. */
import { setMaxListeners } from "node:events";
import type { Logger } from "../log.js";
import type { ValidPathInfo } from "../nix/path-info.js";
import type { Store } from "../nix/store.js";
import type { StorePath } from "../nix/store-path.js";
import type { PresignedNar, PresignedNarRequest } from "../rpc/types.js";
import { counted, type MutableCounters } from "./counters.js";
import { debugInfoIds } from "./debug-info-ids.js";
import { uploadPresignedNar } from "./presigned-nar.js";
import { type RunnerLink, raced } from "./runner-link.js";
import { Slots } from "./slots.js";

/** NARs in transfer, all builds together. */
const narsAtOnce = 16;
const scansAtOnce = 10;
/** Milliseconds a runner may take to look what its cache has. */
const answerTimeout = 600_000;
/** URLs that one answer may hold without getting near the limit of a message. */
const urlsPerAnswer = 20_000;
/** The least a runner cuts a NAR into. */
const smallestPart = 10 << 20;

export interface PresignedUploaderOptions {
  readonly store: Store;
  readonly link: RunnerLink;
  readonly counters: MutableCounters;
  readonly logger: Logger;
  readonly spoolDirectory: string;
}

export interface PresignedUploadJob {
  /** An order that the build answers at this moment. */
  readonly buildId: () => string;
  readonly machineId: string;
  readonly debugInfo: boolean;
  readonly signal: AbortSignal;
}

export class PresignedUploader {
  readonly #options: PresignedUploaderOptions;
  readonly #transfers = new Slots(narsAtOnce);

  constructor(options: PresignedUploaderOptions) {
    this.#options = options;
  }

  /** Resolves when the cache has all of `closure` (references first). */
  async upload(closure: readonly ValidPathInfo[], job: PresignedUploadJob): Promise<void> {
    const { store } = this.#options;
    const requests = await new Slots(scansAtOnce).map(
      closure,
      async ({ path, narHash, narSize }): Promise<PresignedNarRequest> => ({
        path,
        narHash,
        narSize,
        debugInfoBuildIds: job.debugInfo ? await debugInfoIds(store.realStoreDir, path) : [],
      }),
      job.signal,
    );
    const infos = new Map(closure.map((info) => [info.path, info]));
    for (const batch of batches(requests)) await this.#uploadBatch(batch, infos, job);
  }

  async #uploadBatch(
    requests: readonly PresignedNarRequest[],
    infos: ReadonlyMap<StorePath, ValidPathInfo>,
    job: PresignedUploadJob,
  ): Promise<void> {
    const { link, counters } = this.#options;
    const { machineId, signal } = job;
    const answers = await link.call(
      (api) =>
        api.requestPresignedUrls(
          { buildId: job.buildId(), machineId, requests },
          { signal, timeoutMs: answerTimeout },
        ),
      signal,
    );
    const targets = new Map(answers.map((answer) => [answer.path, answer]));
    const asked = new Set(requests.map((request) => request.path));
    const odd = answers.find((answer) => !asked.has(answer.path));
    if (odd !== undefined) throw new Error(`the runner wants ${odd.path}, which was not offered`);

    // The first failure ends the others too.
    const failed = new AbortController();
    const both = AbortSignal.any([signal, failed.signal]);
    setMaxListeners(0, both);
    const published = new Map<StorePath, Promise<void>>();
    for (const { path } of requests) {
      const info = infos.get(path);
      const target = targets.get(path);
      if (info === undefined || target === undefined) continue;
      const before = info.references.flatMap((reference) => published.get(reference) ?? []);
      const upload = counted(counters, "uploading", 1, () =>
        this.#uploadPath(info, target, before, { ...job, signal: both }),
      );
      upload.catch((error: unknown) => failed.abort(error));
      published.set(path, upload);
    }
    await Promise.allSettled(published.values());
    signal.throwIfAborted();
    failed.signal.throwIfAborted();
  }

  /** A narinfo is published after those of the path's references, so that the cache is closed at any moment. */
  async #uploadPath(
    info: ValidPathInfo,
    target: PresignedNar,
    before: readonly Promise<void>[],
    job: PresignedUploadJob,
  ): Promise<void> {
    const { store, link, counters, spoolDirectory } = this.#options;
    const { machineId, signal } = job;
    const { narUpload, bucket } = target;
    const uploaded = await this.#transfers.use(
      () =>
        uploadPresignedNar({
          info,
          target,
          nar: store.narFromPath(info.path, { signal }),
          spoolDirectory,
          requestParts: (startPartNumber, numParts) =>
            link.call((api) => {
              const buildId = job.buildId();
              const { path: objectKey, multipart } = narUpload;
              const uploadId = multipart?.uploadId ?? "";
              return api.requestMultipartParts(
                { buildId, machineId, objectKey, uploadId, startPartNumber, numParts, bucket },
                { signal },
              );
            }, signal),
          signal,
        }),
      signal,
    );
    await raced(Promise.all(before), signal);
    const { fileHash, fileSize, multipart, alreadyPresent } = uploaded;
    const { compression } = narUpload;
    const narInfo = { ...info, url: target.narUrl, compression, fileHash, fileSize };
    await link.call(
      (api) =>
        api.notifyPresignedUploadComplete(
          {
            buildId: job.buildId(),
            machineId,
            narInfo,
            multipart,
            narAlreadyPresent: alreadyPresent,
            bucket,
          },
          { signal },
        ),
      signal,
    );
    counters.pathsUploaded++;
    counters.bytesUploaded += info.narSize;
  }
}

/** Cuts a large closure into several questions, in order. */
function* batches(requests: readonly PresignedNarRequest[]): Generator<readonly PresignedNarRequest[]> {
  let batch: PresignedNarRequest[] = [];
  let urls = 0;
  for (const request of requests) {
    const own =
      4 + request.debugInfoBuildIds.length + Math.min(10_000, (1.2 * request.narSize) / smallestPart);
    if (batch.length > 0 && urls + own > urlsPerAnswer) {
      yield batch;
      batch = [];
      urls = 0;
    }
    batch.push(request);
    urls += own;
  }
  if (batch.length > 0) yield batch;
}

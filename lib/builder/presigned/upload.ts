/** Uploads straight to the cache, with URLs that the runner signs: the whole closure, as far as the cache lacks it. */

import { setMaxListeners } from "node:events";
import { mapLimited, type Retryability, retry, Semaphore, withSignal } from "../../async/index.js";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";
import type { Store } from "../../nix/store/store.js";
import { RpcError, type RpcStatus } from "../../rpc/index.js";
import type { PresignedNar, PresignedNarRequest, RunnerApi } from "../../rpc/types.js";
import type { RunnerLink } from "../connection/runner-link.js";
import { counted, type MutableCounters } from "../counters.js";
import { debugInfoIds } from "./debug-info-ids.js";
import { uploadPresignedNar } from "./nar-upload.js";
import { PresignedTarget, UploadLostError } from "./target.js";
import { type UploadRetries, uploadRetryOptions, usualUploadRetries } from "./upload-retries.js";

/** NARs in transfer, all builds together. */
const narsAtOnce = 16;
const scansAtOnce = 10;
/** Milliseconds a runner may take to look what its cache has. */
const answerTimeout = 600_000;
/** How often the upload of one path may be begun. */
const beginnings = 3;
/** URLs that one answer may hold without getting near the limit of a message. */
const urlsPerAnswer = 20_000;
/** The least a runner cuts a NAR into. */
const smallestPart = 10 << 20;

/** What uploads work with. */
export interface PresignedUploaderOptions {
  readonly store: Store;
  readonly link: RunnerLink;
  readonly counters: MutableCounters;
  readonly logger: Logger;
  readonly spoolDirectory: string;
  /** How long an outage of the bucket or the runner is waited for. Default: 20 minutes. */
  readonly retries?: UploadRetries | undefined;
}

/** The build whose outputs are uploaded. `debugInfo`: look for debug information to be linked. */
export interface PresignedUploadJob {
  /** An order that the build answers at this moment. */
  readonly buildId: () => string;
  readonly machineId: string;
  readonly debugInfo: boolean;
  readonly signal: AbortSignal;
}

interface PathUpload {
  readonly info: ValidPathInfo;
  readonly request: PresignedNarRequest;
  /** Those of its references. */
  readonly before: readonly Promise<void>[];
  readonly job: PresignedUploadJob;
}

/** Uploads for all builds of a builder, at most 16 NARs at once. */
export class PresignedUploader {
  readonly #options: PresignedUploaderOptions;
  readonly #transfers = new Semaphore(narsAtOnce);

  constructor(options: PresignedUploaderOptions) {
    this.#options = options;
  }

  /** Resolves when the cache has all of `closure` (references first). */
  async upload(closure: readonly ValidPathInfo[], job: PresignedUploadJob): Promise<void> {
    const { store } = this.#options;
    const requests = await mapLimited(
      closure,
      scansAtOnce,
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
    const { counters } = this.#options;
    const { signal } = job;
    const targets = await this.#ask(requests, job);

    // The first failure ends the others too.
    const failed = new AbortController();
    const both = AbortSignal.any([signal, failed.signal]);
    setMaxListeners(0, both);
    const published = new Map<StorePath, Promise<void>>();
    for (const request of requests) {
      const info = infos.get(request.path);
      const target = targets.get(request.path);
      if (info === undefined || target === undefined) continue;
      const before = info.references.flatMap((reference) => published.get(reference) ?? []);
      const upload = counted(counters, "uploading", 1, () =>
        this.#uploadPath({ info, request, before, job: { ...job, signal: both } }, target),
      );
      upload.catch((error: unknown) => failed.abort(error));
      published.set(request.path, upload);
    }
    await Promise.allSettled(published.values());
    signal.throwIfAborted();
    failed.signal.throwIfAborted();
  }

  /** URLs for what the cache lacks. */
  async #ask(
    requests: readonly PresignedNarRequest[],
    job: PresignedUploadJob,
  ): Promise<Map<StorePath, PresignedNar>> {
    const { machineId, signal } = job;
    const answers = await this.#call(
      (api) =>
        api.requestPresignedUrls(
          { buildId: job.buildId(), machineId, requests },
          { signal, timeoutMs: answerTimeout },
        ),
      signal,
    );
    const asked = new Set(requests.map((request) => request.path));
    const odd = answers.find((answer) => !asked.has(answer.path));
    if (odd !== undefined) throw new Error(`the runner wants ${odd.path}, which was not offered`);
    return new Map(answers.map((answer) => [answer.path, answer]));
  }

  /** An upload that got lost (a runner without memory of it, a bucket that swept it) is begun again. */
  async #uploadPath(upload: PathUpload, first: PresignedNar): Promise<void> {
    const { request, job } = upload;
    let target: PresignedNar | undefined = first;
    for (let begun = 1; target !== undefined; begun++) {
      try {
        await this.#uploadOnce(upload, target);
        return;
      } catch (error) {
        job.signal.throwIfAborted();
        if (!(error instanceof UploadLostError) || begun >= beginnings) throw error;
        this.#options.logger.warn("an upload is begun again", { path: request.path, error });
        target = (await this.#ask([request], job)).get(request.path);
      }
    }
  }

  /** A narinfo is published after those of the path's references, so that the cache is closed at any moment. */
  async #uploadOnce({ info, request, before, job }: PathUpload, nar: PresignedNar): Promise<void> {
    const { store, counters, spoolDirectory, retries } = this.#options;
    const { machineId, signal } = job;
    const { narUpload, bucket } = nar;
    const target = new PresignedTarget(nar, {
      again: async () => (await this.#ask([request], job)).get(request.path),
      parts: (startPartNumber, numParts) =>
        this.#call((api) => {
          const { path: objectKey, multipart } = narUpload;
          const uploadId = multipart?.uploadId ?? "";
          return api.requestMultipartParts(
            { buildId: job.buildId(), machineId, objectKey, uploadId, startPartNumber, numParts, bucket },
            { signal },
          );
        }, signal).catch(unknownToRunner),
    });
    const uploaded = await this.#transfers.run(
      () =>
        uploadPresignedNar({
          info,
          target,
          nar: store.narFromPath(info.path, { signal, pieces: "lent" }),
          spoolDirectory,
          retries,
          signal,
        }),
      signal,
    );
    await withSignal(Promise.all(before), signal);
    const { fileHash, fileSize, multipart, alreadyPresent } = uploaded;
    const { compression } = narUpload;
    const narInfo = { ...info, url: nar.narUrl, compression, fileHash, fileSize };
    await this.#call(
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
    ).catch(unknownToRunner);
    counters.pathsUploaded++;
    counters.bytesUploaded += info.narSize;
  }

  /** The runner needs the bucket for its answers, so an outage of the bucket shows here, too. */
  #call<T>(work: (api: RunnerApi) => Promise<T>, signal: AbortSignal): Promise<T> {
    const { link, retries = usualUploadRetries } = this.#options;
    return retry(() => link.call(work, signal), uploadRetryOptions(retries, retryabilityOfCall, signal));
  }
}

const outage: ReadonlySet<RpcStatus> = new Set(["unavailable", "resource-exhausted", "deadline-exceeded"]);
/** Runners of the other kind answer almost everything like this. */
const accident: ReadonlySet<RpcStatus> = new Set(["internal", "unknown", "aborted"]);

function retryabilityOfCall(error: unknown): Retryability {
  if (!(error instanceof RpcError)) return "final";
  if (outage.has(error.code)) return "passing";
  return accident.has(error.code) ? "doubtful" : "final";
}

/** A restarted runner knows our build again, but not the URLs it had signed for it. */
function unknownToRunner(error: unknown): never {
  const forgotten =
    error instanceof RpcError && (error.code === "failed-precondition" || error.code === "not-found");
  if (!forgotten) throw error;
  throw new UploadLostError("the runner does not know the upload", { cause: error });
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

/** What a job of the upload queue is made of: from our store, or from another cache, into one cache. */
import { type FileHandle, open } from "node:fs/promises";
import { decompress, unlimitedOutput } from "../../compression/index.js";
import { isImpossibleName, isSystemError } from "../../errors.js";
import type { Logger } from "../../log.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { ValidPathInfo } from "../../nix/store/path-info.js";
import type { BinaryCache, OpenNar } from "../cache/binary-cache.js";
import { BinaryCacheError } from "../errors.js";
import { type LogUpload, logForms, type UploadJob } from "./upload-journal.js";

/** The store that paths are uploaded from. */
export interface UploadSource {
  /** Everything reachable from `paths`, references first; paths that are not valid are left out. */
  readonly closure: (paths: readonly StorePath[], signal: AbortSignal) => Promise<readonly ValidPathInfo[]>;
  readonly openNar: OpenNar;
}

/** What a cache lacked. */
export interface Written {
  readonly paths: readonly StorePath[];
  /** Of these paths as NARs; undefined when they came from another cache. */
  readonly narBytes: number | undefined;
}

/** Does the whole of a job to one cache; what is there already is skipped. */
export type IntoCache = (cache: BinaryCache) => Promise<Written>;

/** What a job is done with: our store, and all caches, of which one may be the source. */
export interface UploadWorkOptions {
  readonly store: UploadSource;
  readonly caches: readonly BinaryCache[];
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** @throws BinaryCacheError `invalid-path` when a path is not in our store, `missing` when the cache is not configured */
export async function prepareUpload(job: UploadJob, options: UploadWorkOptions): Promise<IntoCache> {
  return job.from === undefined ? fromStore(job, options) : fromCache(job, job.from, options);
}

/** Whether retrying cannot help. */
export function isHopeless(job: UploadJob, error: unknown): boolean {
  if (isImpossibleName(error)) return true;
  if (!(error instanceof BinaryCacheError)) return false;
  const { code } = error;
  return code === "mismatch" || code === "invalid-path" || (job.from !== undefined && code === "missing");
}

async function fromStore(job: UploadJob, { store, logger, signal }: UploadWorkOptions): Promise<IntoCache> {
  const closure = await store.closure(job.paths, signal);
  const valid = new Set(closure.map(({ path }) => path));
  const lost = job.paths.filter((path) => !valid.has(path));
  if (lost.length > 0) {
    throw new BinaryCacheError("invalid-path", `cannot upload ${lost.join(", ")}: no longer in the store`);
  }
  return async (cache) => {
    const logged = job.log === undefined ? undefined : putJobLog(cache, job.log, { logger, signal });
    const uploading = cache.uploadClosure(closure, store.openNar, { signal });
    // Neither goes on once this one is over.
    await Promise.allSettled([logged, uploading]);
    await logged;
    const { uploaded } = await uploading;
    await putRealisations(cache, job, signal);
    const written = new Set(uploaded);
    const narBytes = closure.reduce((sum, { path, narSize }) => sum + (written.has(path) ? narSize : 0), 0);
    return { paths: uploaded, narBytes };
  };
}

/** A log that is not there, or that can never be written, does not keep the outputs out. */
async function putJobLog(
  cache: BinaryCache,
  log: LogUpload,
  { logger, signal }: Pick<UploadWorkOptions, "logger" | "signal">,
): Promise<void> {
  const { drv, file } = log;
  try {
    const found = await putLog(cache, log, signal);
    if (!found) logger.warn("the log to upload does not exist", { drv, file });
  } catch (error) {
    if (!isImpossibleName(error)) throw error;
    logger.error("a log cannot be uploaded", { drv, cache: cache.name, error });
  }
}

async function fromCache(
  job: UploadJob,
  from: NonNullable<UploadJob["from"]>,
  { caches, signal }: UploadWorkOptions,
): Promise<IntoCache> {
  const source = caches.find(({ name }) => name === from.cache);
  if (source === undefined) {
    throw new BinaryCacheError("missing", `the binary cache ${from.cache} is no longer configured`, {
      store: from.cache,
    });
  }
  return async (cache) => {
    const log = from.drv === undefined ? undefined : await source.openLog(from.drv, { signal });
    if (from.drv !== undefined && log !== undefined) await cache.putLog(from.drv, log, { signal });
    const { copied } = await cache.copyClosure(source, job.paths, { signal });
    await putRealisations(cache, job, signal);
    return { paths: copied, narBytes: undefined };
  };
}

async function putRealisations(cache: BinaryCache, job: UploadJob, signal: AbortSignal): Promise<void> {
  for (const realisation of job.realisations ?? []) await cache.putRealisation(realisation, { signal });
}

/** False when the log does not exist in any form. */
async function putLog(cache: BinaryCache, log: LogUpload, signal: AbortSignal): Promise<boolean> {
  const { drv, attempt } = log;
  for (const { suffix, method } of logForms) {
    const file = await openIfThere(log.file + suffix);
    if (file === undefined) continue;
    try {
      signal.throwIfAborted();
      const plain = contentsOf(file);
      // A file of our own, read in constant memory.
      const text =
        method === "none" ? plain : decompress(plain, { method, maxOutput: unlimitedOutput, signal });
      await cache.putLog(drv, text, { signal, attempt });
      return true;
    } finally {
      await file.close();
    }
  }
  return false;
}

const pieceBytes = 65_536;

/** A log is mostly small: a stream of Node's costs more than reading it. */
async function* contentsOf(file: FileHandle): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(pieceBytes), 0, pieceBytes);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path);
  } catch (error) {
    if (isSystemError(error) && error.code === "ENOENT") return undefined;
    throw error;
  }
}

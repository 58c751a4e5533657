/**
 * Uploads that are still to be done, one small file each, so that a crash loses none.
 *
 * A log is held by a link of its own: the next try of the derivation may move or compress the original at any time.
 */
import { copyFile, link, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../log.js";
import { isStorePath, type StorePath, storePathNameFault } from "../nix/store-path.js";

export interface LogUpload {
  readonly drv: StorePath;
  /** Path of the plain log; it may also be there with the ending of a compression. */
  readonly file: string;
  /** Given for a try that decided nothing; its log gets a name of its own. A part of an object's name. */
  readonly attempt?: string | undefined;
}

/** What may stand at the end of a log's name: whoever finishes a log may compress it in place at any time. */
export const logForms = [
  { suffix: "", method: "none" },
  { suffix: ".zst", method: "zstd" },
  { suffix: ".bz2", method: "bzip2" },
] as const;

export interface UploadRequest {
  /** With their closures. */
  readonly paths: readonly StorePath[];
  /** The log of a derivation; one that is not there is left out. */
  readonly log?: LogUpload | undefined;
  readonly realisations?:
    | readonly { readonly drvPath: StorePath; readonly outputName: string; readonly outPath: StorePath }[]
    | undefined;
  /** Names of the caches; undefined is all that are configured at the time. */
  readonly caches?: readonly string[] | undefined;
}

export interface UploadJob extends UploadRequest {
  readonly id: string;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isPath(value: unknown): value is StorePath {
  return typeof value === "string" && isStorePath(value);
}

function readLog(json: unknown): LogUpload | undefined {
  if (!isObject(json) || !isPath(json.drv) || typeof json.file !== "string") return undefined;
  const { drv, file, attempt } = json;
  return { drv, file, ...(typeof attempt === "string" && { attempt }) };
}

function readJob(id: string, text: string): UploadJob | undefined {
  const json: unknown = JSON.parse(text);
  if (!isObject(json) || !Array.isArray(json.paths) || !json.paths.every(isPath)) return undefined;
  const { caches } = json;
  const log = readLog(json.log);
  const realisations: unknown[] = Array.isArray(json.realisations) ? json.realisations : [];
  return {
    id,
    paths: json.paths,
    ...(log === undefined ? {} : { log }),
    realisations: realisations.flatMap((item) => {
      if (!isObject(item)) return [];
      const { drvPath, outputName, outPath } = item;
      if (!isPath(drvPath) || !isPath(outPath) || typeof outputName !== "string") return [];
      return storePathNameFault(outputName) === undefined ? [{ drvPath, outputName, outPath }] : [];
    }),
    ...(Array.isArray(caches)
      ? { caches: caches.filter((name): name is string => typeof name === "string") }
      : {}),
  };
}

export class UploadJournal {
  readonly #folder: string;
  readonly #logger: Logger;
  #next = 1;

  constructor(folder: string, logger: Logger) {
    this.#folder = folder;
    this.#logger = logger;
  }

  /** What an earlier process left, oldest first. A file that cannot be read is put aside, not deleted. */
  async load(): Promise<UploadJob[]> {
    await mkdir(this.#folder, { recursive: true });
    const jobs: UploadJob[] = [];
    const names = (await readdir(this.#folder)).sort();
    for (const name of names) {
      const id = /^(\d{12})\.json$/.exec(name)?.[1];
      const logOf = /^(\d{12})\.log/.exec(name)?.[1];
      const useless = logOf !== undefined && !names.includes(`${logOf}.json`);
      if (name.endsWith(".tmp") || useless) await rm(join(this.#folder, name), { force: true });
      if (id === undefined) continue;
      this.#next = Math.max(this.#next, Number(id) + 1);
      const file = join(this.#folder, name);
      let job: UploadJob | undefined;
      try {
        job = readJob(id, await readFile(file, "utf8"));
      } catch (error) {
        this.#logger.warn("an entry of the upload journal cannot be read", { file, error });
      }
      if (job !== undefined) jobs.push(job);
      else await rename(file, `${file}.bad`);
    }
    return jobs;
  }

  /** Resolves when the job is on the disk. */
  async add(request: UploadRequest): Promise<UploadJob> {
    const id = String(this.#next++).padStart(12, "0");
    const job = await this.#withLog(id, request);
    const target = join(this.#folder, `${id}.json`);
    const temporary = `${target}.tmp`;
    const file = await open(temporary, "w", 0o600);
    try {
      await file.writeFile(JSON.stringify(job));
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
    return { ...job, id };
  }

  async remove(job: UploadJob): Promise<void> {
    await rm(join(this.#folder, `${job.id}.json`), { force: true });
    for (const { suffix } of logForms) await rm(this.#logOf(job.id) + suffix, { force: true });
  }

  #logOf(id: string): string {
    return join(this.#folder, `${id}.log`);
  }

  /** The request, with a log that nobody else moves. */
  async #withLog(id: string, request: UploadRequest): Promise<UploadRequest> {
    const { log } = request;
    if (log === undefined) return request;
    const held = this.#logOf(id);
    for (const { suffix } of logForms) {
      if (await linked(log.file + suffix, held + suffix)) return { ...request, log: { ...log, file: held } };
    }
    return request;
  }
}

/** A second name for a file, or a copy where names cannot be shared; false when there is no such file. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") throw error;
      await copyFile(from, to);
    });
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}

/**
 * Uploads that are still to be done, in one file that grows by a line for each job and another when it is done, so that
 * a crash loses none. What is added at the same time shares one wait for the disk.
 *
 * The log of a try that decided nothing is held by a link of its own: the next try moves the original away.
 */
import { appendFile, copyFile, link, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isSystemError } from "../../errors.js";
import { LineFile } from "../../line-file.js";
import type { Logger } from "../../log.js";
import { isStorePath, type StorePath, storePathNameFault } from "../../nix/path/store-path.js";

/** A log to upload with a job. */
export interface LogUpload {
  readonly drv: StorePath;
  /** Path of the plain log; it may also be there with the ending of a compression. */
  readonly file: string;
  /** Given for a try that decided nothing; its log gets a name of its own. A part of an object's name. */
  readonly attempt?: string | undefined;
}

/** Suffixes of a log's name: a finished log may be compressed in place at any time, by us or by `hydra-notify`. */
export const logForms = [
  { suffix: "", method: "none" },
  { suffix: ".zst", method: "zstd" },
  { suffix: ".bz2", method: "bzip2" },
] as const;

/** What is to be uploaded, and into which caches. */
export interface UploadRequest {
  /** With their closures. */
  readonly paths: readonly StorePath[];
  /** The log of a derivation; one that is not there is left out. */
  readonly log?: LogUpload | undefined;
  readonly realisations?:
    | readonly { readonly drvPath: StorePath; readonly outputName: string; readonly outPath: StorePath }[]
    | undefined;
  /** The cache (by its name) to take the paths, and the log of `drv`, from; undefined is our store. */
  readonly from?: { readonly cache: string; readonly drv?: StorePath | undefined } | undefined;
  /** Names of the caches; undefined is all that are configured at the time. */
  readonly caches?: readonly string[] | undefined;
}

/** A request that is in the journal. `id` is unique within the journal. */
export interface UploadJob extends UploadRequest {
  readonly id: string;
  /** When it was put into the journal, in milliseconds since the epoch. */
  readonly addedAt: number;
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

function readFrom(json: unknown): UploadRequest["from"] {
  if (!isObject(json) || typeof json.cache !== "string") return undefined;
  return { cache: json.cache, ...(isPath(json.drv) && { drv: json.drv }) };
}

function readJob(id: string, addedAt: number, json: unknown): UploadJob | undefined {
  if (!isObject(json) || !Array.isArray(json.paths) || !json.paths.every(isPath)) return undefined;
  const { caches } = json;
  const log = readLog(json.log);
  const from = readFrom(json.from);
  const realisations: unknown[] = Array.isArray(json.realisations) ? json.realisations : [];
  return {
    id,
    addedAt,
    paths: json.paths,
    ...(log === undefined ? {} : { log }),
    ...(from === undefined ? {} : { from }),
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

type Line = { readonly id: string; readonly job: UploadJob } | { readonly done: string };

/** @throws SyntaxError when it is not JSON */
function readLine(text: string): Line | undefined {
  const json: unknown = JSON.parse(text);
  if (!isObject(json)) return undefined;
  if (typeof json.done === "string") return { done: json.done };
  if (typeof json.id !== "string" || !/^\d{12}$/.test(json.id)) return undefined;
  // Lines of earlier versions have no time.
  const addedAt = typeof json.at === "number" && json.at > 0 ? json.at : Date.now();
  const job = readJob(json.id, addedAt, json.job);
  return job === undefined ? undefined : { id: json.id, job };
}

/** Bytes of lines about jobs that are done, after which the file is rewritten. */
const muchWaste = 1 << 20;

/** Where the jobs of one upload queue are until they are done. */
export interface JobJournal {
  /** What an earlier process left, oldest first. */
  load(): Promise<UploadJob[]>;
  /** Resolves when the job cannot be lost any more. */
  add(request: UploadRequest): Promise<UploadJob>;
  /** The job is done. */
  remove(job: UploadJob): Promise<void>;
  /** What is in it stays. */
  close(): Promise<void>;
}

/** The jobs of one upload queue on disk, in `journal.jsonl` of a folder; one process at a time may use it. */
export class UploadJournal implements JobJournal {
  readonly #folder: string;
  readonly #logger: Logger;
  readonly #file: LineFile;
  readonly #jobs = new Map<string, string>();
  /** Characters of the lines that matter. */
  #live = 0;
  #next = 1;

  constructor(folder: string, logger: Logger) {
    this.#folder = folder;
    this.#logger = logger;
    this.#file = new LineFile(join(folder, "journal.jsonl"));
  }

  /** What an earlier process left, oldest first. A line that cannot be read is put aside, not deleted. */
  async load(): Promise<UploadJob[]> {
    await mkdir(this.#folder, { recursive: true });
    const jobs = new Map<string, UploadJob>();
    const bad: string[] = [];
    for (const text of await this.#file.load()) {
      try {
        const line = readLine(text);
        if (line === undefined) bad.push(text);
        else if ("done" in line) jobs.delete(line.done);
        else {
          jobs.set(line.id, line.job);
          this.#next = Math.max(this.#next, Number(line.id) + 1);
        }
      } catch {
        bad.push(text);
      }
    }
    if (bad.length > 0) await this.#putAside(bad);
    for (const { id, addedAt, ...request } of jobs.values()) this.#keep(id, addedAt, request);
    await this.#file.replace([...this.#jobs.values()]);
    await this.#dropUselessLogs();
    return [...jobs.values()];
  }

  /** Resolves when the job is on the disk. */
  async add(request: UploadRequest): Promise<UploadJob> {
    const id = String(this.#next++).padStart(12, "0");
    const addedAt = Date.now();
    const job = await this.#withLog(id, request);
    try {
      await this.#file.append(this.#keep(id, addedAt, job), { durable: true });
    } catch (error) {
      this.#forget(id);
      throw error;
    }
    return { ...job, id, addedAt };
  }

  /** After a crash a job that was done may be done again, so nothing waits for the disk here. */
  async remove(job: UploadJob): Promise<void> {
    this.#forget(job.id);
    if (job.log?.file === this.#logOf(job.id)) await this.#removeLog(job.id);
    if (this.#jobs.size === 0) await this.#file.replace([]);
    else if (this.#file.size > muchWaste + 4 * this.#live) await this.#file.replace(this.#jobs.values());
    else await this.#file.append(JSON.stringify({ done: job.id }), { durable: false });
  }

  /** Ends the use of the file; what is in it stays. */
  async close(): Promise<void> {
    await this.#file.close();
  }

  /** Returns the line of the job. */
  #keep(id: string, at: number, job: UploadRequest): string {
    const line = JSON.stringify({ id, at, job });
    this.#jobs.set(id, line);
    this.#live += line.length;
    return line;
  }

  #forget(id: string): void {
    this.#live -= this.#jobs.get(id)?.length ?? 0;
    this.#jobs.delete(id);
  }

  #logOf(id: string): string {
    return join(this.#folder, `${id}.log`);
  }

  /** The request, with a log that the next try does not move away. */
  async #withLog(id: string, request: UploadRequest): Promise<UploadRequest> {
    const { log } = request;
    if (log?.attempt === undefined) return request;
    const held = this.#logOf(id);
    for (const { suffix } of logForms) {
      if (await linked(log.file + suffix, held + suffix)) return { ...request, log: { ...log, file: held } };
    }
    return request;
  }

  async #removeLog(id: string): Promise<void> {
    for (const { suffix } of logForms) await rm(this.#logOf(id) + suffix, { force: true });
  }

  async #dropUselessLogs(): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      const id = /^(\d{12})\.log/.exec(name)?.[1];
      if (id !== undefined && !this.#jobs.has(id)) await rm(join(this.#folder, name), { force: true });
    }
  }

  async #putAside(lines: readonly string[]): Promise<void> {
    const file = join(this.#folder, "unreadable.jsonl");
    this.#logger.warn("lines of the upload journal cannot be read and are put aside", {
      file,
      lines: lines.length,
    });
    await appendFile(file, lines.map((line) => `${line}\n`).join(""), { mode: 0o600 });
  }
}

/** A second name for a file, or a copy where names cannot be shared; false when the file does not exist. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") throw error;
      await copyFile(from, to);
    });
    return true;
  } catch (error) {
    if (isSystemError(error) && error.code === "ENOENT") return false;
    throw error;
  }
}

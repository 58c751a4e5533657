/** Uploads that are still to be done, one small file each, so that a crash loses none. */
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../log.js";
import { isStorePath, type StorePath, storePathNameFault } from "../nix/store-path.js";

export interface UploadRequest {
  /** With their closures. */
  readonly paths: readonly StorePath[];
  /** The log of a derivation, from a file; one that is not there is left out. */
  readonly log?: { readonly drv: StorePath; readonly file: string } | undefined;
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

function readJob(id: string, text: string): UploadJob | undefined {
  const json: unknown = JSON.parse(text);
  if (!isObject(json) || !Array.isArray(json.paths) || !json.paths.every(isPath)) return undefined;
  const { log, caches } = json;
  const realisations: unknown[] = Array.isArray(json.realisations) ? json.realisations : [];
  return {
    id,
    paths: json.paths,
    ...(isObject(log) && isPath(log.drv) && typeof log.file === "string"
      ? { log: { drv: log.drv, file: log.file } }
      : {}),
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
    for (const name of (await readdir(this.#folder)).sort()) {
      const id = /^(\d{12})\.json$/.exec(name)?.[1];
      if (name.endsWith(".tmp")) await rm(join(this.#folder, name), { force: true });
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
    const target = join(this.#folder, `${id}.json`);
    const temporary = `${target}.tmp`;
    const file = await open(temporary, "w", 0o600);
    try {
      await file.writeFile(JSON.stringify(request));
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(temporary, target);
    return { ...request, id };
  }

  async remove(job: UploadJob): Promise<void> {
    await rm(join(this.#folder, `${job.id}.json`), { force: true });
  }
}

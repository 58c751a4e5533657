/**
 * Narinfos of uploads that are complete while their attempts are not, in files below the data folder: a builder that
 * comes back to the next runner has uploaded already.
 *
 * One file for each attempt, one line for each path. Without a file a builder's success is not believed and the step is
 * built again, so an error is logged and not more.
 */
import { createHash } from "node:crypto";
import { appendFile, mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { isSystemError } from "../../../errors.js";
import type { Logger } from "../../../log.js";
import { type NarInfo, parseNarInfo, printNarInfo } from "../../../nix/cache/nar-info.js";
import type { StoreDir } from "../../../nix/path/store-path.js";
import type { AttemptId } from "../../../scheduler/ids.js";

/** Keeps what was uploaded for attempts that have not reported yet. No method throws. */
export interface HeldNarInfoMemory {
  /** Resolves when a later runner would know it, or cannot. */
  save(attempt: AttemptId, cache: string, info: NarInfo): Promise<void>;
  /** What was saved for an attempt and a cache. */
  load(attempt: AttemptId, cache: string): Promise<readonly NarInfo[]>;
  forget(attempt: AttemptId): Promise<void>;
}

/** For runners without a later one. */
export const noHeldNarInfos: HeldNarInfoMemory = {
  save: () => Promise.resolve(),
  load: () => Promise.resolve([]),
  forget: () => Promise.resolve(),
};

/** No builder comes back so late. Milliseconds. */
const staleAfterMs = 24 * 3_600_000;

/** Where the files are. */
export interface HeldNarInfosOptions {
  readonly folder: string;
  readonly storeDir: StoreDir;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** The files. */
export class HeldNarInfos implements HeldNarInfoMemory {
  readonly #options: HeldNarInfosOptions;
  #opened: Promise<void> | undefined;

  constructor(options: HeldNarInfosOptions) {
    this.#options = options;
  }

  async save(attempt: AttemptId, cache: string, info: NarInfo): Promise<void> {
    const line = JSON.stringify({ cache, narInfo: printNarInfo(this.#options.storeDir, info) });
    try {
      this.#opened ??= this.#open();
      await this.#opened;
      // A line that a full disk cut short must not spoil the next.
      await appendFile(this.#fileOf(attempt), `\n${line}`, { mode: 0o600 });
    } catch (error) {
      this.#opened = undefined;
      this.#options.logger.warn("a finished upload could not be noted for a later runner", {
        path: info.path,
        error,
      });
    }
  }

  async load(attempt: AttemptId, cache: string): Promise<readonly NarInfo[]> {
    const { storeDir, logger } = this.#options;
    try {
      const text = await readFile(this.#fileOf(attempt), "utf8");
      const infos = text.split("\n").flatMap((line) => parseLine(storeDir, line, cache) ?? []);
      return [...new Map(infos.map((info) => [info.path, info])).values()];
    } catch (error) {
      if (!isAbsence(error)) logger.warn("finished uploads of an earlier runner cannot be read", { error });
      return [];
    }
  }

  async forget(attempt: AttemptId): Promise<void> {
    await rm(this.#fileOf(attempt), { force: true }).catch(() => undefined);
  }

  /** The identifier is a secret, so it is not used as a file name. */
  #fileOf(attempt: AttemptId): string {
    return join(this.#options.folder, createHash("sha256").update(attempt).digest("hex"));
  }

  /** Makes the folder, and removes what earlier runners left long ago. */
  async #open(): Promise<void> {
    const { folder, now } = this.#options;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(folder)) {
      const file = join(folder, name);
      const { mtimeMs } = await stat(file).catch(() => ({ mtimeMs: now() }));
      if (mtimeMs < now() - staleAfterMs) await rm(file, { force: true });
    }
  }
}

function parseLine(storeDir: StoreDir, line: string, cache: string): NarInfo | undefined {
  if (line === "") return undefined;
  try {
    const entry: unknown = JSON.parse(line);
    if (typeof entry !== "object" || entry === null || !("cache" in entry) || !("narInfo" in entry)) return;
    if (entry.cache !== cache || typeof entry.narInfo !== "string") return undefined;
    return parseNarInfo(storeDir, entry.narInfo);
  } catch {
    return undefined;
  }
}

function isAbsence(error: unknown): boolean {
  return isSystemError(error) && error.code === "ENOENT";
}

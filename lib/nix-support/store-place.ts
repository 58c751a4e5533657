/**
 * The physical files of a store, looked into without ever leaving it.
 *
 * Symbolic links are followed by hand, in terms of the logical store: where a store has a root of its own, links name
 * files by paths that do not exist (or, worse, are those of another store) outside of it.
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, lstat, open, readlink } from "node:fs/promises";
import { join } from "node:path";
import type { StoreDir } from "../nix/path/store-path.js";

const mostLinks = 40;
/** As long as paths can be on Linux. */
const mostComponents = 4096;

export interface FileContents {
  readonly fileSize: number;
  /** 64 lower-case hex digits; undefined when reading broke off. */
  readonly sha256: string | undefined;
}

export class StorePlace {
  readonly #storeDir: StoreDir;
  readonly #realStoreDir: string;
  readonly #signal: AbortSignal | undefined;

  constructor(storeDir: StoreDir, realStoreDir: string, signal?: AbortSignal) {
    this.#storeDir = storeDir;
    this.#realStoreDir = realStoreDir;
    this.#signal = signal;
  }

  /** The physical file that a path relative to the store leads to; undefined when there is none in the store. */
  async resolve(relative: string): Promise<string | undefined> {
    const ahead = components(relative);
    const behind: string[] = [];
    let links = 0;
    for (let part = ahead.pop(); part !== undefined; part = ahead.pop()) {
      if (part === "..") {
        if (behind.pop() === undefined) return undefined;
        continue;
      }
      behind.push(part);
      const path = join(this.#realStoreDir, ...behind);
      const facts = await lstat(path).catch(() => undefined);
      if (facts === undefined) return undefined;
      if (!facts.isSymbolicLink()) {
        // More name behind a file is a path that does not exist, also when it is "..".
        if (!facts.isDirectory() && ahead.length > 0) return undefined;
        continue;
      }
      const target = await readlink(path).catch(() => undefined);
      if (target === undefined || ++links > mostLinks) return undefined;
      behind.pop();
      const inside = target.startsWith("/") ? this.#inside(target) : target;
      if (inside === undefined) return undefined;
      if (target.startsWith("/")) behind.length = 0;
      ahead.push(...components(inside));
      if (ahead.length + behind.length > mostComponents) return undefined;
    }
    return behind.length === 0 ? undefined : join(this.#realStoreDir, ...behind);
  }

  /** An absolute path relative to the store. */
  #inside(path: string): string | undefined {
    return path.startsWith(`${this.#storeDir}/`) ? path.slice(this.#storeDir.length + 1) : undefined;
  }

  /** The text of a regular file; undefined when it is none, larger than `limit` bytes, or not UTF-8. */
  async readText(relative: string, limit: number): Promise<string | undefined> {
    const path = await this.resolve(relative);
    if (path === undefined) return undefined;
    return await withRegularFile(path, async (file, size) => {
      if (size > limit) return undefined;
      const bytes = Buffer.alloc(size);
      let filled = 0;
      while (filled < size) {
        const { bytesRead } = await file.read(bytes, filled, size - filled, filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, filled));
    });
  }

  /** Size and hash of a physical file that `resolve` gave; undefined when it is not a regular one. */
  async hash(path: string): Promise<FileContents | undefined> {
    const contents = await withRegularFile(path, async (file, size): Promise<FileContents> => {
      const hash = createHash("sha256");
      try {
        for await (const chunk of file.createReadStream({ autoClose: false, highWaterMark: 1 << 18 })) {
          if (this.#signal?.aborted === true) break;
          hash.update(chunk as Uint8Array);
        }
      } catch {
        return { fileSize: size, sha256: undefined };
      }
      return { fileSize: size, sha256: hash.digest("hex") };
    });
    this.#signal?.throwIfAborted();
    return contents;
  }
}

/** The parts of a path, last one first. */
function components(path: string): string[] {
  return path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .reverse();
}

/** Opens without waiting for the other end of a pipe, and looks at what was opened rather than at the name. */
async function withRegularFile<T>(
  path: string,
  use: (file: FileHandle, size: number) => Promise<T>,
): Promise<T | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    const facts = await file.stat();
    return facts.isFile() ? await use(file, facts.size) : undefined;
  } catch {
    return undefined;
  } finally {
    await file?.close().catch(() => undefined);
  }
}

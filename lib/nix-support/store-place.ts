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
import { whenThereIsRoom } from "../async/index.js";
import { isLackOfDescriptors } from "../errors.js";
import type { StoreDir } from "../nix/path/store-path.js";

const mostLinks = 40;
/** As long as paths can be on Linux. */
const mostComponents = 4096;
/** Path components that one place looks at in all: ten thousand products below 25 folders. */
const mostLooks = 250_000;

/** Size and hash of a regular file. */
export interface FileContents {
  /** Bytes. */
  readonly fileSize: number;
  /** 64 lower-case hex digits; undefined when the file could not be read to its end. */
  readonly sha256: string | undefined;
}

/** The bytes of a small file, or why there are none. */
export type SmallFile =
  | { readonly kind: "bytes"; readonly bytes: Buffer }
  | { readonly kind: "absent" }
  | { readonly kind: "unusable"; readonly reason: string };

/**
 * Looks up files for one output. Answers are remembered, so that a file that many product lines name is resolved and
 * hashed once; a store path that is valid does not change.
 */
export class StorePlace {
  readonly #storeDir: StoreDir;
  readonly #realStoreDir: string;
  readonly #signal: AbortSignal | undefined;
  readonly #resolved = new Map<string, Promise<string | undefined>>();
  readonly #hashes = new Map<string, Promise<FileContents | undefined>>();
  #looks = 0;

  /**
   * @param storeDir the logical store directory, in which absolute links speak
   * @param realStoreDir the folder that holds the files
   */
  constructor(storeDir: StoreDir, realStoreDir: string, signal?: AbortSignal) {
    this.#storeDir = storeDir;
    this.#realStoreDir = realStoreDir;
    this.#signal = signal;
  }

  /** Whether so much was looked at that nothing more is found. */
  get exhausted(): boolean {
    return this.#looks >= mostLooks;
  }

  /** The physical file that a path relative to the store leads to; undefined when there is none in the store. */
  resolve(relative: string): Promise<string | undefined> {
    const known = this.#resolved.get(relative);
    if (known !== undefined) return known;
    const found = this.#resolve(relative);
    this.#resolved.set(relative, found);
    return found;
  }

  async #resolve(relative: string): Promise<string | undefined> {
    const ahead = components(relative);
    if (ahead.length > mostComponents) return undefined;
    const behind: string[] = [];
    let links = 0;
    for (let part = ahead.pop(); part !== undefined; part = ahead.pop()) {
      if (part === "..") {
        if (behind.pop() === undefined) return undefined;
        continue;
      }
      if (this.exhausted) return undefined;
      this.#looks++;
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

  /**
   * The bytes of a regular file of at most `limit` bytes.
   * @throws the system's error when nothing can be opened for minutes; the signal's reason when it fires meanwhile
   */
  async readSmall(relative: string, limit: number): Promise<SmallFile> {
    const path = await this.resolve(relative);
    if (path === undefined) return { kind: "absent" };
    const read = await this.#withRegularFile(path, async (file, size): Promise<SmallFile> => {
      if (size > limit) return { kind: "unusable", reason: `the file is larger than ${limit} bytes` };
      const bytes = Buffer.alloc(size);
      let filled = 0;
      while (filled < size) {
        const { bytesRead } = await file.read(bytes, filled, size - filled, filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return { kind: "bytes", bytes: bytes.subarray(0, filled) };
    });
    return read ?? { kind: "unusable", reason: "not a regular file, or not readable" };
  }

  /**
   * Size and hash of a physical file that `resolve` gave; undefined when it is not a regular one.
   * @throws the signal's reason when it fires; the system's error when nothing can be opened for minutes
   */
  hash(path: string): Promise<FileContents | undefined> {
    const known = this.#hashes.get(path);
    if (known !== undefined) return known;
    const hashed = this.#hash(path);
    this.#hashes.set(path, hashed);
    return hashed;
  }

  async #hash(path: string): Promise<FileContents | undefined> {
    const contents = await this.#withRegularFile(path, async (file, size): Promise<FileContents> => {
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

  /** A lack of descriptors says nothing about the file, whose lines would be lost by it. */
  #withRegularFile<T>(
    path: string,
    use: (file: FileHandle, size: number) => Promise<T>,
  ): Promise<T | undefined> {
    return whenThereIsRoom(() => withRegularFile(path, use), {
      passes: isLackOfDescriptors,
      signal: this.#signal,
    });
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
  } catch (error) {
    if (isLackOfDescriptors(error)) throw error;
    return undefined;
  } finally {
    await file?.close().catch(() => undefined);
  }
}

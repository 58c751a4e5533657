/** Objects as files below a folder, as Nix lays out `file://` caches. */

import { randomUUID } from "node:crypto";
import { type FileHandle, link, open, rename, rm, stat, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { performance } from "node:perf_hooks";
import { anObject, aStream, aText, checkArgument } from "../../argument-checks.js";
import { lendingStream } from "../../compression/index.js";
import { isSystemError, toError } from "../../errors.js";
import { inFolder } from "../../in-folder.js";
import { BinaryCacheError } from "../errors.js";
import { oneChunk } from "./byte-streams.js";
import {
  type ObjectFacts,
  type ObjectStore,
  type PutOptions,
  type ReadOptions,
  releasePiece,
  type StoredObject,
} from "./object-store.js";
import { TrafficCounters } from "./traffic.js";

/** Bytes that are read at once. */
const readSize = 256 * 1024;

/**
 * Objects as files. A file appears under its name only when it is complete and on disk; the key is the path below the
 * folder.
 */
export class FileCache implements ObjectStore {
  readonly name: string;
  readonly traffic = new TrafficCounters();
  readonly keepsEncoding = false;

  /** `folder` is made when the first object is written. */
  constructor(folder: string) {
    checkArgument("FileCache", "folder", folder, aText);
    this.name = folder;
  }

  async head(key: string): Promise<ObjectFacts | undefined> {
    this.traffic.head();
    const facts = await this.#guard(key, () => stat(this.#path(key)));
    return facts === undefined ? undefined : { size: facts.size, contentEncoding: undefined };
  }

  async get(key: string, options?: ReadOptions): Promise<StoredObject | undefined> {
    const started = performance.now();
    const path = this.#path(key);
    const file = await this.#guard(key, () => open(path, "r"));
    if (file === undefined) return undefined;
    const { size } = await file.stat();
    const body = lendingStream(() =>
      this.#contents(file, Math.min(size, readSize), { started, signal: options?.signal }),
    );
    return { size, contentEncoding: undefined, body };
  }

  async *#contents(
    file: FileHandle,
    atOnce: number,
    { started, signal }: { readonly started: number; readonly signal: AbortSignal | undefined },
  ): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    try {
      const buffer = Buffer.allocUnsafeSlow(Math.max(1, atOnce));
      for (;;) {
        signal?.throwIfAborted();
        const { bytesRead } = await file.read(buffer, 0, buffer.length);
        if (bytesRead === 0) return;
        bytes += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
      this.traffic.get(bytes, performance.now() - started);
    }
  }

  async put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options: PutOptions,
  ): Promise<"written" | "present"> {
    if (!(body instanceof Uint8Array)) checkArgument("FileCache.put", "body", body, aStream);
    checkArgument("FileCache.put", "options", options, anObject);
    return this.#put(key, body, options);
  }

  async putAfter(
    others: Promise<unknown>,
    key: string,
    body: Uint8Array,
    options: PutOptions,
  ): Promise<"written" | "present"> {
    checkArgument("FileCache.putAfter", "options", options, anObject);
    return this.#put(key, body, options, others);
  }

  async #put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options: PutOptions,
    others?: Promise<unknown>,
  ): Promise<"written" | "present"> {
    // They may fail before it is their turn to be waited for.
    others?.catch(() => {});
    const started = performance.now();
    const target = this.#path(key);
    // Not made of the object's name, which may be as long as names can be.
    const temporary = join(dirname(target), `.tmp-${process.pid}-${randomUUID()}`);
    let bytes = 0;
    try {
      const file = await this.#create(temporary);
      try {
        const sync = new EarlySync(file);
        const chunks = body instanceof Uint8Array ? oneChunk(body) : body;
        for await (const chunk of chunks) {
          options.signal?.throwIfAborted();
          await file.appendFile(chunk);
          bytes += chunk.length;
          sync.wrote(chunk.length);
          releasePiece(chunks, chunk);
        }
        await sync.ended();
        // A name must not outlive a power cut without its contents: a narinfo may point to it.
        await file.datasync();
      } finally {
        await file.close();
      }
      await others;
      if (options.ifAbsent === true) {
        const done = await link(temporary, target).then(
          () => true,
          (error: NodeJS.ErrnoException) => {
            if (error.code === "EEXIST") return false;
            throw error;
          },
        );
        await unlink(temporary);
        if (!done) return "present";
      } else await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { force: true });
      throw isSystemError(error) ? this.#error(key, error) : error;
    }
    this.traffic.put(bytes, performance.now() - started);
    return "written";
  }

  close(): void {}

  #create(path: string): Promise<FileHandle> {
    return inFolder(dirname(path), () => open(path, "wx", 0o644));
  }

  #path(key: string): string {
    checkArgument("FileCache", "key", key, aText);
    if (key.split("/").some((part) => part === "" || part === "." || part === ".." || part.includes("\0"))) {
      throw new BinaryCacheError("missing", `'${key.slice(0, 300)}' cannot be an object of a cache`, {
        store: this.name,
        key,
      });
    }
    return join(this.name, key);
  }

  async #guard<T>(key: string, action: () => Promise<T>): Promise<T | undefined> {
    try {
      return await action();
    } catch (error) {
      if (isSystemError(error) && error.code === "ENOENT") return undefined;
      throw isSystemError(error) ? this.#error(key, error) : error;
    }
  }

  #error(key: string, cause: NodeJS.ErrnoException): BinaryCacheError {
    const code = cause.code === "EACCES" || cause.code === "EPERM" ? "denied" : "unavailable";
    return new BinaryCacheError(code, `${this.name}/${key}: ${toError(cause).message}`, {
      store: this.name,
      key,
      cause,
    });
  }
}

/** Bytes after which what was written is sent to the disk, while more is being written. */
const syncEvery = 16 << 20;

/** Syncs a long file while it is written, so that its end does not wait for all of it to reach the disk. */
class EarlySync {
  readonly #file: FileHandle;
  #unsynced = 0;
  #running: Promise<void> | undefined;
  #failure: unknown;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  wrote(bytes: number): void {
    this.#unsynced += bytes;
    if (this.#unsynced < syncEvery || this.#running !== undefined) return;
    this.#unsynced = 0;
    this.#running = this.#file.datasync().then(
      () => {
        this.#running = undefined;
      },
      // A disk says once only that something was lost.
      (error: unknown) => {
        this.#failure = error;
      },
    );
  }

  /** Nothing of it uses the file any more. @throws what a sync failed with */
  async ended(): Promise<void> {
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure;
  }
}

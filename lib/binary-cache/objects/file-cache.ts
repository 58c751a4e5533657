/** Objects as files below a folder, as Nix lays out `file://` caches. */

import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
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
      const chunks = body instanceof Uint8Array ? oneChunk(body) : body;
      const file = new SyncedFile((flags) => this.#create(temporary, flags));
      try {
        for await (const chunk of chunks) {
          options.signal?.throwIfAborted();
          bytes += chunk.length;
          await file.write(chunk);
          releasePiece(chunks, chunk);
        }
        // A name must not outlive a power cut without its contents: a narinfo may point to it.
        await file.end();
      } catch (error) {
        await file.close().catch(() => {});
        throw error;
      }
      const closed = file.close();
      // It may fail before it is its turn to be waited for.
      closed.catch(() => {});
      await others;
      const isNew = options.ifAbsent === true ? await linked(temporary, target) : true;
      await closed;
      if (options.ifAbsent !== true) await rename(temporary, target);
      else {
        await unlink(temporary);
        if (!isNew) return "present";
      }
    } catch (error) {
      await rm(temporary, { force: true });
      throw isSystemError(error) ? this.#error(key, error) : error;
    }
    this.traffic.put(bytes, performance.now() - started);
    return "written";
  }

  close(): void {}

  #create(path: string, flags: number): Promise<FileHandle> {
    const { O_WRONLY, O_CREAT, O_EXCL } = constants;
    return inFolder(dirname(path), () => open(path, O_WRONLY | O_CREAT | O_EXCL | flags, 0o644));
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

/** Gives the file another name; false when something has it. */
async function linked(path: string, name: string): Promise<boolean> {
  try {
    await link(path, name);
    return true;
  } catch (error) {
    if (isSystemError(error) && error.code === "EEXIST") return false;
    throw error;
  }
}

/** Bytes of a file that is written by one call: each is a trip to a thread, which costs more than a few copied bytes. */
const smallFile = 128 << 10;
/** Bytes after which what was written is sent to the disk, while more is being written. */
const syncEvery = 16 << 20;

/**
 * A new file that is on the disk when it is ended. A long one is synced while it is written, so that its end does not wait
 * for all of it to reach the disk.
 */
class SyncedFile {
  readonly #create: (flags: number) => Promise<FileHandle>;
  #file: FileHandle | undefined;
  /** What was written while the file may still be a small one. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  #unsynced = 0;
  #running: Promise<void> | undefined;
  #failure: unknown;

  constructor(create: (flags: number) => Promise<FileHandle>) {
    this.#create = create;
  }

  /** The buffer may be used again afterwards. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#file === undefined && this.#heldBytes + bytes.length <= smallFile) {
      this.#held.push(Buffer.from(bytes));
      this.#heldBytes += bytes.length;
      return;
    }
    if (this.#file === undefined) {
      this.#file = await this.#create(0);
      const held = this.#takeHeld();
      if (held.length > 0) await this.#file.appendFile(held);
    }
    await this.#file.appendFile(bytes);
    this.#unsynced += bytes.length;
    if (this.#unsynced >= syncEvery && this.#running === undefined) this.#syncBeside(this.#file);
  }

  /** All of it is on the disk. @throws what a write or a sync failed with */
  async end(): Promise<void> {
    if (this.#file === undefined) {
      // Each write is a sync, and there is only this one.
      this.#file = await this.#create(constants.O_DSYNC);
      await this.#file.appendFile(this.#takeHeld());
      return;
    }
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure;
    await this.#file.datasync();
  }

  async close(): Promise<void> {
    // Nothing may use the file any more.
    await this.#running;
    await this.#file?.close();
  }

  #takeHeld(): Buffer {
    const held = Buffer.concat(this.#held);
    this.#held = [];
    return held;
  }

  #syncBeside(file: FileHandle): void {
    this.#unsynced = 0;
    this.#running = file.datasync().then(
      () => {
        this.#running = undefined;
      },
      // A disk says once only that something was lost.
      (error: unknown) => {
        this.#failure = error;
      },
    );
  }
}

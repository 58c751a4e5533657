/** Logs of derivations in a binary cache. */
import { compress, decompress, parseCompressionMethod, unlimitedOutput } from "../../compression/index.js";
import type { StorePath } from "../../nix/path/store-path.js";
import type { CacheSettings } from "../cache-uri.js";
import { unknownEncoding } from "../errors.js";
import { contentTypes, logKey } from "../layout.js";
import type { ObjectStore, ReadOptions } from "../objects/object-store.js";
import { contentEncoding, type SmallObjects } from "./small-objects.js";

/** How a log is written. */
export interface PutLogOptions extends ReadOptions {
  /** Name of a try that another one followed. */
  readonly attempt?: string | undefined;
}

/**
 * The logs of a cache: objects `log/<drv>`, compressed as `log-compression` says where objects keep a
 * Content-Encoding.
 */
export class CacheLogs {
  readonly #objects: ObjectStore;
  readonly #settings: CacheSettings;
  readonly #smallObjects: SmallObjects;

  constructor(objects: ObjectStore, settings: CacheSettings, smallObjects: SmallObjects) {
    this.#objects = objects;
    this.#settings = settings;
    this.#smallObjects = smallObjects;
  }

  async put(
    drv: StorePath,
    log: AsyncIterable<Uint8Array>,
    { attempt, signal }: PutLogOptions,
  ): Promise<void> {
    const { logCompression, compressionLevel: level } = this.#settings;
    const method = this.#smallObjects.encoding(logCompression);
    await this.#objects.put(logKey(drv, attempt), compress(log, { method, level, signal }), {
      contentType: contentTypes.log,
      contentEncoding: contentEncoding(method),
      signal,
    });
  }

  /** Decoded; undefined when there is none. */
  async open(drv: StorePath, { signal }: ReadOptions): Promise<AsyncIterable<Uint8Array> | undefined> {
    const key = logKey(drv);
    const object = await this.#objects.get(key, { signal });
    if (object === undefined) return undefined;
    const named = object.contentEncoding ?? "";
    const method = named === "" ? "none" : parseCompressionMethod(named);
    if (method === undefined) throw unknownEncoding(this.#objects.name, key, named);
    // Written by a queue runner, which had counted it, and read in constant memory.
    return decompress(object.body, { method, maxOutput: unlimitedOutput, signal });
  }
}

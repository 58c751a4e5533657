/** Small objects of a binary cache that are text: written and read back with the encoding that the settings name. */
import {
  type CompressionMethod,
  compress,
  decompress,
  parseCompressionMethod,
} from "../../compression/index.js";
import type { CacheSettings } from "../cache-uri.js";
import { unknownEncoding } from "../errors.js";
import { collect, oneChunk } from "../objects/byte-streams.js";
import type { ObjectStore, PutOptions, ReadOptions } from "../objects/object-store.js";

/** Bytes of a narinfo or listing, stored or decoded. */
const largestText = 64 << 20;

/** Reads and writes narinfos and listings. */
export class SmallObjects {
  readonly #objects: ObjectStore;
  readonly #settings: CacheSettings;

  constructor(objects: ObjectStore, settings: CacheSettings) {
    this.#objects = objects;
    this.#settings = settings;
  }

  /** `after`: what must be there before the object has its name. */
  async put(
    key: string,
    text: string,
    wanted: CompressionMethod,
    options: PutOptions,
    after?: Promise<unknown>,
  ): Promise<"written" | "present"> {
    const method = this.encoding(wanted);
    const { compressionLevel: level } = this.#settings;
    const body = await collect(
      compress(oneChunk(Buffer.from(text)), { method, level, signal: options.signal }),
    );
    const named = { ...options, contentEncoding: contentEncoding(method) };
    if (after !== undefined && this.#objects.putAfter !== undefined) {
      return this.#objects.putAfter(after, key, body, named);
    }
    await after;
    return this.#objects.put(key, body, named);
  }

  /** `fallback` is the encoding of an object that does not name its own. */
  async read(key: string, fallback: CompressionMethod, options: ReadOptions): Promise<string | undefined> {
    const object = await this.#objects.get(key, options);
    if (object === undefined) return undefined;
    const named = object.contentEncoding;
    const body = await collect(object.body, largestText);
    // Without a name it was written plain (with other settings, perhaps), or something on the way lost the name.
    const nameless = named === undefined || named === "";
    const guess = isPlainText(body) ? "none" : this.encoding(fallback);
    const method = nameless ? guess : parseCompressionMethod(named);
    if (method === undefined) {
      throw unknownEncoding(this.#objects.name, key, named ?? "");
    }
    const text = decompress(oneChunk(body), { method, maxOutput: largestText, signal: options.signal });
    return (await collect(text, largestText)).toString();
  }

  /** A folder cannot say how its files are encoded. */
  encoding(method: CompressionMethod): CompressionMethod {
    return this.#objects.keepsEncoding ? method : "none";
  }
}

/** The header for a method; none for none. */
export function contentEncoding(method: CompressionMethod): string | undefined {
  return method === "none" ? undefined : method;
}

/** How narinfos and listings begin; no compressed one does. */
function isPlainText(body: Buffer): boolean {
  return ["StorePath:", "{"].some((start) => body.subarray(0, start.length).toString("latin1") === start);
}

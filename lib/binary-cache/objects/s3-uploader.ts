/** Objects in an S3 bucket. */

import { performance } from "node:perf_hooks";
import { Readable } from "node:stream";
import { anObject, aText, checkMembers, optional } from "../../argument-checks.js";
import type { Silence } from "../../async/index.js";
import type { CacheSettings } from "../cache-uri.js";
import { BinaryCacheError, missingObject } from "../errors.js";
import { oneChunk, pieces } from "./byte-streams.js";
import type { ObjectFacts, ObjectStore, PutOptions, ReadOptions, StoredObject } from "./object-store.js";
import { S3Connection, type S3Credentials } from "./s3-connection.js";
import { type CopyLimits, S3Copy } from "./s3-copy.js";
import { isAbsent, isForbidden, isPreconditionFailed, s3Error } from "./s3-errors.js";
import { S3Multipart, storageClass } from "./s3-multipart.js";
import { TrafficCounters } from "./traffic.js";

/** What a bucket is opened with besides its settings. */
export interface S3UploaderOptions {
  /** Instead of those of the environment and of the profile. */
  readonly credentials?: S3Credentials | undefined;
  /** For copies that the server makes. */
  readonly copyLimits?: CopyLimits | undefined;
}

/** All tries of a request that moves next to no bytes, in milliseconds. */
const smallRequestMs = 30_000;

function withEnd(signal: AbortSignal | undefined, ms: number): AbortSignal {
  const end = AbortSignal.timeout(ms);
  return signal === undefined ? end : AbortSignal.any([signal, end]);
}

/** Objects in one bucket. The AWS SDK is loaded by the first request. */
export class S3Uploader implements ObjectStore {
  readonly name: string;
  readonly traffic = new TrafficCounters();
  readonly keepsEncoding = true;
  readonly silence: Silence;
  readonly multipart: S3Multipart;
  readonly #connection: S3Connection;
  readonly #settings: CacheSettings;
  readonly #copy: S3Copy;

  constructor(settings: CacheSettings, options?: S3UploaderOptions) {
    checkMembers("S3Uploader", settings, { place: aText });
    if (options !== undefined) {
      checkMembers("S3Uploader", options, {
        credentials: optional(anObject),
        copyLimits: optional(anObject),
      });
    }
    this.name = settings.place;
    this.#settings = settings;
    this.#connection = new S3Connection(settings, options?.credentials);
    this.silence = this.#connection.silence;
    this.multipart = new S3Multipart(this.#connection, settings.place, settings.storageClass);
    this.#copy = new S3Copy(this.#connection, settings.place, {
      multipart: this.multipart,
      storageClass: settings.storageClass,
      limits: options?.copyLimits,
    });
  }

  async head(key: string, options?: ReadOptions): Promise<ObjectFacts | undefined> {
    this.traffic.head();
    try {
      const result = await this.#connection.send(
        (sdk) => new sdk.HeadObjectCommand({ Bucket: this.name, Key: key }),
        withEnd(options?.signal, smallRequestMs),
      );
      return { size: result.ContentLength ?? 0, contentEncoding: result.ContentEncoding };
    } catch (error) {
      // S3 says "forbidden" of what is not there when the credentials may not list the bucket.
      if (isAbsent(error) || isForbidden(error)) return undefined;
      throw s3Error(error, "look for", this.name, key, options?.signal);
    }
  }

  async get(key: string, options?: ReadOptions): Promise<StoredObject | undefined> {
    const started = performance.now();
    try {
      const result = await this.#connection.send(
        (sdk) => new sdk.GetObjectCommand({ Bucket: this.name, Key: key }),
        options?.signal,
      );
      const body = result.Body instanceof Readable ? result.Body : Readable.from([]);
      return {
        size: result.ContentLength ?? 0,
        contentEncoding: result.ContentEncoding,
        body: this.#counted(body, key, started, options?.signal),
      };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw s3Error(error, "read", this.name, key, options?.signal);
    }
  }

  async put(
    key: string,
    body: Uint8Array | AsyncIterable<Uint8Array>,
    options: PutOptions,
  ): Promise<"written" | "present"> {
    const started = performance.now();
    // There can be 10 000 parts.
    const partSize = Math.max(this.#settings.bufferSize, Math.ceil((options.sizeHint ?? 0) / 9000));
    let bytes = 0;
    async function* counted(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const part of source) {
        bytes += part.length;
        yield part;
      }
    }
    const parts = counted(pieces(body instanceof Uint8Array ? oneChunk(body) : body, partSize));
    let result: "written" | "present";
    const first = await parts.next();
    // The second part tells whether one request is enough.
    const second = first.done === true ? first : await parts.next();
    if (second.done === true) {
      result = await this.#putWhole(key, first.done === true ? Buffer.alloc(0) : first.value, options);
    } else {
      const all = async function* (head: Uint8Array, next: Uint8Array): AsyncGenerator<Uint8Array> {
        try {
          yield head;
          yield next;
          yield* parts;
        } finally {
          await parts.return(undefined);
        }
      };
      result = await this.multipart.upload(key, all(first.value as Uint8Array, second.value), options);
    }
    if (result === "written") this.traffic.put(bytes, performance.now() - started);
    return result;
  }

  async takeOver(source: ObjectStore, key: string, options?: ReadOptions): Promise<boolean> {
    if (!(source instanceof S3Uploader) || !this.#sameServer(source)) return false;
    const found = await source.head(key, options);
    if (found === undefined) throw missingObject(source.name, key);
    const started = performance.now();
    try {
      await this.#copy.nar({ bucket: source.name, key, size: found.size, signal: options?.signal });
    } catch (error) {
      // Our credentials may be good for one of the buckets only.
      if (error instanceof BinaryCacheError && error.code === "denied") return false;
      throw error;
    }
    this.traffic.put(found.size, performance.now() - started);
    return true;
  }

  #sameServer(other: S3Uploader): boolean {
    const { endpoint, scheme, region } = this.#settings;
    const { endpoint: theirEndpoint, scheme: theirScheme, region: theirRegion } = other.#settings;
    return endpoint === theirEndpoint && scheme === theirScheme && region === theirRegion;
  }

  /** A URL to put one whole object, valid for `expiresIn` seconds. Only the host is signed. */
  presignPut(key: string, expiresIn: number): Promise<string> {
    return this.#connection.presign(
      (sdk) => new sdk.PutObjectCommand({ Bucket: this.name, Key: key }),
      expiresIn,
    );
  }

  close(): void {
    this.#connection.close();
  }

  async #putWhole(key: string, body: Uint8Array, options: PutOptions): Promise<"written" | "present"> {
    try {
      await this.#connection.send(
        (sdk) =>
          new sdk.PutObjectCommand({
            Bucket: this.name,
            Key: key,
            Body: body,
            ContentType: options.contentType,
            ContentEncoding: options.contentEncoding,
            StorageClass: storageClass(this.#settings.storageClass),
            ...(options.ifAbsent === true ? { IfNoneMatch: "*" } : {}),
          }),
        options.signal,
      );
      return "written";
    } catch (error) {
      if (options.ifAbsent === true && isPreconditionFailed(error)) return "present";
      throw s3Error(error, "write", this.name, key, options.signal);
    }
  }

  async *#counted(
    body: Readable,
    key: string,
    started: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    try {
      for await (const chunk of body) {
        const data = chunk as Uint8Array;
        bytes += data.length;
        signal?.throwIfAborted();
        yield data;
      }
    } catch (error) {
      throw s3Error(error, "read", this.name, key, signal);
    } finally {
      body.destroy();
      this.traffic.get(bytes, performance.now() - started);
    }
  }
}

/** Copies that the server makes by itself, from bucket to bucket. */
import { mapLimited } from "../../async/index.js";
import { BinaryCacheError } from "../errors.js";
import { contentTypes } from "../layout.js";
import type { S3Connection } from "./s3-connection.js";
import { s3Error } from "./s3-errors.js";
import { type S3Multipart, storageClass, type UploadedPart } from "./s3-multipart.js";

/** Bytes: up to `single` one request, above it ranges of `part`. S3 allows 5 GiB for either. */
export interface CopyLimits {
  readonly single: number;
  readonly part: number;
}

const usualLimits: CopyLimits = { single: 5 * 2 ** 30, part: 2 ** 30 };
const rangesAtOnce = 4;

/** The object to copy. */
export interface CopyTask {
  readonly bucket: string;
  readonly key: string;
  /** Of the object, in bytes. */
  readonly size: number;
  readonly signal?: AbortSignal | undefined;
}

/** Copies objects of other buckets of the same server under the same key, in parts when one request cannot do it. */
export class S3Copy {
  readonly #connection: S3Connection;
  readonly #bucket: string;
  readonly #multipart: S3Multipart;
  readonly #storageClass: string | undefined;
  readonly #limits: CopyLimits;

  constructor(
    connection: S3Connection,
    bucket: string,
    options: {
      readonly multipart: S3Multipart;
      readonly storageClass?: string | undefined;
      readonly limits?: CopyLimits | undefined;
    },
  ) {
    this.#connection = connection;
    this.#bucket = bucket;
    this.#multipart = options.multipart;
    this.#storageClass = options.storageClass;
    this.#limits = options.limits ?? usualLimits;
  }

  /** Copies the NAR `key` out of `bucket` under the same key. @throws BinaryCacheError */
  async nar(task: CopyTask): Promise<void> {
    const { key, signal } = task;
    try {
      if (task.size > this.#limits.single) await this.#inRanges(task);
      else {
        await this.#connection.send(
          (sdk) =>
            new sdk.CopyObjectCommand({
              Bucket: this.#bucket,
              Key: key,
              CopySource: source(task),
              StorageClass: storageClass(this.#storageClass),
            }),
          signal,
        );
      }
    } catch (error) {
      throw s3Error(error, `copy from ${task.bucket} the object`, this.#bucket, key, signal);
    }
  }

  async #inRanges(task: CopyTask): Promise<void> {
    const { key, size, signal } = task;
    const { part } = this.#limits;
    const uploadId = await this.#multipart.create(key, { contentType: contentTypes.nar, signal });
    try {
      const parts: UploadedPart[] = [];
      const numbers = Array.from({ length: Math.ceil(size / part) }, (_, index) => index + 1);
      await mapLimited(numbers, rangesAtOnce, async (partNumber) => {
        const first = (partNumber - 1) * part;
        const result = await this.#connection.send(
          (sdk) =>
            new sdk.UploadPartCopyCommand({
              Bucket: this.#bucket,
              Key: key,
              UploadId: uploadId,
              PartNumber: partNumber,
              CopySource: source(task),
              CopySourceRange: `bytes=${first}-${Math.min(size, first + part) - 1}`,
            }),
          signal,
        );
        const etag = result.CopyPartResult?.ETag;
        if (etag === undefined) {
          throw new BinaryCacheError("unavailable", `bucket '${this.#bucket}' gave no ETag for '${key}'`, {
            store: this.#bucket,
            key,
          });
        }
        parts.push({ partNumber, etag });
      });
      await this.#multipart.complete(key, uploadId, parts, { ifAbsent: false, signal });
    } catch (error) {
      await this.#multipart.abort(key, uploadId).catch(() => undefined);
      throw error;
    }
  }
}

function source({ bucket, key }: CopyTask): string {
  return `${bucket}/${key.split("/").map(encodeURIComponent).join("/")}`;
}

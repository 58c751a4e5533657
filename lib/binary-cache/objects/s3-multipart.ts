/** Uploads in parts: our own, and those that builders make with presigned URLs. */
import type {
  ListMultipartUploadsCommandInput,
  ListMultipartUploadsCommandOutput,
  ServiceInputTypes,
  ServiceOutputTypes,
} from "@aws-sdk/client-s3";
import { BinaryCacheError } from "../errors.js";
import type { PutOptions } from "./object-store.js";
import type { MakeCommand, S3Connection } from "./s3-connection.js";
import { isNoSuchUpload, isPreconditionFailed, s3Error } from "./s3-errors.js";

/** A part of an upload and the URL that it can be put to. */
export interface S3PresignedPart {
  /** From 1. */
  readonly partNumber: number;
  readonly url: string;
}

/** A part that is in the bucket. */
export interface UploadedPart {
  readonly partNumber: number;
  /** With or without quotes. */
  readonly etag: string;
}

/** Which parts of an upload to sign URLs for. */
export interface PartsToPresign {
  readonly key: string;
  readonly uploadId: string;
  /** From 1. */
  readonly firstPart: number;
  readonly count: number;
  /** Seconds for which the URLs are valid. */
  readonly expiresIn: number;
}

/** An upload in parts that the bucket still holds. */
export interface UnfinishedUpload {
  readonly key: string;
  readonly uploadId: string;
}

/** A request, as its error names it. */
interface Request {
  /** What fails, before the key: "upload part 3 of". */
  readonly action: string;
  readonly key: string;
  readonly signal: AbortSignal | undefined;
}

/** Parts of one of our own uploads that are under way at once. */
const partsAtOnce = 3;

/** Milliseconds that a bucket has to forget an upload that failed: a close waits for it. */
const forgetMs = 5_000;

/** Multipart uploads of one bucket. All methods throw `BinaryCacheError` with bucket and key. */
export class S3Multipart {
  readonly #connection: S3Connection;
  readonly #bucket: string;
  readonly #storageClass: string | undefined;

  constructor(connection: S3Connection, bucket: string, storageClass: string | undefined) {
    this.#connection = connection;
    this.#bucket = bucket;
    this.#storageClass = storageClass;
  }

  /** Begins an upload and returns its id. */
  async create(
    key: string,
    options: Pick<PutOptions, "contentType" | "contentEncoding" | "signal">,
  ): Promise<string> {
    const result = await this.#send(
      { action: "begin an upload of", key, signal: options.signal },
      (sdk) =>
        new sdk.CreateMultipartUploadCommand({
          Bucket: this.#bucket,
          Key: key,
          ContentType: options.contentType,
          ContentEncoding: options.contentEncoding,
          StorageClass: storageClass(this.#storageClass),
        }),
    );
    if (result.UploadId === undefined) {
      throw new BinaryCacheError("unavailable", `bucket '${this.#bucket}' gave no upload id for '${key}'`, {
        store: this.#bucket,
        key,
      });
    }
    return result.UploadId;
  }

  /** URLs that put parts of an upload. Part numbers end at 10,000; what is asked for beyond is left out. */
  async presignParts(request: PartsToPresign): Promise<S3PresignedPart[]> {
    const { key, uploadId, firstPart, count, expiresIn } = request;
    const parts: S3PresignedPart[] = [];
    for (let partNumber = firstPart; partNumber < firstPart + count && partNumber <= 10_000; partNumber++) {
      const url = await this.#connection.presign(
        (sdk) =>
          new sdk.UploadPartCommand({
            Bucket: this.#bucket,
            Key: key,
            UploadId: uploadId,
            PartNumber: partNumber,
          }),
        expiresIn,
      );
      parts.push({ partNumber, url });
    }
    return parts;
  }

  /** `present` when `ifAbsent` met an object that was there already. */
  async complete(
    key: string,
    uploadId: string,
    parts: readonly UploadedPart[],
    options: { readonly ifAbsent: boolean; readonly signal?: AbortSignal | undefined },
  ): Promise<"written" | "present"> {
    const sorted = [...parts].sort((a, b) => a.partNumber - b.partNumber);
    try {
      await this.#connection.send(
        (sdk) =>
          new sdk.CompleteMultipartUploadCommand({
            Bucket: this.#bucket,
            Key: key,
            UploadId: uploadId,
            ...(options.ifAbsent ? { IfNoneMatch: "*" } : {}),
            MultipartUpload: {
              Parts: sorted.map(({ partNumber, etag }) => ({
                PartNumber: partNumber,
                ETag: `"${etag.replaceAll('"', "")}"`,
              })),
            },
          }),
        options.signal,
      );
      return "written";
    } catch (error) {
      if (options.ifAbsent && isPreconditionFailed(error)) return "present";
      throw s3Error(error, "complete the upload of", this.#bucket, key, options.signal);
    }
  }

  /** Does nothing for an upload that is gone. */
  async abort(key: string, uploadId: string, signal?: AbortSignal): Promise<void> {
    try {
      await this.#connection.send(
        (sdk) => new sdk.AbortMultipartUploadCommand({ Bucket: this.#bucket, Key: key, UploadId: uploadId }),
        signal,
      );
    } catch (error) {
      if (isNoSuchUpload(error)) return;
      throw s3Error(error, "abort the upload of", this.#bucket, key, signal);
    }
  }

  /** Uploads that were neither completed nor aborted, by `prefix` of their keys and the time they began. */
  async listUnfinished(filter: {
    readonly prefix: string;
    /** Milliseconds since the epoch. */
    readonly begunBefore: number;
  }): Promise<UnfinishedUpload[]> {
    const { prefix, begunBefore } = filter;
    const found: UnfinishedUpload[] = [];
    let marker: Pick<ListMultipartUploadsCommandInput, "KeyMarker" | "UploadIdMarker"> | undefined = {};
    while (marker !== undefined) {
      const input: ListMultipartUploadsCommandInput = { Bucket: this.#bucket, Prefix: prefix, ...marker };
      const page: ListMultipartUploadsCommandOutput = await this.#send(
        { action: "list uploads below", key: prefix, signal: undefined },
        (sdk) => new sdk.ListMultipartUploadsCommand(input),
      );
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (Key === undefined || UploadId === undefined || Initiated === undefined) continue;
        if (Initiated.getTime() < begunBefore) found.push({ key: Key, uploadId: UploadId });
      }
      const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page;
      marker =
        IsTruncated === true && NextKeyMarker !== undefined
          ? {
              KeyMarker: NextKeyMarker,
              ...(NextUploadIdMarker === undefined ? {} : { UploadIdMarker: NextUploadIdMarker }),
            }
          : undefined;
    }
    return found;
  }

  /** Uploads parts as they come, a few at once. The upload is aborted when anything fails. */
  async upload(
    key: string,
    parts: AsyncIterable<Uint8Array>,
    options: PutOptions,
  ): Promise<"written" | "present"> {
    const { signal } = options;
    const uploadId = await this.create(key, options);
    const done: UploadedPart[] = [];
    const running = new Set<Promise<void>>();
    let failure: { readonly error: unknown } | undefined;
    try {
      let partNumber = 0;
      for await (const part of parts) {
        partNumber += 1;
        const number = partNumber;
        const task = this.#part(key, uploadId, number, part, signal)
          .then((etag) => void done.push({ partNumber: number, etag }))
          .catch((error: unknown) => {
            failure ??= { error };
          })
          .finally(() => running.delete(task));
        running.add(task);
        if (running.size >= partsAtOnce) await Promise.race(running);
        if (failure !== undefined) throw failure.error;
      }
      await Promise.all(running);
      if (failure !== undefined) throw failure.error;
      const result = await this.complete(key, uploadId, done, {
        ifAbsent: options.ifAbsent === true,
        signal,
      });
      if (result === "present") await this.abort(key, uploadId);
      return result;
    } catch (error) {
      await Promise.all(running);
      // What went wrong first matters more than a part of it that stays behind.
      await this.abort(key, uploadId, AbortSignal.timeout(forgetMs)).catch(() => undefined);
      throw error;
    }
  }

  async #part(
    key: string,
    uploadId: string,
    partNumber: number,
    body: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const result = await this.#send(
      { action: `upload part ${partNumber} of`, key, signal },
      (sdk) =>
        new sdk.UploadPartCommand({
          Bucket: this.#bucket,
          Key: key,
          UploadId: uploadId,
          PartNumber: partNumber,
          Body: body,
        }),
    );
    if (result.ETag === undefined) {
      throw new BinaryCacheError("unavailable", `bucket '${this.#bucket}' gave no ETag for '${key}'`, {
        store: this.#bucket,
        key,
      });
    }
    return result.ETag;
  }

  async #send<I extends ServiceInputTypes, O extends ServiceOutputTypes>(
    { action, key, signal }: Request,
    make: MakeCommand<I, O>,
  ): Promise<O> {
    try {
      return await this.#connection.send(make, signal);
    } catch (error) {
      throw s3Error(error, action, this.#bucket, key, signal);
    }
  }
}

/** The client's type lists the classes it knows, servers may have others. */
export function storageClass(name: string | undefined): "STANDARD" | undefined {
  return name as "STANDARD" | undefined;
}

/** Uploads in parts: our own, and those that builders make with presigned URLs. */
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandInput,
  type ListMultipartUploadsCommandOutput,
  type S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { BinaryCacheError } from "../errors.js";
import type { PutOptions } from "./object-store.js";
import { isNoSuchUpload, isPreconditionFailed, s3Error } from "./s3-errors.js";

export interface S3PresignedPart {
  /** From 1. */
  readonly partNumber: number;
  readonly url: string;
}

export interface UploadedPart {
  readonly partNumber: number;
  /** With or without quotes. */
  readonly etag: string;
}

/** Parts of one of our own uploads that are under way at once. */
const partsAtOnce = 3;

export class S3Multipart {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #storageClass: string | undefined;

  constructor(client: S3Client, bucket: string, storageClass: string | undefined) {
    this.#client = client;
    this.#bucket = bucket;
    this.#storageClass = storageClass;
  }

  async create(
    key: string,
    options: Pick<PutOptions, "contentType" | "contentEncoding" | "signal">,
  ): Promise<string> {
    const result = await this.#send("begin an upload of", key, options.signal, (abortSignal) =>
      this.#client.send(
        new CreateMultipartUploadCommand({
          Bucket: this.#bucket,
          Key: key,
          ContentType: options.contentType,
          ContentEncoding: options.contentEncoding,
          StorageClass: storageClass(this.#storageClass),
        }),
        { abortSignal },
      ),
    );
    if (result.UploadId === undefined) {
      throw new BinaryCacheError("unavailable", `bucket '${this.#bucket}' gave no upload id for '${key}'`, {
        store: this.#bucket,
        key,
      });
    }
    return result.UploadId;
  }

  /** URLs of `count` parts from number `first` on, valid for `expiresIn` seconds. */
  async sign(
    key: string,
    uploadId: string,
    first: number,
    count: number,
    expiresIn: number,
  ): Promise<S3PresignedPart[]> {
    const parts: S3PresignedPart[] = [];
    for (let partNumber = first; partNumber < first + count && partNumber <= 10_000; partNumber++) {
      const command = new UploadPartCommand({
        Bucket: this.#bucket,
        Key: key,
        UploadId: uploadId,
        PartNumber: partNumber,
      });
      parts.push({ partNumber, url: await getSignedUrl(this.#client, command, { expiresIn }) });
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
      await this.#client.send(
        new CompleteMultipartUploadCommand({
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
        options.signal === undefined ? {} : { abortSignal: options.signal },
      );
      return "written";
    } catch (error) {
      if (options.ifAbsent && isPreconditionFailed(error)) return "present";
      throw s3Error(error, "complete the upload of", this.#bucket, key, options.signal);
    }
  }

  /** Does nothing for an upload that is gone. */
  async abort(key: string, uploadId: string): Promise<void> {
    try {
      await this.#client.send(
        new AbortMultipartUploadCommand({ Bucket: this.#bucket, Key: key, UploadId: uploadId }),
      );
    } catch (error) {
      if (isNoSuchUpload(error)) return;
      throw s3Error(error, "abort the upload of", this.#bucket, key, undefined);
    }
  }

  /** Begun before `before` (milliseconds since the epoch) and neither completed nor aborted. */
  async open(prefix: string, before: number): Promise<{ readonly key: string; readonly uploadId: string }[]> {
    const found: { key: string; uploadId: string }[] = [];
    let marker: Pick<ListMultipartUploadsCommandInput, "KeyMarker" | "UploadIdMarker"> | undefined = {};
    while (marker !== undefined) {
      const input: ListMultipartUploadsCommandInput = { Bucket: this.#bucket, Prefix: prefix, ...marker };
      const page: ListMultipartUploadsCommandOutput = await this.#send(
        "list uploads below",
        prefix,
        undefined,
        () => this.#client.send(new ListMultipartUploadsCommand(input)),
      );
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (Key === undefined || UploadId === undefined || Initiated === undefined) continue;
        if (Initiated.getTime() < before) found.push({ key: Key, uploadId: UploadId });
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
      await this.abort(key, uploadId).catch(() => undefined);
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
    const result = await this.#send(`upload part ${partNumber} of`, key, signal, (abortSignal) =>
      this.#client.send(
        new UploadPartCommand({
          Bucket: this.#bucket,
          Key: key,
          UploadId: uploadId,
          PartNumber: partNumber,
          Body: body,
        }),
        { abortSignal },
      ),
    );
    if (result.ETag === undefined) {
      throw new BinaryCacheError("unavailable", `bucket '${this.#bucket}' gave no ETag for '${key}'`, {
        store: this.#bucket,
        key,
      });
    }
    return result.ETag;
  }

  async #send<T>(
    action: string,
    key: string,
    signal: AbortSignal | undefined,
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    try {
      return await run(signal ?? new AbortController().signal);
    } catch (error) {
      throw s3Error(error, action, this.#bucket, key, signal);
    }
  }
}

/** The client's type lists the classes it knows, servers may have others. */
export function storageClass(name: string | undefined): "STANDARD" | undefined {
  return name as "STANDARD" | undefined;
}

/** The parts of one object: sent while the object is still being made, each with retries of its own. */
import { Semaphore } from "../../async/index.js";
import type { MultipartCompletion, PresignedUpload } from "../../rpc/types.js";
import type { SpoolFile } from "../build/spool-file.js";
import { PutError, putObject } from "./put-object.js";
import { type PresignedTarget, UploadLostError } from "./target.js";
import type { UploadRetries } from "./upload-retries.js";

const partsAtOnce = 8;

/** Which object is uploaded, from where and to where. */
export interface MultipartUploadOptions {
  readonly upload: PresignedUpload & { readonly multipart: NonNullable<PresignedUpload["multipart"]> };
  readonly target: PresignedTarget;
  readonly spool: SpoolFile;
  readonly retries?: UploadRetries | undefined;
  readonly signal: AbortSignal;
}

/** One multipart upload of a file that is still growing. */
export class MultipartUpload {
  readonly #options: MultipartUploadOptions;
  readonly #slots = new Semaphore(partsAtOnce);
  readonly #etags: Promise<string>[] = [];
  #sentUpTo = 0;

  constructor(options: MultipartUploadOptions) {
    this.#options = options;
  }

  /** The spool has grown: whole parts go out. */
  grown(): void {
    const { spool, upload } = this.#options;
    while (spool.size - this.#sentUpTo >= upload.multipart.partSize) this.#send(upload.multipart.partSize);
  }

  /** The spool is complete: sends the rest and waits for all parts. */
  async finish(): Promise<MultipartCompletion> {
    const { spool, upload } = this.#options;
    this.grown();
    // An object of a whole number of parts has no empty one at its end, but an empty object has one part.
    if (spool.size > this.#sentUpTo || this.#etags.length === 0) this.#send(spool.size - this.#sentUpTo);
    const etags = await Promise.all(this.#etags);
    return {
      objectKey: upload.path,
      uploadId: upload.multipart.uploadId,
      parts: etags.map((etag, index) => ({ partNumber: index + 1, etag })),
    };
  }

  /** Waits until nothing reads from the spool any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#etags);
  }

  #send(length: number): void {
    const { spool, target, retries, signal } = this.#options;
    const partNumber = this.#etags.length + 1;
    const body = spool.range(this.#sentUpTo, length);
    this.#sentUpTo += length;
    const etag = this.#slots.run(async () => {
      const answer = await putObject(target.part(partNumber), body, { retries, signal }).catch(uploadIsGone);
      if (answer.etag === undefined) throw new Error(`part ${partNumber} was stored without an ETag`);
      return answer.etag;
    }, signal);
    etag.catch(() => undefined);
    this.#etags.push(etag);
  }
}

/** The bucket removes uploads that stay incomplete for long. */
function uploadIsGone(error: unknown): never {
  if (!(error instanceof PutError) || error.status !== 404) throw error;
  throw new UploadLostError("the upload is gone from the bucket", { cause: error });
}

/** The parts of one object: sent while the object is still being made, each with retries of its own. */
import type { MultipartCompletion, MultipartPart, PresignedUpload } from "../rpc/types.js";
import { putObject } from "./put-object.js";
import { Slots } from "./slots.js";
import type { SpoolFile } from "./spool-file.js";

const partsAtOnce = 8;
/** URLs to ask for when those at hand are used up. */
const moreParts = 100;

export interface MultipartUploadOptions {
  readonly upload: PresignedUpload & { readonly multipart: NonNullable<PresignedUpload["multipart"]> };
  readonly spool: SpoolFile;
  /** Asks for `count` more URLs, from part number `start` on. */
  readonly requestParts: (start: number, count: number) => Promise<readonly MultipartPart[]>;
  readonly signal: AbortSignal;
}

export class MultipartUpload {
  readonly #options: MultipartUploadOptions;
  readonly #urls = new Map<number, string>();
  readonly #slots = new Slots(partsAtOnce);
  readonly #etags: Promise<string>[] = [];
  /** One request for more URLs at a time. */
  #asking: Promise<void> = Promise.resolve();
  #sentUpTo = 0;

  constructor(options: MultipartUploadOptions) {
    this.#options = options;
    for (const { partNumber, url } of options.upload.multipart.parts) this.#urls.set(partNumber, url);
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
    const { spool, signal } = this.#options;
    const partNumber = this.#etags.length + 1;
    const body = spool.range(this.#sentUpTo, length);
    this.#sentUpTo += length;
    const etag = this.#slots.use(async () => {
      const answer = await putObject(await this.#url(partNumber), body, { signal });
      if (answer.etag === undefined) throw new Error(`part ${partNumber} was stored without an ETag`);
      return answer.etag;
    }, signal);
    etag.catch(() => undefined);
    this.#etags.push(etag);
  }

  async #url(partNumber: number): Promise<string> {
    const ask = async (): Promise<void> => {
      if (this.#urls.has(partNumber)) return;
      const parts = await this.#options.requestParts(partNumber, moreParts);
      for (const part of parts) this.#urls.set(part.partNumber, part.url);
    };
    this.#asking = this.#asking.then(ask, ask);
    await this.#asking;
    const url = this.#urls.get(partNumber);
    if (url === undefined) throw new Error(`the runner gave no address for part ${partNumber}`);
    return url;
  }
}

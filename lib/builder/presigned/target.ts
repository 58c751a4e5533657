/** The presigned URLs for one path: used while they work, requested again when they have expired. */
import { HydraError } from "../../errors.js";
import type { MultipartPart, PresignedNar, PresignedUpload } from "../../rpc/types.js";

/** Where to put one object. */
export interface PutAddress {
  /** The URL to use now. */
  url(): Promise<string>;
  /** The store no longer takes `url`. False when there will be no other. */
  expire(url: string): boolean;
}

/** An upload that the runner or the store has forgotten; the path has to be begun again, with new URLs. */
export class UploadLostError extends HydraError {
  readonly code = "upload-lost";
}

/** @throws RpcError, UploadLostError */
export interface UrlSource {
  /** All URLs for the path once more; undefined when the cache has it by now. */
  readonly again: () => Promise<PresignedNar | undefined>;
  /** URLs for `count` parts of the NAR's upload, from number `start` on. */
  readonly parts: (start: number, count: number) => Promise<readonly MultipartPart[]>;
}

/** URLs to ask for when those at hand are used up. */
const moreParts = 100;

/** The URLs of one upload. Each is requested again when the store refuses it, and shared by all callers. */
export class PresignedTarget {
  readonly nar: PresignedNar;
  readonly #source: UrlSource;
  /** By object key. */
  readonly #urls = new Map<string, string>();
  readonly #parts = new Map<number, string>();
  /** One request at a time; later callers share its answer. */
  #asking: Promise<void> = Promise.resolve();

  constructor(nar: PresignedNar, source: UrlSource) {
    this.nar = nar;
    this.#source = source;
    this.#learn(nar);
    this.#learnParts(nar.narUpload.multipart?.parts ?? []);
  }

  /** Of an object that is put whole. */
  whole({ path }: PresignedUpload): PutAddress {
    return address(this.#urls, path, async () => {
      await this.#ask(() => this.#urls.has(path), this.#askAgain);
      const url = this.#urls.get(path);
      if (url === undefined) throw new UploadLostError(`the runner gave no new address for ${path}`);
      return url;
    });
  }

  /** Of a part of the NAR; parts are counted from 1. */
  part(number: number): PutAddress {
    return address(this.#parts, number, async () => {
      await this.#ask(
        () => this.#parts.has(number),
        async () => this.#learnParts(await this.#source.parts(number, moreParts)),
      );
      const url = this.#parts.get(number);
      if (url === undefined) throw new Error(`the runner gave no address for part ${number}`);
      return url;
    });
  }

  async #ask(known: () => boolean, question: () => Promise<void>): Promise<void> {
    const ask = async (): Promise<void> => {
      if (!known()) await question();
    };
    this.#asking = this.#asking.then(ask, ask);
    await this.#asking;
  }

  /** The parts that were sent belong to the upload they were sent to; that of the new answer is not used. */
  readonly #askAgain = async (): Promise<void> => {
    const nar = await this.#source.again();
    if (nar === undefined) throw new UploadLostError(`${this.nar.path} is in the cache by now`);
    this.#learn(nar);
  };

  #learn({ narUpload, lsUpload, debugInfoUploads }: PresignedNar): void {
    for (const upload of [narUpload, lsUpload, ...debugInfoUploads]) {
      if (upload !== undefined) this.#urls.set(upload.path, upload.url);
    }
  }

  #learnParts(parts: readonly MultipartPart[]): void {
    for (const { partNumber, url } of parts) this.#parts.set(partNumber, url);
  }
}

function address<Key>(urls: Map<Key, string>, key: Key, find: () => Promise<string>): PutAddress {
  return {
    url: find,
    expire: (url) => {
      // Another one may have come in while this one was tried.
      if (urls.get(key) === url) urls.delete(key);
      return true;
    },
  };
}

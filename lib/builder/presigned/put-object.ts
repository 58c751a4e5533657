/** HTTP PUT to presigned URLs, with retries and fresh URLs. */
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { pipeline } from "node:stream/promises";
import { type Retryability, retry } from "../../async/index.js";
import { HydraError, toError } from "../../errors.js";
import type { ByteStream } from "../../nix/store/store.js";
import type { PutAddress } from "./target.js";
import { type UploadRetries, uploadRetryOptions, usualUploadRetries } from "./upload-retries.js";

/** The store did not take an object. Presigned URLs are secrets, so messages name only the place without the query. */
export class PutError extends HydraError {
  readonly code: "transport" | "refused";
  /** The status of the answer, if there was one. */
  readonly status: number | undefined;

  constructor(message: string, status: number | undefined, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = status === undefined ? "transport" : "refused";
    this.status = status;
  }
}

/** The bytes of an object, which can be sent several times. */
export interface ObjectBody {
  /** Bytes. */
  readonly length: number;
  /** Called once per try. */
  open(): ByteStream;
}

/** How an object is put. */
export interface PutOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Write only if the object does not exist; one that exists is not an error. Default false. */
  readonly ifAbsent?: boolean;
  /** Default: 20 minutes. */
  readonly retries?: UploadRetries | undefined;
  readonly signal: AbortSignal;
}

/** What the store answered; `alreadyPresent` only with `ifAbsent`. */
export interface PutAnswer {
  /** Without its quotes. */
  readonly etag: string | undefined;
  readonly alreadyPresent: boolean;
}

/** Milliseconds without any byte in either direction. */
const idleLimit = 120_000;

/**
 * Puts one object. An outage is waited for; a URL that the store no longer takes is replaced by a fresh one.
 *
 * @throws PutError after the last try, what `address` throws, or the signal's reason
 */
export async function putObject(
  address: PutAddress,
  body: ObjectBody,
  options: PutOptions,
): Promise<PutAnswer> {
  const { retries = usualUploadRetries, signal } = options;
  let renewable = false;
  const classify = (error: unknown): Retryability => {
    if (!(error instanceof PutError)) return "final";
    return isRefusal(error) && renewable ? "passing" : retryabilityOf(error);
  };
  return retry(
    async () => {
      const url = await address.url();
      try {
        return await putOnce(url, body, options);
      } catch (error) {
        // Some stores answer 400 when the credentials that a URL was signed with have expired.
        if (error instanceof PutError && (isRefusal(error) || error.status === 400)) {
          renewable = address.expire(url);
        }
        throw error;
      }
    },
    uploadRetryOptions(retries, classify, signal),
  );
}

/** What stores answer for a URL that has expired. */
function isRefusal({ status }: PutError): boolean {
  return status === 401 || status === 403;
}

function retryabilityOf({ status }: PutError): Retryability {
  if (status === undefined || status >= 500 || status === 408 || status === 429) return "passing";
  return "doubtful";
}

async function putOnce(url: string, body: ObjectBody, options: PutOptions): Promise<PutAnswer> {
  const target = new URL(url);
  const place = `${target.origin}${target.pathname}`;
  const start = target.protocol === "https:" ? requestHttps : requestHttp;
  const request = start(target, {
    method: "PUT",
    headers: {
      ...options.headers,
      ...(options.ifAbsent === true ? { "If-None-Match": "*" } : {}),
      "Content-Length": body.length,
    },
    timeout: idleLimit,
    signal: options.signal,
  });
  request.on("timeout", () => request.destroy(new Error(`no data was exchanged for ${idleLimit / 1000} s`)));
  const answered = new Promise<{ readonly status: number; readonly etag: string | undefined }>(
    (resolve, reject) => {
      request.on("error", reject);
      request.on("response", (response) => {
        response.on("error", reject);
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, etag: response.headers.etag?.replaceAll('"', "") }),
        );
        response.resume();
      });
    },
  );
  // A refusal may come before the body is through, which then cannot be written; the answer counts.
  const sent = pipeline(body.open(), request);
  sent.catch((error: unknown) => request.destroy(toError(error)));
  let answer: Awaited<typeof answered>;
  try {
    answer = await answered;
  } catch (cause) {
    throw new PutError(`PUT ${place} failed`, undefined, { cause });
  }
  if (answer.status === 412 && options.ifAbsent === true) return { etag: undefined, alreadyPresent: true };
  if (answer.status < 200 || answer.status >= 300) {
    throw new PutError(`PUT ${place} was answered with status ${answer.status}`, answer.status);
  }
  return { etag: answer.etag, alreadyPresent: false };
}

/** A small body that is in memory. */
export function bytesBody(bytes: Uint8Array): ObjectBody {
  return {
    length: bytes.length,
    open: async function* () {
      yield bytes;
    },
  };
}

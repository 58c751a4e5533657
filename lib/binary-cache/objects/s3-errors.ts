/** Turns what the AWS client throws into this room's errors. Messages hold bucket and key, never a URL with a signature. */
import { toError } from "../../errors.js";
import { BinaryCacheError, type BinaryCacheErrorCode } from "../errors.js";

/** An answer of the server, known by its shape so that the SDK need not be loaded to look at an error. */
interface ServiceError extends Error {
  readonly $fault: "client" | "server";
  readonly $metadata: { readonly httpStatusCode?: number };
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "$fault" in error && "$metadata" in error;
}

function statusOf(error: unknown): number | undefined {
  return isServiceError(error) ? error.$metadata.httpStatusCode : undefined;
}

/** The server answered, and is not out of order. */
export function isAnswer(error: unknown): boolean {
  const status = statusOf(error);
  return status !== undefined && status < 500;
}

/** The object does not exist. */
export function isAbsent(error: unknown): boolean {
  if (!isServiceError(error)) return false;
  return statusOf(error) === 404 && error.name !== "NoSuchBucket" && error.name !== "NoSuchUpload";
}

/** The credentials do not allow it. */
export function isForbidden(error: unknown): boolean {
  return statusOf(error) === 403;
}

/** A conditional write met an object that was there already. */
export function isPreconditionFailed(error: unknown): boolean {
  return statusOf(error) === 412;
}

/** The upload was completed or aborted before. */
export function isNoSuchUpload(error: unknown): boolean {
  return isServiceError(error) && error.name === "NoSuchUpload";
}

/** `signal.reason` when aborted, else a `BinaryCacheError`. */
export function s3Error(
  error: unknown,
  action: string,
  store: string,
  key: string,
  signal: AbortSignal | undefined,
): unknown {
  if (signal?.aborted === true) return signal.reason;
  if (error instanceof BinaryCacheError) return error;
  const status = statusOf(error);
  const { name, message } = toError(error);
  let code: BinaryCacheErrorCode = "unavailable";
  if (status === 403 || status === 401 || name === "CredentialsProviderError") code = "denied";
  else if (status === 404) code = "missing";
  const detail = status === undefined ? `${name}: ${message}` : `${name} (${status}): ${message}`;
  return new BinaryCacheError(code, `cannot ${action} '${key}' in bucket '${store}': ${detail}`, {
    store,
    key,
    cause: error,
  });
}

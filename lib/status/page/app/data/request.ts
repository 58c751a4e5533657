/** Requests to the runner. */
import type { ApiError } from "../../../api/types.js";
import { root } from "./address.js";

/** Milliseconds until an answer must have come. */
const timeoutMs = 15_000;

/** An answer that was not a success, or none at all. */
export class RequestError extends Error {
  override readonly name = "RequestError";
  /** HTTP status; 0: no answer. */
  readonly status: number;

  constructor(message: string, status: number, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
  }
}

async function errorOf(response: Response): Promise<RequestError> {
  const { error } = (await response.json().catch(() => ({}))) as Partial<ApiError>;
  return new RequestError(error ?? `the runner answered ${response.status}`, response.status);
}

/** The URL of a route of the API, such as `machines?limit=10`. */
export function apiUrl(route: string): URL {
  return new URL(`api/${route}`, root);
}

async function send(url: URL, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (cause) {
    if (init.signal?.aborted === true && init.signal.reason?.name !== "TimeoutError") throw cause;
    throw new RequestError("no answer from the runner", 0, { cause });
  }
}

/** Reads a JSON answer. @throws RequestError */
export async function getJson<T>(route: string, signal?: AbortSignal): Promise<T> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const response = await send(apiUrl(route), {
    // The browser keeps the answer for its ETag, and asks whether it is still the same.
    cache: "no-cache",
    headers: { accept: "application/json" },
    signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
  });
  if (!response.ok) throw await errorOf(response);
  return (await response.json()) as T;
}

/** Asks the runner to do something. `path` is below the page's root; `token` is the status token. @throws RequestError */
export async function post(path: string, token: string): Promise<void> {
  const headers: Record<string, string> = token === "" ? {} : { authorization: `Bearer ${token}` };
  const response = await send(new URL(path.replace(/^\//, ""), root), {
    method: "POST",
    headers,
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (!response.ok) throw await errorOf(response);
}

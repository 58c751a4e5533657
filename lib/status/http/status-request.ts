/** A request of the status API, whatever server it came through. */

/** Headers by lower-case name; of one that came several times, all values in order. */
export type RequestHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

/** What routes see of a request. */
export interface StatusRequest {
  readonly method: string;
  /** Path and query, as sent, below the base path. Begins with a slash. */
  readonly url: string;
  readonly headers: RequestHeaders;
  /** Read at most once. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** The value of a header; the first one where it came several times. `name` is in lower case. */
export function headerOf(headers: RequestHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "object" ? value[0] : value;
}

/** `/hydra/runner/` and `hydra/runner` both as `/hydra/runner`; no base path as the empty text. */
export function normalBasePath(basePath: string | undefined): string {
  const inner = (basePath ?? "").replace(/^\/+/, "").replace(/\/+$/, "");
  return inner === "" ? "" : `/${inner}`;
}

/**
 * What is left of a URL below a base path (in the form of `normalBasePath`): begins with a slash, except when the URL is
 * the base path without its last slash: then it is empty, or the query. Undefined: not below the base path.
 */
export function belowBasePath(url: string, basePath: string): string | undefined {
  if (!url.startsWith(basePath)) return undefined;
  const rest = url.slice(basePath.length);
  if (rest === "" || rest.startsWith("/") || rest.startsWith("?")) return rest;
  return undefined;
}

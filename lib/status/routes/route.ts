/** What a route is, what its handler gets, and how handlers read the parts of an address. */
import { isDerivationPath, parseAnyStorePath } from "../../nix/path/store-path.js";
import { StatusError } from "../errors.js";
import type { Reply } from "../http/http-reply.js";
import { isDatabaseId } from "../http/request-body.js";
import type { StatusRequest } from "../http/status-request.js";
import type { Metrics } from "../metrics/metrics.js";
import type { AnySchema } from "../openapi/schema.js";
import type { StatusSource } from "../types.js";
import type { QueryParameter } from "./query.js";

/** What a handler gets. `now` is in milliseconds since the epoch. */
export interface RouteContext {
  readonly source: StatusSource;
  readonly metrics: Metrics;
  readonly now: number;
  /** The clock that `now` was read from. */
  readonly clock: () => number;
  readonly version: string;
  readonly request: StatusRequest;
  /** What stood in the place of the first `{}` of the pattern; empty where it has none. */
  readonly parameter: string;
  /** What stood in the place of each `{}`. */
  readonly parameters: readonly string[];
}

/** What stands in the place of a `{}`. */
export interface PathParameter {
  readonly name: string;
  readonly about: string;
}

/** An answer that is not a refusal. */
export interface AnswerAbout {
  readonly about: string;
  /** Default: JSON. */
  readonly contentType?: string;
  /** Default: text. */
  readonly schema?: AnySchema;
}

/** Groups of routes. */
export type RouteGroup = "page" | "live data" | "actions" | "status" | "monitoring";

/** What `/openapi.json` documents about a route. */
export interface RouteAbout {
  /** Unique. */
  readonly id: string;
  readonly group: RouteGroup;
  /** One line. */
  readonly summary: string;
  /** More, where one line is not enough. */
  readonly details?: string;
  /** One for each `{}` of the pattern. */
  readonly path?: readonly PathParameter[];
  readonly query?: readonly QueryParameter[];
  /** The JSON object that has to be sent. */
  readonly body?: AnySchema;
  /** By status number. */
  readonly answers: Readonly<Record<number, AnswerAbout>>;
  /** Status numbers of refusals, besides those that any route has. */
  readonly refusals?: readonly number[];
}

/** One route and its handler. */
export interface Route {
  readonly about: RouteAbout;
  readonly method: "GET" | "PUT" | "POST";
  /** `{}` stands for one path segment. Patterns without it also match with one trailing slash. */
  readonly pattern: string;
  readonly answer: (context: RouteContext) => Reply | Promise<Reply>;
}

/** A derivation in a path. */
export const drvParameter: PathParameter = {
  name: "drv",
  about: "Base name or full path of a derivation",
};
/** A build in a path. */
export const buildParameter: PathParameter = { name: "id", about: "Id of a build" };

/** A JSON object as the only answer. */
export function json(schema: AnySchema, about = "The answer"): RouteAbout["answers"] {
  return { 200: { about, schema } };
}

/** A build, step, machine or address that does not exist. */
export const notFound = (what = "Not found"): StatusError => new StatusError("not-found", what);

/** The base name of a derivation that is given by base name or path. @throws StatusError for anything else */
export function parseDerivation(source: StatusSource, text: string): string {
  try {
    const path = parseAnyStorePath(source.storeDir, text);
    if (isDerivationPath(path)) return path;
  } catch (cause) {
    throw new StatusError("bad-request", "invalid store path", { cause });
  }
  throw new StatusError("bad-request", "not a derivation: the name must end in .drv");
}

/** The build that a path names. @throws StatusError when it is not an id */
export function buildId({ parameter }: RouteContext): number {
  const id = /^[+-]?\d+$/.test(parameter) ? Number(parameter) : undefined;
  if (!isDatabaseId(id)) throw notFound();
  return id;
}

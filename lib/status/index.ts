/**
 * The status API of the runner: JSON, Prometheus metrics and the live page, over plain HTTP/1.1.
 *
 * It reads from a `StatusSource` (`types.ts`) and does not know how the runner implements it. `routes.ts` is the table of
 * routes; `answers/` and `api/` hold the JSON and the words of their answers, `openapi/` the description of them,
 * `metrics/` the Prometheus families, `page/` the live page, and `http/` what carries requests and replies: servers, names,
 * bodies, compression.
 */

/** What the JSON API asks of the runner beyond the rest of `StatusSource`. */
export type * from "./api/source.js";
/** The JSON of the API: answers of its routes, and events. */
export type * from "./api/types.js";
/** A request that was refused; its message is what the client reads. */
export { StatusError } from "./errors.js";
/** The host names that the API answers to: a guard against DNS rebinding. */
export { HostNames, type HostNamesOptions } from "./http/host-names.js";
/** A reply as it goes over the wire. */
export type { EncodedReply } from "./http/http-reply.js";
/** The API inside an HTTP server of your own, for Node and for `fetch`. */
export {
  type StatusHandler,
  type StatusHandlerOptions,
  statusFetch,
  statusHandler,
} from "./http/status-handler.js";
/** A request, independent of the server that received it. */
export type { RequestHeaders, StatusRequest } from "./http/status-request.js";
/** The routes of the API, without a server. */
export { StatusRouter, type StatusRouterOptions } from "./http/status-router.js";
/** An HTTP server for the API. */
export { StatusServer, type StatusServerOptions } from "./http/status-server.js";
/** A metric with its samples, as Prometheus reads it. */
export type { Family, Sample } from "./metrics/exposition.js";
/** Counters and histograms of the runner, and the names of the counters. */
export { type CounterName, Metrics, type MetricsOptions, type UsedResources } from "./metrics/metrics.js";
/** What the API reads of the runner: machines, queue, steps, uploads, problems, and a few actions. */
export type * from "./types.js";

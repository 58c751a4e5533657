/**
 * The status API of the runner: JSON, Prometheus metrics and the live page, over plain HTTP/1.1.
 *
 * It reads from a `StatusSource` (`types.ts`) and does not know how the runner implements it. `routes.ts` is the table of
 * routes; `answers/` and `api/` hold the JSON and the words of their answers, `openapi/` the description of them,
 * `metrics/` the Prometheus families, `page/` the live page, and `http/` what carries requests and replies: servers, names,
 * bodies, compression.
 */
export type * from "./api/source.js";
export type * from "./api/types.js";
export { StatusError } from "./errors.js";
export { HostNames, type HostNamesOptions } from "./http/host-names.js";
export type { EncodedReply } from "./http/http-reply.js";
export {
  type StatusHandler,
  type StatusHandlerOptions,
  statusFetch,
  statusHandler,
} from "./http/status-handler.js";
export type { RequestHeaders, StatusRequest } from "./http/status-request.js";
export type { StatusRouterOptions } from "./http/status-router.js";
export { StatusRouter } from "./http/status-router.js";
export type { StatusServerOptions } from "./http/status-server.js";
export { StatusServer } from "./http/status-server.js";
export type { Family, Sample } from "./metrics/exposition.js";
export type { CounterName } from "./metrics/metrics.js";
export { Metrics, type MetricsOptions, type UsedResources } from "./metrics/metrics.js";
export type * from "./types.js";

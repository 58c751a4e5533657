/**
 * The status API of the runner: JSON, Prometheus metrics and the live page, over plain HTTP/1.1.
 *
 * In this room live the JSON shapes, the metrics, the router and the server. It reads from a `StatusSource` and does not
 * know how the runner implements it.
 */
export { StatusError } from "./errors.js";
export { HostNames, type HostNamesOptions } from "./host-names.js";
export type { EncodedReply } from "./http-reply.js";
export type { CounterName } from "./metrics.js";
export { Metrics } from "./metrics.js";
export {
  type StatusHandler,
  type StatusHandlerOptions,
  statusFetch,
  statusHandler,
} from "./status-handler.js";
export type { RequestHeaders, StatusRequest } from "./status-request.js";
export type { StatusRouterOptions } from "./status-router.js";
export { StatusRouter } from "./status-router.js";
export type { StatusServerOptions } from "./status-server.js";
export { StatusServer } from "./status-server.js";
export type * from "./types.js";

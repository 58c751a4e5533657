/**
 * The runner's window: JSON status, Prometheus metrics and the live page, over plain HTTP/1.1.
 *
 * In this room live the shapes of the answers, the counters and the router. It asks a `StatusSource` for data and
 * knows nothing of how the runner gets it.
 */
export { StatusError } from "./errors.js";
export type { CounterName } from "./metrics.js";
export { Metrics } from "./metrics.js";
export type { StatusRouterOptions } from "./status-router.js";
export { StatusRouter } from "./status-router.js";
export type { StatusServerOptions } from "./status-server.js";
export { StatusServer } from "./status-server.js";
export type * from "./types.js";

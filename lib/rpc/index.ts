/**
 * The runner contract: generated messages (`gen/`), conversions between messages and domain types, the packing of NARs
 * into one stream, and the two ends of the connection. Nothing here decides what a call means; handlers do.
 */
export {
  type ClientTlsOptions,
  connectRunner,
  parseEndpoint,
  RunnerClient,
  type RunnerClientOptions,
} from "./client/index.js";
export { parseUuid } from "./convert/scalars.js";
export { RpcError, type RpcStatus, rpcStatusCodes, UnprocessedCallError } from "./errors.js";
export { decodeLog, encodeLog, packNars, type UnpackedNar, unpackNars } from "./packing/index.js";
export { isSamePrincipal, type Principal, principalKey, principalOf } from "./principal.js";
export {
  checkTls,
  type ListenerOptions,
  parseListenAddress,
  type RpcCallRecord,
  RunnerServer,
  type RunnerServerOptions,
  type ServerTlsOptions,
  TokenList,
} from "./server/index.js";
export type * from "./types.js";

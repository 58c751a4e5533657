/**
 * The runner contract: generated messages (`gen/`), conversions between messages and domain types, the packing of NARs
 * into one stream, and the two ends of the connection. Nothing here decides what a call means; handlers do.
 */

/** The address of a runner, parsed. */
export type { Endpoint } from "./client/endpoint.js";
/** The builder's end of the connection. */
export {
  type ClientTlsOptions,
  connectRunner,
  parseEndpoint,
  RunnerClient,
  type RunnerClientOptions,
} from "./client/index.js";
/** UUIDs as they travel: checked, in lower case. */
export { parseUuid } from "./convert/scalars.js";
/** What calls and conversions throw, with a gRPC status. */
export { RpcError, type RpcStatus, rpcStatusCodes, UnprocessedCallError } from "./errors.js";
/** What bulk streams hold: NARs and logs in zstd frames. */
export {
  decodeLog,
  encodeLog,
  packNars,
  type UnpackedNar,
  type UnpackOptions,
  unpackNars,
} from "./packing/index.js";
/** The party a call is answered for. */
export { isSamePrincipal, type Principal, principalKey, principalOf } from "./principal.js";
/** The runner's end: listeners, tokens, certificates. */
export {
  cannotListen,
  checkTls,
  type ListenerOptions,
  parseListenAddress,
  type RpcCallRecord,
  RunnerServer,
  type RunnerServerOptions,
  type ServerTlsOptions,
  TokenList,
} from "./server/index.js";
/** Who a token belongs to. */
export type { Identity } from "./server/tokens.js";
/** Every message of the contract in domain types, the handlers of a server and the calls of a client. */
export type * from "./types.js";

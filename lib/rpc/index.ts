/**
 * The runner contract: generated messages (`gen/`), conversions between messages and domain types, the packing of NARs
 * into one stream, and the two ends of the connection. Nothing here decides what a call means; handlers do.
 */
export { RpcError, type RpcStatus, rpcStatusCodes } from "./errors.js";
export type * from "./types.js";

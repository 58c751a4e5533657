/**
 * What the client needs of the generated messages: loaded by the first call of the first client rather than by the
 * first import, because building them takes a while.
 */
export { create, fromBinary, toBinary } from "@bufbuild/protobuf";
export * as convert from "../convert/index.js";
export { StorePathSchema, StorePathsSchema } from "../gen/nix/store/v1/store_pb.js";
export * as wire from "../gen/runner/v1/streaming_pb.js";
export { ClientTunnel } from "./client-tunnel.js";

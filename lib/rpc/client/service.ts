/**
 * What the client needs of the gRPC library and of the generated messages: loaded by the first call of the first client
 * rather than by the first import, because together they cost more than 150 ms.
 */
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { RunnerService } from "../gen/runner/v1/streaming_pb.js";
import { maxMessageBytes } from "../stream/index.js";
import type { ClientConnection } from "./connection.js";

export { create, fromBinary, toBinary } from "@bufbuild/protobuf";
export * as convert from "../convert/index.js";
export { StorePathsSchema } from "../gen/nix/store/v1/store_pb.js";
export * as wire from "../gen/runner/v1/streaming_pb.js";
export { callError } from "./call-error.js";
export { ClientTunnel } from "./client-tunnel.js";

/** The calls of the runner's service as the gRPC library makes them. */
export type ServiceClient = Client<typeof RunnerService>;

/** Single-message calls and the tunnel over a connection. */
export function createServiceClient(connection: ClientConnection): ServiceClient {
  const transport = createGrpcTransport({
    baseUrl: connection.authority,
    sessionManager: connection,
    // Messages are small or hold zstd already.
    acceptCompression: [],
    readMaxBytes: maxMessageBytes,
    writeMaxBytes: maxMessageBytes,
  });
  return createClient(RunnerService, transport);
}

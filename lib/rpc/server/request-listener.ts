/**
 * From an HTTP/2 request to the call that serves it: service and method, content type, token. Loaded when a server
 * starts, because the generated messages come with it.
 */
import {
  constants,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Stream,
} from "node:http2";
import type { Logger } from "../../log.js";
import type { StoreDir } from "../../nix/path/store-path.js";
import { RpcError } from "../errors.js";
import { encodeGrpcMessage, servicePath } from "../stream/index.js";
import type { RunnerServiceHandlers } from "../types.js";
import { BulkCalls } from "./bulk-calls.js";
import type { RpcCallRecord } from "./call.js";
import type { Connections } from "./connections.js";
import { healthPath, serveHealth } from "./health.js";
import type { MachineRegistry } from "./machine-registry.js";
import type { MessageBudget } from "./message-budget.js";
import { type ServerCall, serveCall } from "./serve-call.js";
import type { ServerTunnel } from "./server-tunnel.js";
import type { TokenList } from "./tokens.js";
import { serveTunnel } from "./tunnel-call.js";
import { unaryCalls } from "./unary-calls.js";

/** What calls are served with. */
export interface RequestListenerOptions {
  readonly handlers: RunnerServiceHandlers;
  readonly storeDir: StoreDir;
  readonly connections: Connections;
  readonly machines: MachineRegistry;
  readonly budget: MessageBudget;
  readonly tunnels: Set<ServerTunnel>;
  readonly tunnelQueueLimit: number;
  /** The tokens that are valid now; undefined: none is asked for. */
  readonly tokens: () => TokenList | undefined;
  readonly logger: Logger;
  readonly onCall: ((call: RpcCallRecord) => void) | undefined;
  /** Whether the runner can do its work; shown by the health service. */
  readonly healthy: () => boolean;
}

/** Takes each request of an HTTP/2 server. */
export type RequestListener = (request: Http2ServerRequest, response: Http2ServerResponse) => void;

type Serve = (call: ServerCall) => Promise<void>;

/** The listener for all connections of a server. */
export function requestListener(options: RequestListenerOptions): RequestListener {
  const { handlers, storeDir, connections, tokens, logger, onCall, budget, healthy } = options;
  const bulk = new BulkCalls({ handlers, storeDir });
  const unary = unaryCalls(handlers, storeDir);
  const unknown: Serve = () => Promise.reject(new RpcError("unimplemented", "unknown service or method"));
  const serverOf = (method: string): Serve => {
    if (method === "OpenTunnel") return (call) => serveTunnel(options, call);
    if (BulkCalls.handles(method)) return (call) => bulk.run(method, call);
    return unary.get(method) ?? unknown;
  };
  return (request, response) => {
    const { stream, url, headers } = request;
    stopCallerAtEnd(stream);
    const isService = url.startsWith(servicePath);
    const method = isService ? url.slice(servicePath.length) : url.slice(healthPath.length);
    if (!isService && !url.startsWith(healthPath)) {
      refuse(stream, new RpcError("unimplemented", "unknown service or method"));
      return;
    }
    const list = tokens();
    const token = list?.identify(headers.authorization);
    const peer = connections.peer(stream.session, token);
    if (peer === undefined) return;
    if (isService && list !== undefined && token === undefined) {
      onCall?.({ method, status: "unauthenticated", durationMs: 0, bytesIn: 0, bytesOut: 0 });
      logger.warn("call without valid token", { method, peer: peer.address });
      refuse(stream, new RpcError("unauthenticated", "a valid bearer token is needed"));
      return;
    }
    if (request.method !== "POST" || !isGrpc(headers["content-type"])) {
      response.writeHead(415);
      response.end();
      return;
    }
    if (isService) {
      connections.accepted(stream.session);
      void serveCall({ budget, logger, onCall }, { method, peer, request, response }, serverOf(method));
    } else {
      void serveCall({ budget, logger, onCall: undefined }, { method, peer, request, response }, (call) =>
        serveHealth(method, call, healthy),
      );
    }
  };
}

function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(\+proto)?(;|$)/.test(contentType);
}

/** Once the answer is complete, a caller that is still sending gets a reset; its stream would never close. */
function stopCallerAtEnd(stream: ServerHttp2Stream): void {
  stream.once("wantTrailers", () =>
    setImmediate(() => {
      if (!stream.closed && !stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR);
    }),
  );
}

/** Ends a call at once with nothing but its status. */
function refuse(stream: ServerHttp2Stream, error: RpcError): void {
  if (stream.destroyed || stream.closed) return;
  stream.respond(
    {
      ":status": 200,
      "content-type": "application/grpc",
      "grpc-status": String(error.number),
      "grpc-message": encodeGrpcMessage(error.message),
    },
    { endStream: true },
  );
  setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
}

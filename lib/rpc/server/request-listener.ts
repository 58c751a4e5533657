/**
 * From an HTTP/2 request to the call that serves it: service and method, content type, token. Loaded when a server
 * starts, because the generated messages come with it.
 */
import { constants, type Http2Session, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { FairTurns } from "../../async/index.js";
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

/** Takes each stream that a peer opens, with the head of its request. */
export type RequestListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/**
 * Calls that are started or cut in one turn of the event loop. A peer opens and leaves hundreds of them with one packet,
 * and each takes up to 0.2 ms.
 */
const callsPerTurn = 32;

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
  const turns = new FairTurns<Http2Session | undefined>(callsPerTurn);
  const start: RequestListener = (stream, headers) => {
    if (stream.destroyed || stream.closed) return;
    const path = headers[":path"] ?? "";
    const isService = path.startsWith(servicePath);
    const method = isService ? path.slice(servicePath.length) : path.slice(healthPath.length);
    if (!isService && !path.startsWith(healthPath)) {
      refuse(stream, new RpcError("unimplemented", "unknown service or method"));
      return;
    }
    const list = tokens();
    const token = list?.identify(headers.authorization);
    const { session } = stream;
    const peer = connections.peer(session, token);
    if (peer === undefined) return;
    if (isService && list !== undefined && token === undefined) {
      onCall?.({ method, status: "unauthenticated", durationMs: 0, bytesIn: 0, bytesOut: 0 });
      logger.warn("call without valid token", { method, peer: peer.address });
      refuse(stream, new RpcError("unauthenticated", "a valid bearer token is needed"));
      return;
    }
    if (headers[":method"] !== "POST" || !isGrpc(headers["content-type"])) {
      stream.respond({ ":status": 415 }, { endStream: true });
      return;
    }
    if (isService) connections.accepted(session, peer.principal);
    const serve = isService
      ? serverOf(method)
      : (call: ServerCall): Promise<void> => serveHealth(method, call, healthy);
    const reporter = { budget, logger, onCall: isService ? onCall : undefined };
    const cutLater = (work: () => void): void => turns.add(session, work);
    void serveCall({ ...reporter, cutLater }, { method, peer, stream, headers }, serve);
  };
  return (stream, headers) => {
    // An error of a stream ends that stream; without a listener it would end the process.
    stream.on("error", () => {});
    turns.add(stream.session, () => start(stream, headers));
  };
}

function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(\+proto)?(;|$)/.test(contentType);
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

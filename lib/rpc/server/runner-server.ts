/**
 * The runner's gRPC server: HTTP/2 on any number of listeners, one service, health beside it.
 *
 * Single-message calls and the tunnel go through the gRPC library, bulk calls through the codec of `../stream`. Both
 * share connections, tokens, limits and metrics.
 */
import * as http2 from "node:http2";
import type { AddressInfo, Server } from "node:net";
import { createSecureContext, type SecureContextOptions } from "node:tls";
import { createContextValues } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { UsageError } from "../../errors.js";
import { type Logger, silentLogger } from "../../log.js";
import type { StoreDir } from "../../nix/path/store-path.js";
import { RpcError } from "../errors.js";
import { RunnerService } from "../gen/runner/v1/streaming_pb.js";
import { maxMessageBytes } from "../stream/index.js";
import type { RunnerServiceHandlers } from "../types.js";
import { BulkCalls, refuse } from "./bulk-calls.js";
import { type RpcCallRecord, serverCallKey } from "./call.js";
import { Connections } from "./connections.js";
import { addressOf, type ListenerOptions, listen } from "./listeners.js";
import { addRoutes } from "./routes.js";
import type { ServerTunnel } from "./server-tunnel.js";
import { TokenList } from "./tokens.js";

/** PEM texts. With `clientCa` callers must show a certificate of that authority. */
export interface ServerTlsOptions {
  readonly certificate: string | Buffer;
  readonly key: string | Buffer;
  readonly clientCa?: string | Buffer | undefined;
}

export interface RunnerServerOptions {
  readonly handlers: RunnerServiceHandlers;
  /** Logical store directory, written into path infos and asked of narinfos. */
  readonly storeDir: StoreDir;
  readonly listeners: readonly ListenerOptions[];
  /** Absent: clear text. */
  readonly tls?: ServerTlsOptions | undefined;
  /** Files with one token each. Absent: no check; empty: everybody is refused. */
  readonly tokenPaths?: readonly string[] | undefined;
  readonly logger?: Logger | undefined;
  /** Told of every call of the service when it is over. */
  readonly onCall?: ((call: RpcCallRecord) => void) | undefined;
  /** Default: always. */
  readonly healthy?: (() => boolean) | undefined;
  /** Bytes in flight per stream. Default 4 MiB. */
  readonly streamWindow?: number | undefined;
  /** Bytes in flight per connection. Default 16 MiB. */
  readonly connectionWindow?: number | undefined;
  /** Default 20 s. */
  readonly keepaliveIntervalMs?: number | undefined;
  /** Default 20 s. */
  readonly keepaliveTimeoutMs?: number | undefined;
  /** Orders that may wait for a builder to read. Default 128. */
  readonly tunnelQueueLimit?: number | undefined;
}

const servicePath = `/${RunnerService.typeName}/`;

export class RunnerServer {
  readonly #options: RunnerServerOptions;
  readonly #servers: readonly AnyServer[];
  readonly #connections: Connections;
  readonly #tunnels: Set<ServerTunnel>;
  #tokens: TokenList | undefined;

  private constructor(
    options: RunnerServerOptions,
    tokens: TokenList | undefined,
    connections: Connections,
    tunnels: Set<ServerTunnel>,
  ) {
    this.#options = options;
    this.#tokens = tokens;
    this.#connections = connections;
    this.#tunnels = tunnels;
    const onRequest = this.#requestListener();
    this.#servers = options.listeners.map(() => this.#createServer(onRequest));
  }

  /** @throws UsageError when a listener, certificate or token file cannot be used */
  static async start(options: RunnerServerOptions): Promise<RunnerServer> {
    const tokens = options.tokenPaths && (await TokenList.load(options.tokenPaths));
    const connections = new Connections({
      connectionWindow: options.connectionWindow ?? 16 * 1024 * 1024,
      keepaliveIntervalMs: options.keepaliveIntervalMs ?? 20_000,
      keepaliveTimeoutMs: options.keepaliveTimeoutMs ?? 20_000,
      logger: options.logger ?? silentLogger,
    });
    const server = new RunnerServer(options, tokens, connections, new Set());
    try {
      for (const [index, one] of server.#servers.entries()) {
        const listener = options.listeners[index];
        if (listener !== undefined) await listen(one, listener);
      }
    } catch (error) {
      await server.close({ graceMs: 0 });
      throw error;
    }
    return server;
  }

  /** Where the listeners are, in the order they were given. */
  get addresses(): readonly (AddressInfo | string | undefined)[] {
    return this.#servers.map((server: Server) => addressOf(server));
  }

  /** Connections that are open. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /**
   * Reads the token files anew; open tunnels stay.
   *
   * @throws UsageError when one cannot be used; the old tokens then stay in force
   */
  async reloadTokens(paths: readonly string[] | undefined): Promise<void> {
    this.#tokens = paths && (await TokenList.load(paths));
  }

  /**
   * Shows another certificate to whoever connects from now on; open connections stay. Whether there is TLS at all, and
   * whether callers must show a certificate, was settled at the start. Check it with `checkTls` first.
   */
  reloadTls(tls: ServerTlsOptions): void {
    const context = secureContext(tls);
    for (const server of this.#servers) if ("setSecureContext" in server) server.setSecureContext(context);
  }

  /** Stops listening, ends all tunnels, lets other calls finish for `graceMs` (default 5 s), then cuts them. */
  async close(options: { readonly graceMs?: number; readonly reason?: string } = {}): Promise<void> {
    const closed = this.#servers
      .filter((server) => server.listening)
      .map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    for (const tunnel of this.#tunnels) tunnel.close(options.reason ?? "the runner is shutting down");
    await this.#connections.close(options.graceMs ?? 5_000);
    await Promise.all(closed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #createServer(onRequest: Listener): AnyServer {
    const { tls, logger = silentLogger, streamWindow = 4 * 1024 * 1024 } = this.#options;
    const settings: http2.ServerOptions = {
      settings: { initialWindowSize: streamWindow, maxConcurrentStreams: 1024 },
      // Frames of slow calls wait in memory up to the windows; the default of 10 MB would break connections.
      maxSessionMemory: 256,
    };
    const server =
      tls === undefined
        ? http2.createServer(settings, onRequest)
        : http2.createSecureServer(
            {
              ...settings,
              ...secureContext(tls),
              ...(tls.clientCa === undefined ? {} : { requestCert: true, rejectUnauthorized: true }),
              allowHTTP1: false,
            },
            onRequest,
          );
    server.on("session", (session: http2.ServerHttp2Session) => this.#connections.add(session));
    // Out of descriptors, say: the listener lives on; an error without a listener would end the process.
    server.on("error", (error: Error) => logger.warn("listener failed", { error }));
    server.on("sessionError", (error: Error) => logger.debug("connection failed", { error }));
    server.on("tlsClientError", (error: Error) => logger.warn("TLS handshake failed", { error }));
    return server;
  }

  #requestListener(): Listener {
    const { handlers, storeDir, logger = silentLogger, onCall, healthy = () => true } = this.#options;
    const connections = this.#connections;
    const bulk = new BulkCalls({ handlers, storeDir, logger, onCall });
    const adapter = connectNodeAdapter({
      routes: (router) =>
        addRoutes(router, {
          handlers,
          storeDir,
          connections,
          logger,
          onCall,
          healthy,
          tunnels: this.#tunnels,
          tunnelQueueLimit: this.#options.tunnelQueueLimit ?? 128,
        }),
      // Messages are small or hold zstd already.
      acceptCompression: [],
      readMaxBytes: maxMessageBytes,
      writeMaxBytes: maxMessageBytes,
      grpcWeb: false,
      connect: false,
      contextValues: (request) => {
        const stream = "stream" in request ? request.stream : undefined;
        const peer = connections.peer(stream?.session, this.#tokenOf(request.headers.authorization));
        return createContextValues().set(serverCallKey, stream && peer && { peer, stream });
      },
      fallback: (_, response) => {
        if ("stream" in response)
          refuse(response.stream, new RpcError("unimplemented", "unknown service or method"));
      },
    });
    const serve: Listener = (request, response) => {
      // The library makes a URL of it and throws if it cannot, for instance with an IPv6 address without brackets.
      request.headers[":authority"] = "localhost";
      if (!response.headersSent) sayPlainGrpc(response);
      try {
        adapter(request, response);
      } catch (error) {
        logger.debug("request without use", { error });
        refuse(request.stream, new RpcError("unimplemented", "unknown service or method"));
      }
    };
    return (request, response) => {
      const { stream } = request;
      stopCallerAtEnd(stream);
      const method = request.url.startsWith(servicePath) ? request.url.slice(servicePath.length) : undefined;
      if (method === undefined) {
        serve(request, response);
        return;
      }
      const peer = connections.peer(stream.session, this.#tokenOf(request.headers.authorization));
      if (peer === undefined) return;
      if (this.#tokens !== undefined && peer.token === undefined) {
        onCall?.({ method, status: "unauthenticated", durationMs: 0, bytesIn: 0, bytesOut: 0 });
        logger.warn("call without valid token", { method, peer: peer.address });
        refuse(stream, new RpcError("unauthenticated", "a valid bearer token is needed"));
        return;
      }
      if (request.method !== "POST" || !isGrpc(request.headers["content-type"])) {
        response.writeHead(415);
        response.end();
        return;
      }
      if (BulkCalls.handles(method)) {
        void bulk.serve(method, request, response, peer);
        return;
      }
      if (method === "OpenTunnel") sendHeadEarly(response);
      serve(request, response);
    };
  }

  #tokenOf(header: string | undefined): string | undefined {
    return this.#tokens?.check(header);
  }
}

/** @throws UsageError when certificate, key and authority cannot be used together */
export function checkTls(tls: ServerTlsOptions): void {
  try {
    createSecureContext(secureContext(tls));
  } catch (cause) {
    throw new UsageError("TLS: certificate, key or authority cannot be used", { cause });
  }
}

type AnyServer = http2.Http2Server | http2.Http2SecureServer;

function secureContext({ certificate, key, clientCa }: ServerTlsOptions): SecureContextOptions {
  return { cert: certificate, key, ...(clientCa === undefined ? {} : { ca: clientCa }) };
}

type Listener = (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void;

function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(\+proto)?(;|$)/.test(contentType);
}

/** The library says `application/grpc+proto`; the deployed peers say and know the short form. */
function sayPlainGrpc(response: http2.Http2ServerResponse): void {
  const writeHead = response.writeHead.bind(response);
  response.writeHead = (status: number, first?: string | Headers, second?: Headers) => {
    const headers = { ...(typeof first === "string" ? second : first) };
    if (headers["content-type"] === "application/grpc+proto") headers["content-type"] = "application/grpc";
    return writeHead(status, headers);
  };
}

type Headers = http2.OutgoingHttpHeaders;

/**
 * A builder may wait for the response head before it uses the tunnel, while the library would send it with the first
 * order only.
 */
function sendHeadEarly(response: http2.Http2ServerResponse): void {
  response.writeHead(200, { "content-type": "application/grpc" });
  response.writeHead = () => response;
}

/** Once the answer is complete, a caller that is still sending is told to stop; its stream would never close. */
function stopCallerAtEnd(stream: http2.ServerHttp2Stream): void {
  stream.once("wantTrailers", () =>
    setImmediate(() => {
      if (!stream.closed && !stream.readableEnded) stream.close(http2.constants.NGHTTP2_NO_ERROR);
    }),
  );
}

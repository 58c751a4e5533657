/**
 * A gRPC proxy as nginx is with `grpc_pass`: it speaks HTTP/2 on both sides, and what it has to do with connections is
 * up to it. To the server, a connection then says nothing about who calls.
 */
import * as http2 from "node:http2";
import { type AddressInfo, connect as connectSocket } from "node:net";

/** A key pair and the authority that its peer's certificate must be signed by, as PEM text. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export interface GrpcProxyOptions {
  /** The server: `http://host:port`, or the path of a Unix socket. */
  readonly upstream: string;
  /** `perCall`: a new upstream connection for each call, as nginx does; `shared`: one for the calls of all clients. */
  readonly connections: "perCall" | "shared";
  /** Requests after which a client's connection takes no more (GOAWAY), as with nginx. Default: no limit. */
  readonly maxRequests?: number;
  /** Called with the path of each call. */
  readonly onCall?: (path: string) => void;
  /** Mutual TLS on both sides, which the proxy ends: the server sees the proxy's certificate. */
  readonly tls?: { readonly server: TlsIdentity; readonly client: TlsIdentity };
}

export class GrpcProxy implements AsyncDisposable {
  readonly #options: GrpcProxyOptions;
  readonly #server: http2.Http2Server | http2.Http2SecureServer;
  readonly #sessions = new Set<http2.Http2Session>();
  readonly #requests = new WeakMap<http2.Http2Session, number>();
  #shared: http2.ClientHttp2Session | undefined;
  /** Upstream connections that were made. */
  upstreamConnections = 0;

  private constructor(options: GrpcProxyOptions) {
    this.#options = options;
    const settings = { initialWindowSize: 1 << 20 };
    this.#server =
      options.tls === undefined
        ? http2.createServer({ settings })
        : http2.createSecureServer({ settings, ...options.tls.server, requestCert: true });
    this.#server.on("session", (session: http2.Http2Session) => this.#track(session));
    this.#server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) =>
      this.#forward(stream, headers),
    );
  }

  static async start(options: GrpcProxyOptions): Promise<GrpcProxy> {
    const proxy = new GrpcProxy(options);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  /** What clients connect to. */
  get endpoint(): string {
    const scheme = this.#options.tls === undefined ? "http" : "https";
    return `${scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Ends all connections, on both sides, without a word. */
  cut(): void {
    for (const session of this.#sessions) session.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #track(session: http2.Http2Session): void {
    this.#sessions.add(session);
    session.on("error", () => {});
    session.once("close", () => this.#sessions.delete(session));
  }

  #connect(): http2.ClientHttp2Session {
    this.upstreamConnections++;
    const { upstream } = this.#options;
    const session = upstream.startsWith("/")
      ? http2.connect("http://localhost", { createConnection: () => connectSocket(upstream) })
      : http2.connect(upstream, { ...this.#options.tls?.client });
    this.#track(session);
    return session;
  }

  #upstream(): http2.ClientHttp2Session {
    if (this.#options.connections === "perCall") return this.#connect();
    if (this.#shared === undefined || this.#shared.closed || this.#shared.destroyed) {
      this.#shared = this.#connect();
    }
    return this.#shared;
  }

  #forward(down: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
    const from = down.session;
    if (from !== undefined) {
      const requests = (this.#requests.get(from) ?? 0) + 1;
      this.#requests.set(from, requests);
      if (requests === this.#options.maxRequests) from.close();
    }
    this.#options.onCall?.(headers[":path"] ?? "");
    const session = this.#upstream();
    const up = session.request(headers, { endStream: down.readableEnded });
    down.on("error", () => {});
    up.on("error", () => {});
    down.pipe(up);
    up.once("response", (answer) => {
      // An answer that is nothing but its status has it in its head.
      const ended = answer["grpc-status"] !== undefined;
      if (down.destroyed) return;
      down.respond(answer, ended ? { endStream: true } : { waitForTrailers: true });
    });
    let trailers: http2.IncomingHttpHeaders = {};
    up.once("trailers", (got) => {
      trailers = got;
    });
    down.once("wantTrailers", () => down.sendTrailers(trailers));
    up.on("data", (chunk: Buffer) => {
      if (down.writableEnded || down.destroyed) return;
      if (!down.write(chunk)) {
        up.pause();
        down.once("drain", () => up.resume());
      }
    });
    up.once("end", () => down.end());
    up.once("close", () => {
      if (up.rstCode !== 0 && !down.closed) down.close(up.rstCode);
      if (this.#options.connections === "perCall") session.close();
    });
    down.once("close", () => {
      if (!up.closed) up.close(down.rstCode === 0 ? http2.constants.NGHTTP2_NO_ERROR : down.rstCode);
    });
  }
}

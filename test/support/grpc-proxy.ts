/**
 * A gRPC proxy as nginx is with `grpc_pass`: it speaks HTTP/2 on both sides, and what it has to do with connections is
 * up to it. To the server, a connection then says nothing about who calls.
 */
import * as http2 from "node:http2";
import { type AddressInfo, connect as connectSocket } from "node:net";

export interface GrpcProxyOptions {
  /** The server: `http://host:port`, or the path of a Unix socket. */
  readonly upstream: string;
  /** `perCall`: a new upstream connection for each call, as nginx does; `shared`: one for the calls of all clients. */
  readonly connections: "perCall" | "shared";
}

export class GrpcProxy implements AsyncDisposable {
  readonly #options: GrpcProxyOptions;
  readonly #server: http2.Http2Server;
  readonly #sessions = new Set<http2.Http2Session>();
  #shared: http2.ClientHttp2Session | undefined;
  /** Upstream connections that were made. */
  upstreamConnections = 0;

  private constructor(options: GrpcProxyOptions) {
    this.#options = options;
    this.#server = http2.createServer({ settings: { initialWindowSize: 1 << 20 } });
    this.#server.on("session", (session) => this.#track(session));
    this.#server.on("stream", (stream, headers) => this.#forward(stream, headers));
  }

  static async start(options: GrpcProxyOptions): Promise<GrpcProxy> {
    const proxy = new GrpcProxy(options);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  /** What clients connect to. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) session.destroy();
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
      : http2.connect(upstream);
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

/**
 * The runner's gRPC server: HTTP/2 on any number of listeners, one service, health beside it. All calls go through the
 * codec of `../stream`, which bounds what a peer can make the server hold.
 */

import type * as http2 from "node:http2";
import type { AddressInfo, Server } from "node:net";
import { createSecureContext, type SecureContextOptions, type TLSSocket } from "node:tls";
import {
  aFunction,
  aList,
  aLogger,
  anObject,
  aText,
  checkArgument,
  checkMade,
  checkMembers,
  isObject,
  listOf,
  optional,
} from "../../argument-checks.js";
import { UsageError } from "../../errors.js";
import { type Logger, silentLogger } from "../../log.js";
import type { StoreDir } from "../../nix/path/store-path.js";
import type { RunnerServiceHandlers } from "../types.js";
import type { RpcCallRecord } from "./call.js";
import { Connections, firstStreams } from "./connections.js";
import { addressOf, type ListenerOptions, listen } from "./listeners.js";
import { MachineRegistry } from "./machine-registry.js";
import { MessageBudget } from "./message-budget.js";
import type { RequestListener } from "./request-listener.js";
import type { ServerTunnel } from "./server-tunnel.js";
import { TokenList } from "./tokens.js";

/** PEM texts. With `clientCa` callers must show a certificate of that authority. */
export interface ServerTlsOptions {
  readonly certificate: string | Buffer;
  readonly key: string | Buffer;
  readonly clientCa?: string | Buffer | undefined;
}

/** What a server serves, where, to whom, and within which limits. */
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
  /** Called after every call of the service. */
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
  /** Connections at a time on each listener. Default 8,192. */
  readonly maxConnections?: number | undefined;
  /** Connections at a time from one address; a proxy may use one for each call. Default 4,096. */
  readonly maxConnectionsPerAddress?: number | undefined;
  /** Milliseconds after which a connection without an accepted call is closed. Default 60 s. */
  readonly strangerTimeoutMs?: number | undefined;
}

/** Megabytes that the HTTP/2 library may hold for a connection: four times its window. */
const maxSessionMemory = 64;
/** Bytes of all headers of a call. The running builds of a large builder travel in one. */
const maxHeaderBytes = 65_535;

/** What is loaded by the start of a server, so that importing its class is quick. */
interface Late {
  readonly http2: typeof http2;
  readonly createListener: typeof import("./request-listener.js").requestListener;
}

/** A running server. Close it to free its listeners. */
export class RunnerServer {
  readonly #options: RunnerServerOptions;
  readonly #http2: typeof http2;
  readonly #servers: readonly AnyServer[];
  readonly #connections: Connections;
  readonly #tunnels = new Set<ServerTunnel>();
  #tokens: TokenList | undefined;

  private constructor(options: RunnerServerOptions, tokens: TokenList | undefined, late: Late) {
    checkMade("RunnerServer", "RunnerServer.start()", isObject(late) && "createListener" in late);
    const { http2, createListener } = late;
    const { logger = silentLogger } = options;
    const machines = new MachineRegistry();
    this.#options = options;
    this.#http2 = http2;
    this.#tokens = tokens;
    this.#connections = new Connections({
      machines,
      connectionWindow: options.connectionWindow ?? 16 * 1024 * 1024,
      keepaliveIntervalMs: options.keepaliveIntervalMs ?? 20_000,
      keepaliveTimeoutMs: options.keepaliveTimeoutMs ?? 20_000,
      maxPerAddress: options.maxConnectionsPerAddress ?? 4_096,
      strangerTimeoutMs: options.strangerTimeoutMs ?? 60_000,
      logger,
    });
    const listener = createListener({
      handlers: options.handlers,
      storeDir: options.storeDir,
      connections: this.#connections,
      machines,
      budget: new MessageBudget(),
      tunnels: this.#tunnels,
      tunnelQueueLimit: options.tunnelQueueLimit ?? 128,
      tokens: () => this.#tokens,
      logger,
      onCall: options.onCall,
      healthy: options.healthy ?? (() => true),
    });
    this.#servers = options.listeners.map(() => this.#createServer(listener));
  }

  /** @throws UsageError when a listener, certificate or token file cannot be used */
  static async start(options: RunnerServerOptions): Promise<RunnerServer> {
    checkMembers("RunnerServer", options, {
      handlers: anObject,
      storeDir: aText,
      listeners: listOf('a list of addresses, such as [{ kind: "tcp", host: "::1", port: 0 }]', anObject),
      tls: optional(anObject),
      tokenPaths: optional(aList),
      logger: optional(aLogger),
      onCall: optional(aFunction),
      healthy: optional(aFunction),
    });
    const tokens = options.tokenPaths && (await TokenList.load(options.tokenPaths));
    const [http2, { requestListener: createListener }] = await Promise.all([
      import("node:http2"),
      import("./request-listener.js"),
    ]);
    const server = new RunnerServer(options, tokens, { http2, createListener });
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
   * Rereads the token files; open tunnels stay.
   *
   * @throws UsageError when one cannot be used; the old tokens then stay in force
   */
  async reloadTokens(paths: readonly string[] | undefined): Promise<void> {
    this.#tokens = paths && (await TokenList.load(paths));
  }

  /**
   * Shows another certificate on new connections; open ones stay. Whether there is TLS at all, and
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

  #createServer(onRequest: RequestListener): AnyServer {
    const { tls, logger = silentLogger, streamWindow = 4 * 1024 * 1024 } = this.#options;
    const settings: http2.ServerOptions = {
      settings: {
        initialWindowSize: streamWindow,
        maxConcurrentStreams: firstStreams,
        maxHeaderListSize: maxHeaderBytes,
      },
      // Frames of slow calls wait in memory up to the windows; the default of 10 MB would break connections.
      maxSessionMemory,
    };
    const server =
      tls === undefined
        ? this.#http2.createServer(settings)
        : this.#http2.createSecureServer({
            ...settings,
            ...secureContext(tls),
            ...(tls.clientCa === undefined ? {} : { requestCert: true, rejectUnauthorized: true }),
            allowHTTP1: false,
          });
    server.on("stream", onRequest);
    server.maxConnections = this.#options.maxConnections ?? 8_192;
    server.on("session", (session: http2.ServerHttp2Session) => {
      // The address of a listener on a Unix socket, inherited or not, is its path.
      const isUnix = typeof server.address() === "string";
      const kind = tls?.clientCa !== undefined ? "mutualTls" : isUnix ? "unix" : "tcp";
      this.#connections.add(session, kind);
    });
    // Out of descriptors, say: the listener lives on; an error without a listener would end the process.
    server.on("error", (error: Error) => logger.warn("listener failed", { error }));
    server.on("sessionError", (error: Error) => logger.debug("connection failed", { error }));
    server.on("tlsClientError", (error: Error, { remoteAddress: peer = "unknown" }: TLSSocket) =>
      logger.warn("TLS handshake failed", { peer, error }),
    );
    return server;
  }
}

/** @throws UsageError when certificate, key and authority cannot be used together */
export function checkTls(tls: ServerTlsOptions): void {
  checkArgument("checkTls", "tls", tls, anObject);
  try {
    createSecureContext(secureContext(tls));
  } catch (cause) {
    throw new UsageError("TLS: the certificate, key or CA certificate cannot be used", { cause });
  }
}

type AnyServer = http2.Http2Server | http2.Http2SecureServer;

function secureContext({ certificate, key, clientCa }: ServerTlsOptions): SecureContextOptions {
  return { cert: certificate, key, ...(clientCa === undefined ? {} : { ca: clientCa }) };
}

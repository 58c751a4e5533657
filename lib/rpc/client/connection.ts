/**
 * One HTTP/2 connection to a runner, opened at the first call. Once it is lost it stays lost: for another
 * connection, make another client, because to the runner a connection is a builder.
 */

import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  ClientSessionRequestOptions,
  OutgoingHttpHeaders,
} from "node:http2";
import { turn } from "../../async/index.js";
import { errorChain, toError } from "../../errors.js";
import type { Logger } from "../../log.js";
import { RpcError } from "../errors.js";
import { tlsTrouble } from "./connection-trouble.js";
import type { Endpoint } from "./endpoint.js";

/** Where to connect, and the limits of the connection. */
export interface ConnectionOptions {
  readonly endpoint: Endpoint;
  /** Bytes the runner may have in flight per stream and over all streams. */
  readonly streamWindow: number;
  readonly connectionWindow: number;
  readonly connectTimeoutMs: number;
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly logger: Logger;
}

/** One HTTP/2 connection, opened at the first call and never opened again. */
export class ClientConnection {
  /** What the gRPC library compares request URLs with. */
  readonly authority: string;
  readonly #options: ConnectionOptions;
  #session: Promise<ClientHttp2Session> | undefined;
  #current: ClientHttp2Session | undefined;
  #lost: RpcError | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.authority = options.endpoint.origin;
  }

  /** Why the connection is over; undefined while it is not. */
  get lost(): RpcError | undefined {
    // Streams may tell of it before the session does.
    if (this.#current?.destroyed === true) this.#lose("the connection to the runner was lost");
    return this.#lost;
  }

  /**
   * Why a call that ended without a status did so, if the connection is to blame. Asks after a moment, because streams
   * may end before the session does.
   */
  async blame(): Promise<RpcError | undefined> {
    await turn();
    if (this.#current?.closed === true) return this.#lose("the runner closed the connection");
    return this.lost;
  }

  /** @throws RpcError `unavailable` when there is no connection */
  async request(
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    options: Omit<ClientSessionRequestOptions, "signal"> = {},
  ): Promise<ClientHttp2Stream> {
    this.#session ??= this.#connect();
    const session = await this.#session;
    if (this.lost !== undefined) throw this.lost;
    if (session.closed || session.destroyed) throw this.#lose("the runner is closing the connection");
    // Left to itself, the HTTP library forgets the brackets of IPv6 addresses.
    const authority = new URL(this.authority).host;
    const stream = session.request(
      { ...headers, ":method": method, ":path": path, ":authority": authority },
      options,
    );
    let answered = false;
    stream.once("response", () => {
      answered = true;
    });
    // A connection that ends in an orderly way closes its streams without an error, and the library would wait on.
    stream.once("close", () => {
      if (!answered && stream.rstCode === 0 && stream.listenerCount("error") > 0) {
        stream.emit("error", new RpcError("unavailable", "the runner closed the call without an answer"));
      }
    });
    return stream;
  }

  /** For the gRPC library, whose own keep-alive asks for it. */
  notifyResponseByteRead(): void {}

  /** Lets nothing finish: what runs ends with `unavailable`. */
  async close(): Promise<void> {
    const reason = this.#lose("the client was closed");
    this.#session ??= Promise.reject(reason);
    // One that is just being opened does not get through any more.
    if (this.#current?.connecting === true) this.#current.destroy(reason);
    const session = await this.#session.catch(() => undefined);
    if (session === undefined || session.destroyed) return;
    const closed = new Promise<void>((resolve) => session.once("close", () => resolve()));
    session.destroy();
    await closed;
  }

  #connect(): Promise<ClientHttp2Session> {
    const { endpoint, streamWindow, connectionWindow, connectTimeoutMs, logger } = this.#options;
    return new Promise((resolve, reject) => {
      const session = endpoint.open({
        settings: { initialWindowSize: streamWindow, enablePush: false },
        // Frames of slow readers wait in memory up to the windows; the default of 10 MB would break connections.
        maxSessionMemory: 256,
      });
      this.#current = session;
      let stop = (): void => {};
      const timer = setTimeout(() => {
        session.destroy(new Error(`no connection within ${connectTimeoutMs} ms`));
      }, connectTimeoutMs);
      session.once("connect", () => {
        clearTimeout(timer);
        session.setLocalWindowSize(connectionWindow);
        stop = this.#keepAlive(session);
        resolve(session);
      });
      session.on("error", (error) => {
        logger.debug("connection failed", { endpoint: endpoint.address, error });
        const trouble = tlsTrouble(endpoint.address, error);
        // What OpenSSL writes is for the debug log only.
        if (trouble !== undefined) reject(this.#lose(`${endpoint.address}: ${trouble}`));
        else reject(this.#lose(`${endpoint.address}: ${errorChain(error)}`, error));
      });
      session.once("close", () => {
        clearTimeout(timer);
        stop();
        reject(this.#lose("the connection to the runner was lost"));
      });
    });
  }

  #keepAlive(session: ClientHttp2Session): () => void {
    const { keepaliveIntervalMs, keepaliveTimeoutMs } = this.#options;
    let timeout: NodeJS.Timeout | undefined;
    const interval = setInterval(() => {
      if (session.destroyed || timeout !== undefined) return;
      timeout = setTimeout(() => {
        session.destroy(new Error("the runner does not answer pings"));
      }, keepaliveTimeoutMs);
      session.ping(() => {
        clearTimeout(timeout);
        timeout = undefined;
      });
    }, keepaliveIntervalMs);
    return () => {
      clearInterval(interval);
      clearTimeout(timeout);
    };
  }

  /** The first reason counts. */
  #lose(reason: string, cause?: unknown): RpcError {
    this.#lost ??= new RpcError(
      "unavailable",
      reason,
      cause === undefined ? undefined : { cause: toError(cause) },
    );
    return this.#lost;
  }
}

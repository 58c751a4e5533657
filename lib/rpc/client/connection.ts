/**
 * The HTTP/2 connection to a runner, opened at the first call. Once it is lost it stays lost, because its tunnel is lost
 * as well: for another connection, make another client.
 *
 * A connection that the other side only closes to new calls (GOAWAY) is not lost. Proxies do that after a number of
 * requests, or when they are reloaded, while the tunnel goes on. Later calls then get another connection.
 */

import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionRequestOptions,
  constants,
  type OutgoingHttpHeaders,
} from "node:http2";
import { turn } from "../../async/index.js";
import { errorChain, toError } from "../../errors.js";
import type { Logger } from "../../log.js";
import { RpcError, UnprocessedCallError } from "../errors.js";
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
  /** Whether a tunnel is open. Only then is a connection replaced. */
  readonly hasTunnel: () => boolean;
  readonly logger: Logger;
}

/** An HTTP/2 connection, opened at the first call, and replaced when it takes no more calls while a tunnel is open. */
export class ClientConnection {
  /** What the gRPC library compares request URLs with. */
  readonly authority: string;
  readonly #options: ConnectionOptions;
  #session: Promise<ClientHttp2Session> | undefined;
  #current: ClientHttp2Session | undefined;
  /** Those that are not over, also ones that only finish the calls they have. */
  readonly #open = new Set<ClientHttp2Session>();
  #lost: RpcError | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.authority = options.endpoint.origin;
  }

  /** Why the connection is over; undefined while it is not. */
  get lost(): RpcError | undefined {
    // Streams may report it before the session does.
    if (this.#current?.destroyed === true && !this.#isReplaceable())
      this.#lose("the connection to the runner was lost");
    return this.#lost;
  }

  /**
   * Why a call that ended without a status did so, if the connection is to blame. Asks after a moment, because streams
   * may end before the session does.
   */
  async blame(): Promise<RpcError | undefined> {
    await turn();
    if (this.#current?.closed !== true) return this.lost;
    const reason = "the runner closed the connection";
    return this.#isReplaceable() ? unavailable(reason) : this.#lose(reason);
  }

  /** @throws RpcError `unavailable` when there is no connection */
  async request(
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    options: Omit<ClientSessionRequestOptions, "signal"> = {},
  ): Promise<ClientHttp2Stream> {
    const session = await this.#sessionForCall();
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
      if (!answered && stream.rstCode === constants.NGHTTP2_NO_ERROR && stream.listenerCount("error") > 0) {
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
    await this.#session.catch(() => undefined);
    const open = [...this.#open].filter((session) => !session.destroyed);
    const closed = open.map(
      (session) => new Promise<void>((resolve) => session.once("close", () => resolve())),
    );
    for (const session of open) session.destroy();
    await Promise.all(closed);
  }

  async #sessionForCall(): Promise<ClientHttp2Session> {
    this.#session ??= this.#connect();
    const session = await this.#session;
    if (this.lost !== undefined) throw this.lost;
    if (!session.closed && !session.destroyed) return session;
    if (!this.#isReplaceable()) throw this.#lose("the runner is closing the connection");
    // The first of several calls makes the connection for all of them.
    if (this.#current === session) this.#session = this.#connect();
    const next = await this.#session;
    if (this.lost !== undefined) throw this.lost;
    if (next.closed || next.destroyed) throw new UnprocessedCallError();
    return next;
  }

  /** Whether a tunnel may still be open on one of the connections, so that the runner knows us. */
  #isReplaceable(): boolean {
    if (this.#lost !== undefined || !this.#options.hasTunnel()) return false;
    return [...this.#open].some((session) => !session.destroyed);
  }

  #connect(): Promise<ClientHttp2Session> {
    const { endpoint, streamWindow, connectionWindow, connectTimeoutMs, logger } = this.#options;
    const connecting = new Promise<ClientHttp2Session>((resolve, reject) => {
      const session = endpoint.open({
        settings: { initialWindowSize: streamWindow, enablePush: false },
        // Frames of slow readers wait in memory up to the windows; the default of 10 MB would break connections.
        maxSessionMemory: 256,
      });
      this.#current = session;
      this.#open.add(session);
      const end = (reason: string, cause?: unknown): RpcError => {
        this.#open.delete(session);
        if (!this.#isReplaceable()) return this.#lose(reason, cause);
        // The next call tries again.
        if (this.#session === connecting) this.#session = undefined;
        return unavailable(reason, cause);
      };
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
        if (trouble !== undefined) reject(end(`${endpoint.address}: ${trouble}`));
        else reject(end(`${endpoint.address}: ${errorChain(error)}`, error));
      });
      session.once("close", () => {
        clearTimeout(timer);
        stop();
        reject(end("the connection to the runner was lost"));
      });
    });
    connecting.catch(() => undefined);
    return connecting;
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
    this.#lost ??= unavailable(reason, cause);
    return this.#lost;
  }
}

function unavailable(reason: string, cause?: unknown): RpcError {
  return new RpcError("unavailable", reason, cause === undefined ? undefined : { cause: toError(cause) });
}

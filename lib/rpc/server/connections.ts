/**
 * The HTTP/2 connections of a server: windows, keep-alive, identity, and their end.
 *
 * A peer that does not answer a PING in time is gone, whatever TCP believes; its connection is destroyed, which ends
 * its tunnel at once.
 */
import type { Http2Session, ServerHttp2Session } from "node:http2";
import type { Logger } from "../../log.js";
import type { Peer } from "../types.js";

export interface ConnectionsOptions {
  /** Bytes a peer may have in flight over all streams of a connection. */
  readonly connectionWindow: number;
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
  readonly logger: Logger;
}

interface Connection {
  readonly id: number;
  readonly address: string;
  readonly machineIds: Set<string>;
}

export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #open = new Map<Http2Session, Connection>();
  #lastId = 0;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#open.size;
  }

  add(session: ServerHttp2Session): void {
    const { connectionWindow, logger } = this.#options;
    this.#lastId += 1;
    const { remoteAddress, remotePort } = session.socket;
    const address = remoteAddress === undefined ? "unix" : `${remoteAddress}:${remotePort ?? 0}`;
    const connection: Connection = { id: this.#lastId, address, machineIds: new Set() };
    this.#open.set(session, connection);
    session.setLocalWindowSize(connectionWindow);
    const stop = this.#keepAlive(session, address);
    session.on("error", (error) => logger.debug("connection broke", { peer: address, error }));
    session.once("close", () => {
      stop();
      this.#open.delete(session);
    });
  }

  /** Undefined when the connection is gone already. */
  peer(session: Http2Session | undefined, token: string | undefined): Peer | undefined {
    const connection = session && this.#open.get(session);
    if (connection === undefined) return undefined;
    const { id, address, machineIds } = connection;
    return { connectionId: id, address, token, machineIds };
  }

  /** A machine joined on this connection, or left. */
  setJoined(session: Http2Session | undefined, machineId: string, joined: boolean): void {
    const connection = session && this.#open.get(session);
    if (joined) connection?.machineIds.add(machineId);
    else connection?.machineIds.delete(machineId);
  }

  /** Says good-bye (GOAWAY) and lets running calls finish for `graceMs`. */
  async close(graceMs: number): Promise<void> {
    const sessions = [...this.#open.keys()];
    const closed = sessions.map((session) => new Promise<void>((resolve) => session.once("close", resolve)));
    for (const session of sessions) session.close();
    const timer = setTimeout(() => {
      for (const session of sessions) session.destroy();
    }, graceMs);
    await Promise.all(closed);
    clearTimeout(timer);
  }

  #keepAlive(session: ServerHttp2Session, address: string): () => void {
    const { keepaliveIntervalMs, keepaliveTimeoutMs, logger } = this.#options;
    let timeout: NodeJS.Timeout | undefined;
    const interval = setInterval(() => {
      if (session.destroyed || timeout !== undefined) return;
      timeout = setTimeout(() => {
        logger.warn("peer does not answer pings, closing the connection", { peer: address });
        session.destroy();
      }, keepaliveTimeoutMs);
      timeout.unref();
      session.ping((error) => {
        clearTimeout(timeout);
        timeout = undefined;
        if (error) logger.debug("ping failed", { peer: address, error });
      });
    }, keepaliveIntervalMs);
    interval.unref();
    return () => {
      clearInterval(interval);
      clearTimeout(timeout);
    };
  }
}

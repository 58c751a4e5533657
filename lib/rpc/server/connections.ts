/**
 * The HTTP/2 connections of a server: how many there may be, windows, keep-alive, identity, and their end.
 *
 * A peer that does not answer a PING in time is gone, whatever TCP believes; its connection is destroyed, which ends
 * its tunnel at once. A connection on which no call was accepted is closed after a while, so that peers without a token
 * cannot keep many open.
 */
import type { Http2Session, ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { Logger } from "../../log.js";
import { type Principal, principalKey } from "../principal.js";
import type { Peer } from "../types.js";
import type { MachineRegistry } from "./machine-registry.js";
import type { Identity } from "./tokens.js";

/**
 * Calls at a time on one connection. Peers wait with further ones. What packets open is taken in one turn of the event
 * loop however many connections they come on, so this bounds that turn.
 */
export const firstStreams = 16;
/** The same once a call came for a machine that has joined: a tunnel, and for each build its log, uploads and questions. */
const wideStreams = 256;
/** Connections of one principal that may have so many: a proxy may carry the calls of a whole farm. */
const mostWide = 16;

/** Limits and identity of the connections of a server. */
export interface ConnectionsOptions {
  readonly machines: MachineRegistry;
  /** Bytes a peer may have in flight over all streams of a connection. */
  readonly connectionWindow: number;
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
  /** Connections at a time from one address. */
  readonly maxPerAddress: number;
  /** Milliseconds after which a connection without an accepted call is closed. */
  readonly strangerTimeoutMs: number;
  readonly logger: Logger;
}

/** What the listener of a connection proves about its peers. */
export type ListenerKind = "tcp" | "mutualTls" | "unix";

interface Connection {
  readonly id: number;
  /** Address with port. */
  readonly address: string;
  /** Of calls without a token. */
  readonly principal: Principal;
  /** Closes the connection unless a call is accepted before. */
  stranger: NodeJS.Timeout | undefined;
  /** Whose machine it was widened for. */
  wideFor: string | undefined;
}

/** All open connections of a server. */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #open = new Map<Http2Session, Connection>();
  readonly #perAddress = new Map<string, number>();
  /** Connections with many calls, by principal. */
  readonly #wide = new Map<string, number>();
  #lastId = 0;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Connections that are open. */
  get size(): number {
    return this.#open.size;
  }

  /** A connection was made; it is destroyed at once when it proves nothing or there are too many. */
  add(session: ServerHttp2Session, kind: ListenerKind): void {
    const { connectionWindow, strangerTimeoutMs, maxPerAddress, logger } = this.#options;
    const { remoteAddress, remotePort } = session.socket;
    session.on("error", (error) => logger.debug("connection broke", { peer: remoteAddress, error }));
    const principal = principalOfConnection(session.socket, kind);
    if (principal === undefined) {
      session.destroy();
      return;
    }
    const host = remoteAddress ?? "unix";
    const count = (this.#perAddress.get(host) ?? 0) + 1;
    if (count > maxPerAddress) {
      logger.warn("too many connections from one address", { peer: host, limit: maxPerAddress });
      session.destroy();
      return;
    }
    this.#perAddress.set(host, count);
    this.#lastId += 1;
    const address = remoteAddress === undefined ? "unix" : `${host}:${remotePort ?? 0}`;
    const id = this.#lastId;
    const connection: Connection = { id, address, principal, stranger: undefined, wideFor: undefined };
    this.#open.set(session, connection);
    session.setLocalWindowSize(connectionWindow);
    const stop = this.#keepAlive(session, address);
    connection.stranger = setTimeout(() => session.destroy(), strangerTimeoutMs);
    connection.stranger.unref();
    session.once("close", () => {
      stop();
      clearTimeout(connection.stranger);
      this.#open.delete(session);
      if (connection.wideFor !== undefined) countDown(this.#wide, connection.wideFor);
      countDown(this.#perAddress, host);
    });
  }

  /** Who makes a call with the token, if any; undefined when the connection is gone already. */
  peer(session: Http2Session | undefined, token: Identity | undefined): Peer | undefined {
    const connection = session && this.#open.get(session);
    if (connection === undefined) return undefined;
    const { id, address } = connection;
    const principal: Principal =
      token === undefined ? connection.principal : { kind: "token", name: token.principal };
    const { machines } = this.#options;
    return {
      connectionId: id,
      address,
      token: token?.name,
      principal,
      get machineIds() {
        return machines.of(principal);
      },
    };
  }

  /** A call of the principal was accepted on the connection. */
  accepted(session: Http2Session | undefined, principal: Principal): void {
    const connection = session && this.#open.get(session);
    if (session === undefined || connection === undefined) return;
    if (connection.wideFor === undefined && this.#options.machines.of(principal).size > 0) {
      this.#widen(session, connection, principalKey(principal));
    }
    if (connection.stranger === undefined) return;
    clearTimeout(connection.stranger);
    connection.stranger = undefined;
  }

  #widen(session: Http2Session, connection: Connection, key: string): void {
    const count = this.#wide.get(key) ?? 0;
    if (count >= mostWide || session.destroyed || session.closed) return;
    this.#wide.set(key, count + 1);
    connection.wideFor = key;
    session.settings({ maxConcurrentStreams: wideStreams });
  }

  /** Sends GOAWAY and lets running calls finish for `graceMs`. */
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

function countDown(counts: Map<string, number>, key: string): void {
  const left = (counts.get(key) ?? 1) - 1;
  if (left > 0) counts.set(key, left);
  else counts.delete(key);
}

/** Undefined when the connection is gone already, or does not show the certificate that it must. */
function principalOfConnection(socket: Socket, kind: ListenerKind): Principal | undefined {
  switch (kind) {
    case "unix":
      return { kind: "unixPeer" };
    case "mutualTls": {
      const subject = subjectOf(socket);
      return subject === undefined ? undefined : { kind: "certificate", subject };
    }
    case "tcp": {
      const { remoteAddress } = socket;
      if (remoteAddress === undefined) return undefined;
      return { kind: "anonymous", address: remoteAddress.replace(/^::ffff:(?=\d+\.)/, "") };
    }
  }
}

/** The distinguished name; certificates without one are distinguished by what else they hold. */
function subjectOf(socket: Socket): string | undefined {
  // The session shows its socket through a proxy that knows no `in` and no `instanceof`.
  const certificate = (socket as Partial<TLSSocket>).getPeerX509Certificate?.();
  if (certificate === undefined) return undefined;
  const { subject, subjectAltName, fingerprint256 } = certificate;
  // One attribute a line; line breaks inside values are escaped.
  return (subject ?? "").split("\n").join(", ") || subjectAltName || fingerprint256;
}

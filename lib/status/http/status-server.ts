import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, ListenOptions } from "node:net";
import {
  aFunction,
  aLogger,
  anObject,
  checkMade,
  checkMembers,
  isObject,
  optional,
} from "../../argument-checks.js";

import { type Logger, silentLogger } from "../../log.js";

/** Of one request: first line and all headers. */
const maxHeaderBytes = 16 * 1024;

/** What a `StatusServer` is made with. */
export interface StatusServerOptions {
  /** `StatusRouter.handle`. */
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void;
  /** Where to listen: an address, a socket path or an inherited descriptor, as `net.Server.listen` takes it. */
  readonly listen: ListenOptions | { readonly fd: number };
  /** Connections beyond this number are refused. Default 1024. */
  readonly maxConnections?: number;
  /** Milliseconds until the headers of a request must be there. Default 15,000. */
  readonly headersTimeoutMs?: number;
  /** Milliseconds until a whole request, with its body, must be there. Default 60,000. */
  readonly requestTimeoutMs?: number;
  /** Milliseconds without any progress after which a connection ends: its client does not read. Default 120,000. */
  readonly stallTimeoutMs?: number;
  readonly logger?: Logger;
}

/** An HTTP/1.1 server whose timeouts end the connections of slow and silent clients. */
export class StatusServer implements AsyncDisposable {
  readonly #server: Server;

  private constructor(server: Server) {
    checkMade("StatusServer", "StatusServer.listen()", isObject(server));
    this.#server = server;
  }

  /** Resolves when the port is open. @throws the error of the operating system when it cannot be opened */
  static async listen(options: StatusServerOptions): Promise<StatusServer> {
    checkMembers("StatusServer", options, {
      handler: aFunction,
      listen: anObject,
      logger: optional(aLogger),
    });
    const { headersTimeoutMs = 15_000, requestTimeoutMs = 60_000, stallTimeoutMs = 120_000 } = options;
    const server = createServer(
      {
        headersTimeout: headersTimeoutMs,
        requestTimeout: requestTimeoutMs,
        keepAliveTimeout: 30_000,
        connectionsCheckingInterval: Math.min(5_000, headersTimeoutMs),
        maxHeaderSize: maxHeaderBytes,
      },
      options.handler,
    );
    server.timeout = stallTimeoutMs;
    server.maxConnections = options.maxConnections ?? 1024;
    server.listen(options.listen);
    await once(server, "listening");
    // A connection that cannot be accepted (no descriptors left) must not end the listener, nor the process.
    const logger = options.logger ?? silentLogger;
    server.on("error", (error) => logger.warn("status API: connection not accepted", { error }));
    return new StatusServer(server);
  }

  /** Address in use; port 0 is replaced by the port that was assigned. */
  get address(): AddressInfo | string | undefined {
    return this.#server.address() ?? undefined;
  }

  /** Stops accepting, lets answers under way finish for `graceMs`, then cuts what is left. */
  async close(graceMs = 2_000): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeIdleConnections();
    const timer = setTimeout(() => this.#server.closeAllConnections(), graceMs);
    try {
      await closed;
    } finally {
      clearTimeout(timer);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";

import { HydraError, toError } from "../errors.js";
import { type Logger, silentLogger } from "../log.js";
import { StatusError } from "./errors.js";
import { errorReply, type Reply, sendReply } from "./http-reply.js";
import { Metrics } from "./metrics.js";
import { findRoute } from "./routes.js";
import type { StatusSource } from "./types.js";

/** What a `StatusRouter` is made with. */
export interface StatusRouterOptions {
  readonly source: StatusSource;
  /** Default: a set of its own, all zero. */
  readonly metrics?: Metrics;
  readonly logger?: Logger;
  /** Shown in `/health` and the metrics. */
  readonly version?: string;
  /** When set, requests that change something must carry it as `Authorization: Bearer …`. Reading stays open. */
  readonly writeToken?: string | undefined;
  /** Milliseconds since the epoch. Default `Date.now`. */
  readonly clock?: () => number;
}

/**
 * Answers the requests of the status API. `handle` is an ordinary listener of an HTTP/1.1 server:
 *
 *     http.createServer(router.handle)
 */
export class StatusRouter {
  readonly #source: StatusSource;
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  readonly #version: string;
  readonly #writeToken: Uint8Array | undefined;
  readonly #clock: () => number;

  constructor(options: StatusRouterOptions) {
    this.#source = options.source;
    this.#metrics = options.metrics ?? new Metrics({ runtime: false });
    this.#logger = options.logger ?? silentLogger;
    this.#version = options.version ?? "unknown";
    this.#writeToken = options.writeToken === undefined ? undefined : digest(`Bearer ${options.writeToken}`);
    this.#clock = options.clock ?? Date.now;
  }

  readonly handle = (request: IncomingMessage, response: ServerResponse): void => {
    void this.#serve(request, response);
  };

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const started = performance.now();
    const method = request.method ?? "GET";
    const url = request.url ?? "/";
    const found = findRoute(method, url);
    let reply: Reply;
    try {
      if (found === undefined) throw new StatusError("not-found", "Not found");
      if (found.route.method !== "GET") this.#permitWriting(request);
      reply = await found.route.answer({
        source: this.#source,
        metrics: this.#metrics,
        now: this.#clock(),
        version: this.#version,
        request,
        parameter: found.parameter,
      });
    } catch (thrown) {
      reply = this.#refusal(thrown, `${method} ${url.split("?")[0] ?? ""}`);
    }
    // The rest of a refused body is not read.
    if (reply.status === 413) response.shouldKeepAlive = false;
    try {
      await sendReply(request, response, reply);
    } catch (thrown) {
      this.#logger.debug("answer could not be sent", { error: toError(thrown) });
      response.destroy();
    }
    const seconds = (performance.now() - started) / 1000;
    this.#metrics.observeRequest(found?.route.pattern ?? "unknown", reply.status, seconds);
    this.#logger.debug("request", { method, path: url.split("?")[0], status: reply.status });
  }

  /** Pages of other sites must not change anything through the browser of a visitor. */
  #permitWriting(request: IncomingMessage): void {
    const { origin, host, authorization } = request.headers;
    if (origin !== undefined && !sameHost(origin, host)) {
      throw new StatusError("bad-request", "requests from other sites are refused", { status: 403 });
    }
    if (this.#writeToken === undefined) return;
    if (authorization === undefined || !timingSafeEqual(digest(authorization), this.#writeToken)) {
      throw new StatusError("bad-request", "No valid auth token", { status: 401 });
    }
  }

  #refusal(thrown: unknown, what: string): Reply {
    if (thrown instanceof StatusError) {
      if (thrown.status >= 500) this.#logger.error("request failed", { request: what, error: thrown });
      return errorReply(thrown.status, thrown.message);
    }
    const error = toError(thrown);
    this.#logger.error("request failed", { request: what, error });
    // Only our own messages are safe to show to clients; the log has the rest.
    return errorReply(500, error instanceof HydraError ? error.message : "internal error");
  }
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

function sameHost(origin: string, host: string | undefined): boolean {
  try {
    return new URL(origin).host === host;
  } catch {
    return false;
  }
}

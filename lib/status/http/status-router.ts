/** From a request to its answer: who may ask, which route it is, what went wrong. */

import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { aFunction, aLogger, aText, checkMembers, having, optional } from "../../argument-checks.js";
import { MadeOnce } from "../../async/index.js";
import { HydraError, toError } from "../../errors.js";
import { type Logger, silentLogger } from "../../log.js";
import { StatusError } from "../errors.js";
import { Metrics } from "../metrics/metrics.js";
import type { StatusSource } from "../types.js";
import { HostNames } from "./host-names.js";
import { type EncodedReply, encodeReply, errorReply, type Reply } from "./http-reply.js";
import { nodeRequest, sendToNode } from "./node-http.js";
import { OrderlyRequests } from "./orderly-requests.js";
import { belowBasePath, headerOf, normalBasePath, type StatusRequest } from "./status-request.js";

type Routes = Pick<typeof import("../routes.js"), "findRoute"> &
  Pick<typeof import("../routes/api.js"), "closeStreams">;

/** Loaded by the first request, with all that answers are made of. */
const routes = new MadeOnce(async (): Promise<Routes> => {
  const [{ findRoute }, { closeStreams }] = await Promise.all([
    import("../routes.js"),
    import("../routes/api.js"),
  ]);
  return { findRoute, closeStreams };
});

/** Read by monitoring, which may know the server by a name that we do not; no secret is in them. */
const monitoringRoutes: ReadonlySet<string> = new Set(["/metrics", "/health", "/ready"]);

/** Codes of refusals that say more than that of the error. */
const codesByStatus: ReadonlyMap<number, string> = new Map([
  [401, "unauthorized"],
  [403, "forbidden"],
  [410, "gone"],
  [413, "too-large"],
  [416, "range"],
  [421, "misdirected"],
]);

/** What a `StatusRouter` is made with. */
export interface StatusRouterOptions {
  readonly source: StatusSource;
  /** Default: a set of its own, all zero. */
  readonly metrics?: Metrics;
  readonly logger?: Logger;
  /** Shown in `/health` and the metrics. */
  readonly version?: string;
  /** Names that `Host` may have. Default: loopback names, IP addresses and the names of this machine. */
  readonly hosts?: HostNames;
  /** When set, requests that change something must carry it as `Authorization: Bearer …`. Reading stays open. */
  readonly writeToken?: string | undefined;
  /** Milliseconds since the epoch. Default `Date.now`. */
  readonly clock?: () => number;
  /** Path below which the API is served, such as `/hydra/runner`; a last slash makes no difference. Default: the root. */
  readonly basePath?: string | undefined;
}

/**
 * Answers the requests of the status API. `handle` is an ordinary listener of an HTTP/1.1 server:
 *
 *     http.createServer(router.handle)
 *
 * `answer` does the same for any other kind of server.
 */
export class StatusRouter {
  readonly #source: StatusSource;
  readonly #metrics: Metrics;
  readonly #logger: Logger;
  readonly #version: string;
  readonly #writeToken: Uint8Array | undefined;
  readonly #clock: () => number;
  readonly #hosts: HostNames;
  readonly #basePath: string;
  readonly #requests = new OrderlyRequests();

  constructor(options: StatusRouterOptions) {
    checkMembers("StatusRouter", options, {
      source: having("a StatusSource: the status of a QueueRunner", ["health", "machines", "steps"]),
      metrics: optional(having("a Metrics", ["families"])),
      logger: optional(aLogger),
      version: optional(aText),
      hosts: optional(having("a HostNames", ["has"])),
      writeToken: optional(aText),
      clock: optional(aFunction),
      basePath: optional(aText),
    });
    this.#source = options.source;
    this.#metrics = options.metrics ?? new Metrics({ runtime: false });
    this.#logger = options.logger ?? silentLogger;
    this.#version = options.version ?? "unknown";
    this.#writeToken = options.writeToken === undefined ? undefined : digest(`Bearer ${options.writeToken}`);
    this.#clock = options.clock ?? Date.now;
    this.#hosts = options.hosts ?? new HostNames();
    this.#basePath = normalBasePath(options.basePath);
  }

  readonly handle = (request: IncomingMessage, response: ServerResponse): void => {
    this.#requests.add(request, response, () => this.#serve(request, response));
  };

  /** Ends streams of events, which would go on as long as their clients want; other requests are still answered. */
  close(): void {
    // None has been opened while the routes are not loaded.
    void routes.made?.then(
      ({ closeStreams }) => closeStreams(this.#source),
      () => undefined,
    );
  }

  /** Whether a path, as sent, is at or below the base path. */
  isBelow(url: string): boolean {
    return belowBasePath(url, this.#basePath) !== undefined;
  }

  /** The answer to a request; `url` as sent, with the base path. Never rejects. */
  async answer(sent: StatusRequest): Promise<EncodedReply> {
    const started = performance.now();
    const { findRoute } = await routes.get();
    const rest = belowBasePath(sent.url, this.#basePath);
    const path = rest?.split("?")[0] ?? "";
    // Links of the page are relative, so its address must end in a slash.
    const isBare = rest !== undefined && path === "";
    const request = { ...sent, url: rest ?? "" };
    const { method } = request;
    const found = rest === undefined || isBare ? undefined : findRoute(method, request.url);
    let reply: Reply;
    try {
      this.#checkHost(request, found?.route.pattern);
      if (isBare) return await encodeReply(request, redirect(`${this.#basePath}/${request.url}`));
      if (found === undefined) throw new StatusError("not-found", "Not found");
      if (found.route.method !== "GET") this.#permitWriting(request);
      reply = await found.route.answer({
        source: this.#source,
        metrics: this.#metrics,
        now: this.#clock(),
        clock: this.#clock,
        version: this.#version,
        request,
        parameter: found.parameters[0] ?? "",
        parameters: found.parameters,
      });
    } catch (thrown) {
      reply = this.#refusal(thrown, method, path);
    }
    const encoded = await encodeReply(request, reply);
    const seconds = (performance.now() - started) / 1000;
    this.#metrics.observeRequest(found?.route.pattern ?? "unknown", reply.status, seconds);
    // What an operator did stands in the log beside what came of it; refused tries do not fill it.
    const isAction = found !== undefined && found.route.method !== "GET" && reply.status < 400;
    this.#logger[isAction ? "info" : "debug"](isAction ? "action by the status API" : "request", {
      method,
      path,
      status: reply.status,
    });
    return encoded;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await sendToNode(request, response, await this.answer(nodeRequest(request)));
    } catch (thrown) {
      this.#logger.debug("answer could not be sent", { error: toError(thrown) });
      response.destroy();
    }
  }

  /**
   * A page of another site whose name is made to lead here (DNS rebinding) is seen by its name. What monitoring asks for is
   * answered under any name, unless a browser asks.
   */
  #checkHost({ headers }: StatusRequest, pattern: string | undefined): void {
    const host = headerOf(headers, "host");
    const origin = headerOf(headers, "origin");
    const site = headerOf(headers, "sec-fetch-site");
    if (this.#hosts.has(host)) return;
    const browses = origin !== undefined || site !== undefined;
    if (!browses && pattern !== undefined && monitoringRoutes.has(pattern)) return;
    const name = JSON.stringify((host ?? "").slice(0, 300));
    throw new StatusError("bad-request", `this server is not ${name}; add the name to statusHosts if it is`, {
      status: 421,
    });
  }

  /** Pages of other sites must not change anything through the browser of a visitor. */
  #permitWriting({ headers }: StatusRequest): void {
    const origin = headerOf(headers, "origin");
    const site = headerOf(headers, "sec-fetch-site");
    const authorization = headerOf(headers, "authorization");
    const isForeign = origin !== undefined && !sameHost(origin, headerOf(headers, "host"));
    if (isForeign || site === "cross-site" || site === "same-site") {
      throw new StatusError("bad-request", "requests from other sites are refused", { status: 403 });
    }
    if (this.#writeToken === undefined) return;
    if (authorization === undefined || !timingSafeEqual(digest(authorization), this.#writeToken)) {
      throw new StatusError("bad-request", "No valid auth token", { status: 401 });
    }
  }

  #refusal(thrown: unknown, method: string, path: string): Reply {
    const request = `${method} ${path}`;
    const hasCode = path.startsWith("/api/");
    if (thrown instanceof StatusError) {
      const { status, message } = thrown;
      if (status >= 500) this.#logger.error("request failed", { request, error: thrown });
      return errorReply(status, message, hasCode ? (codesByStatus.get(status) ?? thrown.code) : undefined);
    }
    const error = toError(thrown);
    this.#logger.error("request failed", { request, error });
    // Only our own messages are safe to show to clients; the log has the rest.
    const message = error instanceof HydraError ? error.message : "internal error";
    return errorReply(500, message, hasCode ? "internal" : undefined);
  }
}

function redirect(location: string): Reply {
  return { status: 308, contentType: "text/plain; charset=utf-8", body: "", headers: { location } };
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

function sameHost(origin: string, host = ""): boolean {
  try {
    const { protocol, host: there } = new URL(origin);
    return there === new URL(`${protocol}//${host}`).host;
  } catch {
    return false;
  }
}

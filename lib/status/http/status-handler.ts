/** The status API inside your own server, by Node's interface and by that of the Fetch standard. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import type { StatusSource } from "../types.js";
import { urlOf } from "./node-http.js";
import type { StatusRequest } from "./status-request.js";
import { StatusRouter, type StatusRouterOptions } from "./status-router.js";

/** How the status API is mounted. The names in `hosts` should be those of the server it is mounted in. */
export type StatusHandlerOptions = Omit<StatusRouterOptions, "source">;

/** A listener for `node:http`, and a middleware for Express and Connect: `next` gets what is not below the base path. */
export type StatusHandler = (
  request: IncomingMessage,
  response: ServerResponse,
  next?: (error?: unknown) => void,
) => void;

/**
 * Serves the status API and the live page below `basePath` in a server that speaks Node's interface.
 *
 *     http.createServer(statusHandler(runner.status, { basePath: "/runner" }))
 *     express().use(statusHandler(runner.status, { basePath: "/runner" }))
 *     fastify.all("*", (request, reply) => { reply.hijack(); handler(request.raw, reply.raw); })
 *     koa.use((context) => { context.respond = false; handler(context.req, context.res); })
 *
 * The base path is part of the address as the client sent it, also where a framework mounts the handler at a path.
 * No middleware may have read the body of the request.
 */
export function statusHandler(source: StatusSource, options: StatusHandlerOptions = {}): StatusHandler {
  const router = new StatusRouter({ ...options, source });
  return (request, response, next) => {
    if (next !== undefined && !router.isBelow(urlOf(request))) next();
    else router.handle(request, response);
  };
}

/**
 * Serves the status API and the live page below `basePath` in a server that speaks the Fetch standard.
 *
 *     const status = statusFetch(runner.status, { basePath: "/runner" });
 *     hono.all("*", (context) => status(context.req.raw));
 *
 * The URL of the request is the one that the client sent. Resolves always, with 404 for what is not below the base path.
 */
export function statusFetch(
  source: StatusSource,
  options: StatusHandlerOptions = {},
): (request: Request) => Promise<Response> {
  const router = new StatusRouter({ ...options, source });
  return async (request) => {
    const { status, headers, body } = await router.answer(fetchRequest(request));
    const content = body instanceof Readable ? (Readable.toWeb(body) as ReadableStream<Uint8Array>) : body;
    return new Response(content ?? null, { status, headers });
  };
}

function fetchRequest(request: Request): StatusRequest {
  const { pathname, search, host } = new URL(request.url);
  return {
    method: request.method,
    url: pathname + search,
    // Servers of the Fetch standard may leave the header out, as the URL has it.
    headers: { host, ...Object.fromEntries(request.headers) },
    body: bodyOf(request),
  };
}

async function* bodyOf({ body }: Request): AsyncIterable<Uint8Array> {
  if (body === null) return;
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

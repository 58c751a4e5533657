/** Requests and answers of Node's own HTTP server. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { EncodedReply } from "./http-reply.js";
import type { StatusRequest } from "./status-request.js";

/** Frameworks that mount a handler below a path take it off `url` and keep the whole one here. */
interface MountedRequest extends IncomingMessage {
  readonly originalUrl?: string;
}

/** Path and query as the client sent them. */
export function urlOf(request: MountedRequest): string {
  return request.originalUrl ?? request.url ?? "/";
}

/** The request as routes see it. */
export function nodeRequest(request: IncomingMessage): StatusRequest {
  return {
    method: request.method ?? "GET",
    url: urlOf(request),
    headers: request.headers,
    body: request,
  };
}

/** Sends an answer. @throws when the client went away */
export async function sendToNode(
  request: IncomingMessage,
  response: ServerResponse,
  { status, headers, body }: EncodedReply,
): Promise<void> {
  if (response.destroyed || response.headersSent) {
    if (body instanceof Readable) body.destroy();
    return;
  }
  // The rest of a refused body is not read.
  if (status >= 400 && !request.complete) response.shouldKeepAlive = false;
  response.writeHead(status, headers);
  if (body instanceof Readable) await pipeline(body, response);
  else response.end(body);
}

/** Replies of routes, and how they are compressed and tagged before a server sends them. */

import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { constants, createGzip, gzip } from "node:zlib";
import { turn } from "../../async/index.js";

import type { Json, JsonObject } from "../answers/shapes.js";
import { headerOf, type StatusRequest } from "./status-request.js";

/** Response of a route: status number, type, body and further headers. */
export interface Reply {
  readonly status: number;
  readonly contentType: string;
  /** Bytes are sent as they are. A long body comes in pieces, made while they are sent. */
  readonly body: string | Uint8Array | AsyncIterable<string | Uint8Array>;
  /** `identity`: a body in pieces is never compressed, because each piece must arrive at once, or bytes are counted. */
  readonly encoding?: "identity";
  readonly headers?: Readonly<Record<string, string>>;
}

/** Exactly this, without a character set: some clients pass the bytes on by it. */
const jsonContentType = "application/json";
const compress = promisify(gzip);
/** Below this size compression costs more than it saves. */
const minimalCompressedSize = 1400;
/** Lists longer than this are printed in slices, so that other work gets its turn. */
const sliceLength = 1000;

/** A JSON response; `status` defaults to 200. */
export function jsonReply(value: JsonObject | object, status = 200): Reply {
  return { status, contentType: jsonContentType, body: JSON.stringify(value) };
}

/** `{"error": "<message>"}` with a status number; with a code where the route is one of those below `/api/`. */
export function errorReply(status: number, message: string, code?: string): Reply {
  return jsonReply(code === undefined ? { error: message } : { error: message, code }, status);
}

async function* printList(
  name: string,
  items: readonly unknown[],
  print: (index: number) => Json,
  tail: string,
) {
  let text = `{${JSON.stringify(name)}:[`;
  for (let start = 0; start < items.length; start += sliceLength) {
    const end = Math.min(items.length, start + sliceLength);
    for (let index = start; index < end; index++) {
      if (index > 0) text += ",";
      text += JSON.stringify(print(index));
    }
    yield text;
    text = "";
    await turn();
  }
  yield `${text}],${tail}}`;
}

/** `{"<name>": […], "<countName>": n}`; whole when short, in pieces when long. */
export function listReply<T>(
  name: string,
  items: readonly T[],
  countName: string,
  print: (item: T) => Json,
): Reply {
  if (items.length <= sliceLength) return jsonReply({ [name]: items.map(print), [countName]: items.length });
  const at = (index: number): Json => {
    const item = items[index];
    return item === undefined ? null : print(item);
  };
  return {
    status: 200,
    contentType: jsonContentType,
    body: printList(name, items, at, `${JSON.stringify(countName)}:${items.length}`),
  };
}

/** Whether the client takes a content coding, such as `gzip`. */
export function accepts({ headers }: StatusRequest, coding: string): boolean {
  const header = headerOf(headers, "accept-encoding") ?? "";
  return header.split(",").some((part) => {
    const [name, ...parameters] = part.split(";").map((text) => text.trim().toLowerCase());
    return name === coding && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
}

function matches({ headers }: StatusRequest, tag: string): boolean {
  const header = headerOf(headers, "if-none-match");
  return header?.split(",").some((part) => part.trim().replace(/^W\//, "") === tag) ?? false;
}

/** A reply as it goes over the wire. */
export interface EncodedReply {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined: none. A stream makes its pieces as fast as they are read; destroy it when it is not read to its end. */
  readonly body: Uint8Array | Readable | undefined;
}

/** As fast as the client reads; the pieces are made one at a time. */
function streamed(pieces: AsyncIterable<string | Uint8Array>, compressed: boolean): Readable {
  const source = Readable.from(pieces, { highWaterMark: 1 });
  if (!compressed) return source;
  const zip = createGzip({ level: constants.Z_BEST_SPEED });
  source.on("error", (error) => zip.destroy(error));
  zip.on("close", () => source.destroy());
  return source.pipe(zip);
}

/** Prepares an answer; HEAD gets the headers only, a client that has the body already gets 304. */
export async function encodeReply(request: StatusRequest, reply: Reply): Promise<EncodedReply> {
  const headers: Record<string, string> = { "content-type": reply.contentType, ...reply.headers };
  const { status } = reply;
  const isHead = request.method === "HEAD";
  if (typeof reply.body !== "string" && !(reply.body instanceof Uint8Array)) {
    const compressed = reply.encoding !== "identity" && accepts(request, "gzip");
    headers.vary = "accept-encoding";
    if (compressed) headers["content-encoding"] = "gzip";
    return { status, headers, body: isHead ? undefined : streamed(reply.body, compressed) };
  }
  let body = typeof reply.body === "string" ? Buffer.from(reply.body, "utf8") : reply.body;
  if (status === 200 && (request.method === "GET" || isHead)) {
    const tag = `"${createHash("sha1").update(body).digest("base64url")}"`;
    headers.etag = tag;
    headers.vary = "accept-encoding";
    if (matches(request, tag)) return { status: 304, headers, body: undefined };
  }
  const isText = typeof reply.body === "string";
  if (isText && body.length >= minimalCompressedSize && accepts(request, "gzip")) {
    body = await compress(body, { level: constants.Z_BEST_SPEED });
    headers["content-encoding"] = "gzip";
  }
  headers["content-length"] = String(body.length);
  return { status, headers, body: isHead ? undefined : body };
}

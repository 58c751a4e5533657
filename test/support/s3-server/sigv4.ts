// AWS Signature Version 4, the verifying side: of headers and of query parameters.
import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";

export interface Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface SignedRequest {
  readonly method: string;
  /** As it came, percent-encoded. */
  readonly rawPath: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
}

export type Verdict =
  | { readonly ok: true; readonly payloadHash: string }
  | { readonly ok: false; readonly code: string; readonly message: string };

const refused = (code: string, message: string): Verdict => ({ ok: false, code, message });

function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function canonicalQuery(query: URLSearchParams): string {
  return [...query]
    .filter(([name]) => name !== "X-Amz-Signature")
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join("&");
}

function parseDate(text: string): number {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (parts === null) return Number.NaN;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.slice(1).map(Number);
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

function signature(
  request: SignedRequest,
  keys: Keys,
  scope: string,
  date: string,
  signedHeaders: string,
  payloadHash: string,
): string {
  const headers = signedHeaders
    .split(";")
    .map(
      (name) =>
        `${name}:${String(request.headers[name] ?? "")
          .trim()
          .replaceAll(/ +/g, " ")}\n`,
    )
    .join("");
  const canonical = [
    request.method,
    request.rawPath,
    canonicalQuery(request.query),
    headers,
    signedHeaders,
    payloadHash,
  ].join("\n");
  const digest = createHash("sha256").update(canonical).digest("hex");
  const key = scope
    .split("/")
    .reduce<Buffer | string>((previous, part) => hmac(previous, part), `AWS4${keys.secretAccessKey}`);
  return hmac(key, `AWS4-HMAC-SHA256\n${date}\n${scope}\n${digest}`).toString("hex");
}

/** Checks key id, time and signature; the body is checked by whoever reads it, against `payloadHash`. */
export function verify(request: SignedRequest, keys: Keys, now = Date.now()): Verdict {
  const presigned = request.query.has("X-Amz-Algorithm");
  const authorization = request.headers.authorization ?? "";
  const fields = new Map(
    authorization
      .replace(/^AWS4-HMAC-SHA256\s+/, "")
      .split(/,\s*/)
      .map((part) => [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)] as const),
  );
  const field = (name: string, parameter: string): string =>
    (presigned ? request.query.get(parameter) : fields.get(name)) ?? "";
  const credential = field("Credential", "X-Amz-Credential");
  const signedHeaders = field("SignedHeaders", "X-Amz-SignedHeaders");
  const given = field("Signature", "X-Amz-Signature");
  const date = presigned
    ? (request.query.get("X-Amz-Date") ?? "")
    : String(request.headers["x-amz-date"] ?? "");
  if (credential === "" || given === "") return refused("AccessDenied", "the request is not signed");
  const [keyId, ...scopeParts] = credential.split("/");
  if (keyId !== keys.accessKeyId) return refused("InvalidAccessKeyId", "no such key");
  if (!signedHeaders.split(";").includes("host")) return refused("AccessDenied", "the host must be signed");
  const time = parseDate(date);
  if (presigned) {
    const expires = Number(request.query.get("X-Amz-Expires"));
    if (!(expires >= 1 && expires <= 604_800)) return refused("AuthorizationQueryParametersError", "expiry");
    if (!(now <= time + expires * 1000)) return refused("AccessDenied", "Request has expired");
  } else if (!(Math.abs(now - time) < 900_000)) return refused("RequestTimeTooSkewed", "clocks differ");
  const payloadHash = presigned
    ? "UNSIGNED-PAYLOAD"
    : String(request.headers["x-amz-content-sha256"] ?? "UNSIGNED-PAYLOAD");
  const scope = scopeParts.join("/");
  const expected = signature(request, keys, scope, date, signedHeaders, payloadHash);
  if (given.length !== expected.length || !timingSafeEqual(Buffer.from(given), Buffer.from(expected))) {
    return refused("SignatureDoesNotMatch", "the signature is wrong");
  }
  return { ok: true, payloadHash };
}

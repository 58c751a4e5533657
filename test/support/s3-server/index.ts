// A small S3 server for tests: path style, real signature checks, conditional writes, uploads in parts, and faults on
// demand. Objects are in memory.
import { createHash, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type Keys, verify } from "./sigv4.js";

export interface StoredS3Object {
  readonly body: Buffer;
  readonly etag: string;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly storageClass: string | undefined;
  readonly modified: Date;
}

interface OpenUpload {
  readonly bucket: string;
  readonly key: string;
  readonly headers: IncomingMessage["headers"];
  readonly begun: Date;
  readonly parts: Map<number, { readonly body: Buffer; readonly etag: string }>;
}

export interface S3Request {
  readonly method: string;
  readonly bucket: string;
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
}

/** What to do instead of, or before, answering. */
export interface Fault {
  readonly status?: number;
  readonly code?: string;
  readonly delayMs?: number;
  /** Cut the connection. */
  readonly reset?: boolean;
  /** Answer with an empty document of this name, as after success, and do nothing. */
  readonly pretend?: string;
}

export interface S3ServerOptions {
  readonly buckets?: readonly string[];
  readonly keys?: Keys;
  /** Least size of all parts but the last. Default 5 MiB, as S3 has it. */
  readonly minimalPartSize?: number;
  /** Anybody may read, without a signature. Default false. */
  readonly publicRead?: boolean;
}

export interface S3Server {
  readonly url: string;
  readonly keys: Keys;
  /** By bucket, then key. */
  readonly objects: ReadonlyMap<string, Map<string, StoredS3Object>>;
  readonly uploads: ReadonlyMap<string, OpenUpload>;
  /** In order of arrival. */
  readonly requests: S3Request[];
  /** Those whose signature was wrong or had expired; they are not among `requests`. */
  readonly refusals: S3Request[];
  /** Asked for each request that is properly signed. */
  fault: ((request: S3Request) => Fault | undefined) | undefined;
  /** How far the server's clock is ahead when it looks whether a signature has expired. Default 0. */
  clockAheadMs: number;
  /** A store URI for a bucket of this server. */
  uri(bucket: string, parameters?: Readonly<Record<string, string>>): string;
  close(): Promise<void>;
}

class S3Error extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string = code,
  ) {
    super(message);
  }
}

function escapeXml(text: string): string {
  return text.replace(/[<>&"]/g, (each) => `&#${each.charCodeAt(0)};`);
}

function xml(name: string, content: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${content}</${name}>`;
}

function etagOf(body: Buffer): string {
  return createHash("md5").update(body).digest("hex");
}

/** Undoes `aws-chunked`: hex size, optional extension, data; ends with a chunk of size 0 and trailers. */
function unchunk(body: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let offset = 0; ; ) {
    const end = body.indexOf("\r\n", offset);
    if (end < 0) throw new S3Error(400, "IncompleteBody");
    const size = Number.parseInt(body.subarray(offset, end).toString().split(";")[0] ?? "", 16);
    if (!(size >= 0)) throw new S3Error(400, "InvalidRequest");
    if (size === 0) return Buffer.concat(parts);
    parts.push(body.subarray(end + 2, end + 2 + size));
    offset = end + 2 + size + 2;
  }
}

async function readBody(request: IncomingMessage, payloadHash: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  const body = Buffer.concat(parts);
  if (payloadHash.startsWith("STREAMING-")) return unchunk(body);
  if (/^[0-9a-f]{64}$/.test(payloadHash)) {
    const actual = createHash("sha256").update(body).digest("hex");
    if (actual !== payloadHash) throw new S3Error(400, "XAmzContentSHA256Mismatch");
  }
  return body;
}

export async function startS3Server(options: S3ServerOptions = {}): Promise<S3Server> {
  const keys = options.keys ?? {
    accessKeyId: "AKIAIOSFODNN7EXAMPLE",
    secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  };
  const minimalPartSize = options.minimalPartSize ?? 5 << 20;
  const objects = new Map<string, Map<string, StoredS3Object>>();
  for (const bucket of options.buckets ?? ["cache"]) objects.set(bucket, new Map());
  const uploads = new Map<string, OpenUpload>();
  const requests: S3Request[] = [];
  const refusals: S3Request[] = [];

  const store = (
    bucket: Map<string, StoredS3Object>,
    key: string,
    body: Buffer,
    headers: IncomingMessage["headers"],
    etag = etagOf(body),
  ): void => {
    const text = (name: string): string | undefined => {
      const value = headers[name];
      return typeof value === "string" && value !== "" && value !== "aws-chunked" ? value : undefined;
    };
    bucket.set(key, {
      body,
      etag,
      contentType: text("content-type"),
      contentEncoding: text("content-encoding")?.replace(/,?\s*aws-chunked$/, ""),
      storageClass: text("x-amz-storage-class"),
      modified: new Date(),
    });
  };

  const answer = async (
    request: S3Request,
    bucket: Map<string, StoredS3Object>,
    body: Buffer,
    response: ServerResponse,
  ): Promise<void> => {
    const { method, key, query, headers } = request;
    const sendXml = (status: number, name: string, content: string): void => {
      response.writeHead(status, { "content-type": "application/xml" }).end(xml(name, content));
    };
    const mustBeAbsent = (): void => {
      if (headers["if-none-match"] === "*" && bucket.has(key)) throw new S3Error(412, "PreconditionFailed");
    };
    /** The bytes that a copy is made of, and what belongs to them. */
    const copied = (): { readonly body: Buffer; readonly object: StoredS3Object } | undefined => {
      const source = headers["x-amz-copy-source"];
      if (typeof source !== "string") return undefined;
      const [, from = "", sourceKey = ""] = /^\/?([^/]+)\/(.+)$/.exec(decodeURIComponent(source)) ?? [];
      const object = objects.get(from)?.get(sourceKey);
      if (object === undefined) throw new S3Error(404, "NoSuchKey");
      const range = /^bytes=(\d+)-(\d+)$/.exec(String(headers["x-amz-copy-source-range"] ?? ""));
      if (range === null) return { body: object.body, object };
      return { body: object.body.subarray(Number(range[1]), Number(range[2]) + 1), object };
    };
    const copyResult = (name: string, etag: string): void =>
      sendXml(
        200,
        name,
        `<LastModified>${new Date().toISOString()}</LastModified><ETag>&quot;${etag}&quot;</ETag>`,
      );
    const uploadId = query.get("uploadId");
    const upload = uploadId === null ? undefined : uploads.get(uploadId);
    if (
      uploadId !== null &&
      (upload === undefined || upload.key !== key || upload.bucket !== request.bucket)
    ) {
      throw new S3Error(404, "NoSuchUpload");
    }
    if (key === "" && method === "GET") {
      const prefix = query.get("prefix") ?? "";
      if (query.has("uploads")) {
        const open = [...uploads].filter(
          ([, { bucket: b, key: k }]) => b === request.bucket && k.startsWith(prefix),
        );
        const list = open.map(
          ([id, { key: k, begun }]) =>
            `<Upload><Key>${escapeXml(k)}</Key><UploadId>${escapeXml(id)}</UploadId><Initiated>${begun.toISOString()}</Initiated></Upload>`,
        );
        sendXml(200, "ListMultipartUploadsResult", `<IsTruncated>false</IsTruncated>${list.join("")}`);
        return;
      }
      const found = [...bucket].filter(([k]) => k.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
      const list = found.map(
        ([k, o]) =>
          `<Contents><Key>${escapeXml(k)}</Key><LastModified>${o.modified.toISOString()}</LastModified><ETag>&quot;${o.etag}&quot;</ETag><Size>${o.body.length}</Size></Contents>`,
      );
      sendXml(
        200,
        "ListBucketResult",
        `<IsTruncated>false</IsTruncated><KeyCount>${list.length}</KeyCount>${list.join("")}`,
      );
      return;
    }
    if (method === "POST" && query.has("uploads")) {
      // Ids hold what must be encoded in URLs.
      const id = `${randomUUID()}+/=`;
      uploads.set(id, { bucket: request.bucket, key, headers, begun: new Date(), parts: new Map() });
      sendXml(
        200,
        "InitiateMultipartUploadResult",
        `<Bucket>${request.bucket}</Bucket><Key>${escapeXml(key)}</Key><UploadId>${id}</UploadId>`,
      );
      return;
    }
    if (upload !== undefined && uploadId !== null) {
      if (method === "PUT") {
        const number = Number(query.get("partNumber"));
        if (!(number >= 1 && number <= 10_000)) throw new S3Error(400, "InvalidArgument");
        const source = copied();
        const part = source?.body ?? body;
        const etag = etagOf(part);
        upload.parts.set(number, { body: part, etag });
        if (source !== undefined) {
          copyResult("CopyPartResult", etag);
          return;
        }
        response.writeHead(200, { etag: `"${etag}"` }).end();
        return;
      }
      if (method === "DELETE") {
        uploads.delete(uploadId);
        response.writeHead(204).end();
        return;
      }
      if (method === "POST") {
        const wanted = [...body.toString().matchAll(/<Part>(.*?)<\/Part>/gs)].map(([, part = ""]) => ({
          number: Number(/<PartNumber>(\d+)<\/PartNumber>/.exec(part)?.[1]),
          etag: (/<ETag>(.*?)<\/ETag>/.exec(part)?.[1] ?? "").replaceAll(/&quot;|&#34;|"/g, ""),
        }));
        if (wanted.length === 0) throw new S3Error(400, "MalformedXML");
        const bodies = wanted.map(({ number, etag }, index) => {
          const part = upload.parts.get(number);
          if (part === undefined || part.etag !== etag) throw new S3Error(400, "InvalidPart");
          if (index > 0 && number <= (wanted[index - 1]?.number ?? 0))
            throw new S3Error(400, "InvalidPartOrder");
          return part.body;
        });
        if (bodies.slice(0, -1).some((part) => part.length < minimalPartSize)) {
          throw new S3Error(400, "EntityTooSmall");
        }
        mustBeAbsent();
        const etags = createHash("md5").update(
          Buffer.concat(wanted.map(({ etag }) => Buffer.from(etag, "hex"))),
        );
        const etag = `${etags.digest("hex")}-${wanted.length}`;
        store(bucket, key, Buffer.concat(bodies), upload.headers, etag);
        uploads.delete(uploadId);
        sendXml(
          200,
          "CompleteMultipartUploadResult",
          `<Key>${escapeXml(key)}</Key><ETag>&quot;${etag}&quot;</ETag>`,
        );
        return;
      }
    }
    const source = method === "PUT" ? copied() : undefined;
    if (source !== undefined) {
      const { body: bytes, object } = source;
      bucket.set(key, { ...object, modified: new Date() });
      copyResult("CopyObjectResult", etagOf(bytes));
      return;
    }
    if (method === "PUT") {
      mustBeAbsent();
      store(bucket, key, body, headers);
      response.writeHead(200, { etag: `"${etagOf(body)}"` }).end();
      return;
    }
    if (method === "DELETE") {
      bucket.delete(key);
      response.writeHead(204).end();
      return;
    }
    if (method === "GET" || method === "HEAD") {
      const object = bucket.get(key);
      if (object === undefined) throw new S3Error(404, "NoSuchKey");
      response.writeHead(200, {
        "content-length": object.body.length,
        etag: `"${object.etag}"`,
        "last-modified": object.modified.toUTCString(),
        ...(object.contentType === undefined ? {} : { "content-type": object.contentType }),
        ...(object.contentEncoding === undefined ? {} : { "content-encoding": object.contentEncoding }),
      });
      response.end(method === "HEAD" ? undefined : object.body);
      return;
    }
    throw new S3Error(405, "MethodNotAllowed");
  };

  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const method = incoming.method ?? "GET";
    const [rawPath = "/", rawQuery = ""] = (incoming.url ?? "/").split("?");
    // A plus sign is one; blanks are written %20.
    const query = new URLSearchParams(rawQuery.replaceAll("+", "%2B"));
    const [, bucketName = "", ...rest] = rawPath.split("/");
    const key = decodeURIComponent(rest.join("/"));
    const request: S3Request = { method, bucket: bucketName, key, query, headers: incoming.headers };
    try {
      const unsigned = incoming.headers.authorization === undefined && !query.has("X-Amz-Signature");
      const open = options.publicRead === true && unsigned && (method === "GET" || method === "HEAD");
      const verdict = open
        ? ({ ok: true, payloadHash: "UNSIGNED-PAYLOAD" } as const)
        : verify(
            { method, rawPath, query, headers: incoming.headers },
            keys,
            Date.now() + server.clockAheadMs,
          );
      if (!verdict.ok) {
        refusals.push(request);
        throw new S3Error(403, verdict.code, verdict.message);
      }
      requests.push(request);
      const fault = server.fault?.(request);
      if (fault?.delayMs !== undefined) await sleep(fault.delayMs);
      if (fault?.reset === true) {
        incoming.destroy();
        return;
      }
      const bucket = objects.get(bucketName);
      if (bucket === undefined) throw new S3Error(404, "NoSuchBucket");
      const body = await readBody(incoming, verdict.payloadHash);
      if (fault?.pretend !== undefined) {
        response.writeHead(200, { "content-type": "application/xml" }).end(xml(fault.pretend, ""));
        return;
      }
      if (fault?.status !== undefined) throw new S3Error(fault.status, fault.code ?? "InternalError");
      await answer(request, bucket, body, response);
    } catch (error) {
      incoming.resume();
      const { status, code, message } =
        error instanceof S3Error ? error : new S3Error(500, "InternalError", String(error));
      response.writeHead(status, { "content-type": "application/xml" });
      const text = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${escapeXml(message)}</Message></Error>`;
      response.end(method === "HEAD" ? undefined : text);
    }
  };

  const http = createServer((incoming, response) => void handle(incoming, response));
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const server: S3Server = {
    url,
    keys,
    objects,
    uploads,
    requests,
    refusals,
    fault: undefined,
    clockAheadMs: 0,
    uri: (bucket, parameters = {}) =>
      `s3://${bucket}?${String(new URLSearchParams({ endpoint: url, scheme: "http", region: "us-east-1", ...parameters }))}`,
    close: async () => {
      http.closeAllConnections();
      await new Promise<void>((resolve) => http.close(() => resolve()));
    },
  };
  return server;
}

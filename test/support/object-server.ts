// An HTTP server that takes objects as S3 does behind presigned URLs: PUT, ETag, If-None-Match.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";

export interface StoredObject {
  readonly body: Buffer;
  readonly headers: IncomingHttpHeaders;
}

export interface ObjectServer {
  readonly url: string;
  readonly objects: Map<string, StoredObject>;
  /** Every PUT by its path, also those that were refused. */
  readonly puts: string[];
  /** Answers a PUT with this status instead of storing it; undefined stores it. */
  refuse: (path: string, tries: number) => number | undefined;
  /** The same, by path and query. */
  refuseUrl: (url: string) => number | undefined;
  close(): Promise<void>;
}

export async function startObjectServer(): Promise<ObjectServer> {
  const objects = new Map<string, StoredObject>();
  const puts: string[] = [];
  const state = {
    refuse: (_path: string, _tries: number): number | undefined => undefined,
    refuseUrl: (_url: string): number | undefined => undefined,
  };
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "", "http://x").pathname;
    puts.push(path);
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const tries = puts.filter((put) => put === path).length;
      const refusal = state.refuse(path, tries) ?? state.refuseUrl(request.url ?? "");
      if (refusal !== undefined) response.writeHead(refusal).end();
      else if (request.headers["if-none-match"] === "*" && objects.has(path)) response.writeHead(412).end();
      else {
        const body = Buffer.concat(chunks);
        objects.set(path, { body, headers: request.headers });
        response.writeHead(200, { ETag: `"${createHash("md5").update(body).digest("hex")}"` }).end();
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return Object.assign(state, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    objects,
    puts,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  });
}

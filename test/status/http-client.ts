// A router behind a real HTTP server, and requests to it.
import { once } from "node:events";
import { type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import { buffer } from "node:stream/consumers";

import { StatusRouter, type StatusRouterOptions, StatusServer } from "../../lib/status/index.js";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
  /** Whatever came; the tests look into it. */
  readonly json: ReturnType<typeof JSON.parse>;
}

export interface TestApi extends AsyncDisposable {
  readonly ask: (
    method: string,
    path: string,
    options?: { readonly body?: string | Uint8Array; readonly headers?: Record<string, string> },
  ) => Promise<Answer>;
  readonly port: number;
}

export async function serve(options: StatusRouterOptions): Promise<TestApi> {
  const router = new StatusRouter(options);
  const server = await StatusServer.listen({
    handler: router.handle,
    listen: { port: 0, host: "127.0.0.1" },
  });
  const { address } = server;
  const port = typeof address === "object" ? address.port : 0;
  return {
    port,
    ask: async (method, path, { body, headers } = {}) => {
      const asked = request({ host: "127.0.0.1", port, method, path, headers: headers ?? {}, agent: false });
      asked.end(body);
      const [response] = (await once(asked, "response")) as [IncomingMessage];
      const bytes = await buffer(response);
      const text = bytes.toString("utf8");
      return {
        status: response.statusCode ?? 0,
        headers: response.headers,
        bytes,
        text,
        get json() {
          return JSON.parse(text);
        },
      };
    },
    [Symbol.asyncDispose]: () => server.close(0),
  };
}

/** A peer that speaks HTTP/2 as a runner does, and answers with whatever bytes it is given. */
import { once } from "node:events";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";

/** What one call is answered with; `broken`: the stream is reset after the body instead of ended with a status. */
export interface LyingAnswer {
  readonly body: Uint8Array;
  readonly broken?: boolean;
}

export class LyingRunner implements AsyncDisposable {
  readonly endpoint: string;
  readonly #server: http2.Http2Server;
  readonly #sessions = new Set<http2.ServerHttp2Session>();

  private constructor(server: http2.Http2Server) {
    this.#server = server;
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("error", () => {});
      session.once("close", () => this.#sessions.delete(session));
    });
  }

  /** `answer`: by the name of the method; it may take its time. */
  static async listen(
    answer: (method: string, call: http2.ServerHttp2Stream) => LyingAnswer | Promise<LyingAnswer>,
  ): Promise<LyingRunner> {
    const server = http2.createServer();
    const serve = async (stream: http2.ServerHttp2Stream, path: string): Promise<void> => {
      const { body, broken = false } = await answer(path.slice(path.lastIndexOf("/") + 1), stream);
      if (stream.destroyed) return;
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => {
        if (broken) stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
        else stream.sendTrailers({ "grpc-status": "0" });
      });
      stream.end(body);
    };
    server.on("stream", (stream, headers) => {
      stream.on("error", () => {});
      stream.resume();
      void serve(stream, headers[":path"] ?? "");
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new LyingRunner(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) session.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

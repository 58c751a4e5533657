/** A peer that speaks bare HTTP/2, so that nothing of ours can hide a mistake of ours. */
import type * as http2 from "node:http2";

export interface RawAnswer {
  readonly headers: http2.IncomingHttpHeaders;
  readonly trailers: http2.IncomingHttpHeaders;
  readonly body: Buffer;
}

export const grpcHeaders = { ":method": "POST", te: "trailers", "content-type": "application/grpc" };

/** Waits until the stream is over. */
export async function answerOf(stream: http2.ClientHttp2Stream): Promise<RawAnswer> {
  let headers: http2.IncomingHttpHeaders = {};
  let trailers: http2.IncomingHttpHeaders = {};
  stream.once("response", (got) => {
    headers = got;
  });
  stream.once("trailers", (got) => {
    trailers = got;
  });
  stream.on("error", () => {});
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => stream.once("close", resolve));
  return { headers, trailers, body: Buffer.concat(chunks) };
}

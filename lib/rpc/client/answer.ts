/** How a call on a bare stream ends: with the runner's status, which may come early, or without one. */
import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from "node:http2";
import { RpcError, type RpcStatus, rpcStatusOf, UnprocessedCallError } from "../errors.js";
import { decodeGrpcMessage } from "../stream/index.js";
import type { ClientConnection } from "./connection.js";

/** The runner's answer to a call on a bare stream. */
export class Answer {
  /** Resolves when the status is OK, else rejects with `RpcError`. */
  readonly status: Promise<void>;
  #failure: RpcError | undefined;

  constructor(stream: ClientHttp2Stream, connection: ClientConnection) {
    let cause: Error | undefined;
    this.status = new Promise((resolve, reject) => {
      const fail = (error: RpcError): void => {
        this.#failure ??= error;
        reject(error);
      };
      const settle = (headers: IncomingHttpHeaders): void => {
        const error = errorOfStatus(headers);
        if (error === undefined) resolve();
        else fail(error);
      };
      stream.once("response", (headers) => {
        if (headers["grpc-status"] !== undefined) settle(headers);
        else if (headers[":status"] !== 200) fail(errorOfHttp(headers[":status"] ?? 0));
      });
      stream.once("trailers", (headers) => settle(headers));
      stream.on("error", (error) => {
        cause = error;
      });
      stream.once("close", () => {
        if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) fail(new UnprocessedCallError({ cause }));
        else void connection.blame().then((lost) => fail(lost ?? errorOfReset(stream.rstCode, cause)));
      });
    });
    this.status.catch(() => {});
  }

  /** The status if it is known by now and not OK. */
  get failure(): RpcError | undefined {
    return this.#failure;
  }
}

function errorOfStatus(headers: IncomingHttpHeaders): RpcError | undefined {
  const status = headers["grpc-status"];
  if (status === undefined) return new RpcError("unknown", "the runner ended the call without a status");
  if (status === "0") return undefined;
  const message = headers["grpc-message"];
  const text = typeof message === "string" ? decodeGrpcMessage(message) : "no reason given";
  return new RpcError(rpcStatusOf(Number(status)), text);
}

/** As gRPC asks for with servers that do not speak it, such as proxies. */
function errorOfHttp(status: number): RpcError {
  const names: Readonly<Record<number, RpcStatus>> = {
    400: "internal",
    401: "unauthenticated",
    403: "permission-denied",
    404: "unimplemented",
    429: "unavailable",
    502: "unavailable",
    503: "unavailable",
    504: "unavailable",
  };
  return new RpcError(names[status] ?? "unknown", `HTTP status ${status} instead of an answer`);
}

function errorOfReset(code: number | undefined, cause: Error | undefined): RpcError {
  const names: Readonly<Record<number, RpcStatus>> = {
    [constants.NGHTTP2_NO_ERROR]: "unknown",
    [constants.NGHTTP2_CANCEL]: "cancelled",
    [constants.NGHTTP2_ENHANCE_YOUR_CALM]: "resource-exhausted",
    [constants.NGHTTP2_INADEQUATE_SECURITY]: "permission-denied",
  };
  return new RpcError(names[code ?? 0] ?? "internal", `the runner cut the call short (code ${code ?? 0})`, {
    cause,
  });
}

/**
 * The calls that carry bulk bytes, served on the bare stream: BuildLog and BuildResult up, FetchPaths down.
 *
 * Payload bytes are never copied together. An upload is complete only if the builder ended it: a reset or a lost
 * connection shows as an error to the handler, never as an end.
 */

import {
  constants,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Stream,
} from "node:http2";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { withSignal } from "../../async/index.js";
import type { StoreDir, StorePath } from "../../nix/path/store-path.js";
import { pathInfoFromWire, pathInfoToWire, storePathFromWire, storePathsFromWire } from "../convert/index.js";
import { RpcError } from "../errors.js";
import { StorePathSchema, StorePathsSchema } from "../gen/nix/store/v1/store_pb.js";
import { AddToStoreHeaderSchema, AddToStoreRequestSchema } from "../gen/runner/v1/streaming_pb.js";
import {
  BulkReader,
  bulkHead,
  encodeGrpcMessage,
  isEndedByPeer,
  maxMessageBytes,
  messageFrame,
  writeWithPressure,
} from "../stream/index.js";
import type { CallContext, Peer, RunnerServiceHandlers } from "../types.js";
import { CallMeter, type CallReporter } from "./call.js";
import { readWholeMessage } from "./whole-message.js";

/** The reference never sends larger pieces. */
const maxChunk = 65_536;

export interface BulkCallsOptions extends CallReporter {
  readonly handlers: RunnerServiceHandlers;
  readonly storeDir: StoreDir;
}

type Method = "BuildLog" | "BuildResult" | "FetchPaths";

interface BulkCall extends CallContext {
  readonly stream: ServerHttp2Stream;
  readonly response: Http2ServerResponse;
  readonly meter: CallMeter;
}

/** What ends when the call does is told this; made once, because an error with its stack for each is not cheap. */
const over = new RpcError("cancelled", "the call is over");

export class BulkCalls {
  readonly #options: BulkCallsOptions;

  constructor(options: BulkCallsOptions) {
    this.#options = options;
  }

  static handles(method: string): method is Method {
    return method === "BuildLog" || method === "BuildResult" || method === "FetchPaths";
  }

  /** Never rejects: the answer carries the error. */
  async serve(
    method: Method,
    request: Http2ServerRequest,
    response: Http2ServerResponse,
    peer: Peer,
  ): Promise<void> {
    const { stream } = request;
    const aborter = new AbortController();
    const abort = (): void => aborter.abort(new RpcError("cancelled", "the caller went away"));
    stream.once("aborted", abort);
    stream.once("close", abort);
    stream.on("error", abort);
    const deadline = deadlineOf(request.headers["grpc-timeout"]);
    const timer =
      deadline === undefined
        ? undefined
        : setTimeout(
            () => aborter.abort(new RpcError("deadline-exceeded", "the deadline is over")),
            deadline,
          );
    const meter = new CallMeter(this.#options, method, peer);
    const call: BulkCall = { peer, signal: aborter.signal, stream, response, meter };
    try {
      checkEncoding(request.headers["grpc-encoding"]);
      await withSignal(this.#run(method, call), aborter.signal);
      meter.succeeded();
      finish(response, undefined);
    } catch (error) {
      finish(response, meter.failed(error));
    } finally {
      clearTimeout(timer);
      stream.off("aborted", abort);
      stream.off("close", abort);
      aborter.abort(over);
    }
  }

  #run(method: Method, call: BulkCall): Promise<void> {
    switch (method) {
      case "BuildLog":
        return this.#buildLog(call);
      case "BuildResult":
        return this.#buildResult(call);
      case "FetchPaths":
        return this.#fetchPaths(call);
    }
  }

  async #buildLog(call: BulkCall): Promise<void> {
    const reader = readerOf(call);
    const first: Uint8Array[] = [];
    let drv: StorePath | undefined;
    while (drv === undefined) {
      const event = await reader.next();
      if (event === undefined) throw new RpcError("internal", "the log stream is empty");
      if (event.kind === "end")
        throw new RpcError("invalid-argument", "drv: is missing in the first log chunk");
      // The derivation comes first in practice; what comes before it is held until it is known.
      if (event.kind === "data") first.push(event.bytes);
      else drv = storePathFromWire(decode(StorePathSchema, event.bytes), "drv");
    }
    const chunks = concat(first, reader.payload());
    await this.#options.handlers.buildLog({ drv, chunks }, call);
    await answerEmpty(call);
  }

  async #buildResult(call: BulkCall): Promise<void> {
    const reader = readerOf(call);
    const event = await reader.next();
    if (event === undefined) throw new RpcError("internal", "the stream of store paths is empty");
    if (event.kind !== "head")
      throw new RpcError("internal", "the stream of store paths does not start with a header");
    const { pathInfos } = decode(AddToStoreHeaderSchema, event.bytes);
    const infos = pathInfos.map((info, index) => pathInfoFromWire(info, `path_infos[${index}]`));
    await this.#options.handlers.buildResult({ infos, chunks: reader.payload() }, call);
    await answerEmpty(call);
  }

  async #fetchPaths(call: BulkCall): Promise<void> {
    const { handlers, storeDir } = this.#options;
    const message = decode(StorePathsSchema, await readWholeMessage(call.stream, maxMessageBytes));
    const paths = storePathsFromWire(message.paths, "paths");
    const { infos, chunks } = await handlers.fetchPaths(paths, call);
    const header = create(AddToStoreHeaderSchema, {
      pathInfos: infos.map((info) => pathInfoToWire(storeDir, info)),
    });
    const request = create(AddToStoreRequestSchema, { content: { case: "header", value: header } });
    startAnswer(call.response);
    await send(call, [messageFrame(toBinary(AddToStoreRequestSchema, request))]);
    const iterator = chunks[Symbol.asyncIterator]();
    try {
      for (;;) {
        const result = await withSignal(iterator.next(), call.signal);
        if (result.done === true) break;
        for (let at = 0; at < result.value.length; at += maxChunk) {
          const piece = result.value.subarray(at, at + maxChunk);
          await send(call, [bulkHead(piece.length), piece]);
        }
      }
    } finally {
      // A source that is blocked must not hold up the end of the call.
      void Promise.resolve(iterator.return?.()).catch(() => {});
    }
  }
}

function readerOf(call: BulkCall): BulkReader {
  return new BulkReader(call.stream, {
    maxMessageBytes,
    onBytes: (count) => {
      call.meter.bytesIn += count;
    },
    checkEnd: async () => {
      if (!(await isEndedByPeer(call.stream))) throw new RpcError("cancelled", "the upload was cancelled");
    },
  });
}

async function send(call: BulkCall, pieces: readonly Uint8Array[]): Promise<void> {
  for (const piece of pieces) call.meter.bytesOut += piece.length;
  await writeWithPressure(call.stream, pieces);
}

async function* concat(
  first: readonly Uint8Array[],
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* first;
  yield* rest;
}

function decode<S extends Parameters<typeof fromBinary>[0]>(
  schema: S,
  bytes: Uint8Array,
): ReturnType<typeof fromBinary<S>> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw new RpcError("internal", `undecodable ${schema.typeName}`, { cause });
  }
}

function checkEncoding(encoding: string | string[] | undefined): void {
  if (encoding === undefined || encoding === "identity") return;
  throw new RpcError("unimplemented", `message encoding ${String(encoding)} is not supported`);
}

const timeoutUnits: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 0.001,
  n: 0.000_001,
};

/** Milliseconds until the deadline of a call; undefined when it has none that a timer could tell. */
function deadlineOf(header: string | string[] | undefined): number | undefined {
  const match = typeof header === "string" ? /^(\d{1,8})([HMSmun])$/.exec(header) : null;
  const ms = match === null ? Number.NaN : Number(match[1]) * (timeoutUnits[match[2] ?? ""] ?? Number.NaN);
  return ms <= 0x7fff_ffff ? ms : undefined;
}

function startAnswer(response: Http2ServerResponse): void {
  if (!response.headersSent) response.writeHead(200, { "content-type": "application/grpc" });
}

async function answerEmpty(call: BulkCall): Promise<void> {
  startAnswer(call.response);
  await send(call, [messageFrame(new Uint8Array(0))]);
}

/** Ends the call with trailers, and tells the caller to stop sending if it has not. */
function finish(response: Http2ServerResponse, error: RpcError | undefined): void {
  const { stream } = response;
  if (stream === undefined || stream.destroyed || stream.closed) return;
  startAnswer(response);
  response.addTrailers(
    error === undefined
      ? { "grpc-status": "0" }
      : { "grpc-status": String(error.number), "grpc-message": encodeGrpcMessage(error.message) },
  );
  response.end();
}

/** Ends a call at once with nothing but its status. */
export function refuse(stream: ServerHttp2Stream | undefined, error: RpcError): void {
  if (stream === undefined || stream.destroyed || stream.closed) return;
  stream.respond(
    {
      ":status": 200,
      "content-type": "application/grpc",
      "grpc-status": String(error.number),
      "grpc-message": encodeGrpcMessage(error.message),
    },
    { endStream: true },
  );
  setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
}

/**
 * The calls that carry bulk bytes, served on the bare stream: BuildLog and BuildResult up, FetchPaths down.
 *
 * Payload bytes of logs are never copied together. An upload is complete only if the builder ended it: a reset or a lost
 * connection shows as an error to the handler, never as an end.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { withSignal } from "../../async/index.js";
import { isLending, lentPieces } from "../../compression/index.js";
import type { StoreDir, StorePath } from "../../nix/path/store-path.js";
import { pathInfoFromWire, pathInfoToWire, storePathFromWire } from "../convert/index.js";
import { RpcError } from "../errors.js";
import { StorePathSchema, StorePathsSchema } from "../gen/nix/store/v1/store_pb.js";
import { AddToStoreHeaderSchema, AddToStoreRequestSchema } from "../gen/runner/v1/streaming_pb.js";
import {
  BulkReader,
  bulkHead,
  bulkPieceBytes,
  gathered,
  isEndedByPeer,
  maxMessageBytes,
  nextEvent,
  payloadOf,
} from "../stream/index.js";
import type { RunnerServiceHandlers } from "../types.js";
import { decode, storePathsOf } from "./decode.js";
import { smallMessageBytes } from "./message-budget.js";
import { readOneMessage, type ServerCall, sendMessage, sendPieces } from "./serve-call.js";

/** What the bulk calls need beside the call itself. */
export interface BulkCallsOptions {
  readonly handlers: RunnerServiceHandlers;
  readonly storeDir: StoreDir;
}

/** The methods served here, by name. */
export type BulkMethod = "BuildLog" | "BuildResult" | "FetchPaths";

/** Serves the bulk calls of one server. */
export class BulkCalls {
  readonly #options: BulkCallsOptions;

  constructor(options: BulkCallsOptions) {
    this.#options = options;
  }

  /** Whether a method is one of the bulk calls. */
  static handles(method: string): method is BulkMethod {
    return method === "BuildLog" || method === "BuildResult" || method === "FetchPaths";
  }

  /** Serves one call until its answer is complete. @throws RpcError with the status to answer with */
  run(method: BulkMethod, call: ServerCall): Promise<void> {
    switch (method) {
      case "BuildLog":
        return this.#buildLog(call);
      case "BuildResult":
        return this.#buildResult(call);
      case "FetchPaths":
        return this.#fetchPaths(call);
    }
  }

  async #buildLog(call: ServerCall): Promise<void> {
    const reader = readerOf(call, smallMessageBytes);
    const first: Uint8Array[] = [];
    let drv: StorePath | undefined;
    while (drv === undefined) {
      const event = await nextEvent(reader);
      if (event === undefined) throw new RpcError("internal", "the log stream is empty");
      if (event.kind === "end")
        throw new RpcError("invalid-argument", "drv: is missing in the first log chunk");
      // The derivation comes first in practice; what comes before it is held until it is known.
      if (event.kind === "data") {
        call.hold.grow(event.bytes.length);
        first.push(event.bytes);
      } else drv = storePathFromWire(await decode(StorePathSchema, event.bytes), "drv");
    }
    call.hold.arrived();
    const chunks = concat(first, payloadOf(reader));
    await this.#options.handlers.buildLog({ drv, chunks }, call);
    await sendMessage(call, new Uint8Array(0));
  }

  async #buildResult(call: ServerCall): Promise<void> {
    const reader = readerOf(call, maxMessageBytes);
    const event = await nextEvent(reader);
    if (event === undefined) throw new RpcError("internal", "the stream of store paths is empty");
    if (event.kind !== "head")
      throw new RpcError("internal", "the stream of store paths does not start with a header");
    call.hold.arrived();
    const { pathInfos } = await decode(AddToStoreHeaderSchema, event.bytes);
    const infos = pathInfos.map((info, index) => pathInfoFromWire(info, `path_infos[${index}]`));
    await this.#options.handlers.buildResult({ infos, chunks: gathered(reader) }, call);
    await sendMessage(call, new Uint8Array(0));
  }

  async #fetchPaths(call: ServerCall): Promise<void> {
    const { handlers, storeDir } = this.#options;
    const message = await decode(StorePathsSchema, await readOneMessage(call, maxMessageBytes));
    const paths = await storePathsOf(message.paths, "paths");
    const { infos, chunks, givenUp } = await handlers.fetchPaths(paths, call);
    const header = create(AddToStoreHeaderSchema, {
      pathInfos: infos.map((info) => pathInfoToWire(storeDir, info)),
    });
    const request = create(AddToStoreRequestSchema, { content: { case: "header", value: header } });
    await sendMessage(call, toBinary(AddToStoreRequestSchema, request));
    call.hold.release();
    const sent = sendChunks(call, chunks);
    await (givenUp === undefined ? sent : withSignal(sent, givenUp));
  }
}

/** Sends bulk bytes; ends with its call. */
async function sendChunks(call: ServerCall, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const use = isLending(chunks) ? "lent" : "kept";
  const iterator = lentPieces(chunks)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const result = await withSignal(iterator.next(), call.signal);
      if (result.done === true) break;
      for (let at = 0; at < result.value.length; at += bulkPieceBytes) {
        const piece = result.value.subarray(at, at + bulkPieceBytes);
        await sendPieces(call, [bulkHead(piece.length), piece], use);
      }
    }
  } finally {
    // A source that is blocked must not hold up the end of the call.
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

function readerOf(call: ServerCall, maxHeadBytes: number): BulkReader {
  return new BulkReader(call.stream, {
    maxMessageBytes,
    maxHeadBytes,
    onGrow: (bytes) => call.hold.grow(bytes),
    onPiece: call.onPiece,
    signal: call.signal,
    checkEnd: async () => {
      if (!(await isEndedByPeer(call.stream))) throw new RpcError("cancelled", "the upload was cancelled");
    },
  });
}

async function* concat(
  first: readonly Uint8Array[],
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* first;
  yield* rest;
}

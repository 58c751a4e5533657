/**
 * Reads a bulk stream event by event, with backpressure, and tells a complete stream from one that broke off.
 */
import type { Http2Stream } from "node:http2";
import { RpcError } from "../errors.js";
import { type BulkEvent, BulkParser } from "./bulk-parser.js";
import { chunksOf } from "./chunks.js";

/** Limits of the stream, and where its bytes are counted. */
export interface BulkReaderOptions {
  readonly maxMessageBytes: number;
  /** Largest field 1, which is the only part that is kept. Default: the largest message. */
  readonly maxHeadBytes?: number;
  /** Called before more memory is taken for a field 1; throws to refuse it. */
  readonly onGrow?: (bytes: number) => void;
  /** Called with the size of each piece that arrived, and whether it ends inside a field 1. */
  readonly onPiece?: (bytes: number, incomplete: boolean) => void;
  /** Throws unless the end of the bytes is the end the peer meant. Asked once, after the last byte. */
  readonly checkEnd: () => Promise<void>;
  /** Aborts when the stream is over. Default: its close says so. */
  readonly signal?: AbortSignal;
}

/** Reads one bulk stream. */
export class BulkReader {
  readonly #events: AsyncGenerator<BulkEvent, undefined>;

  constructor(stream: Http2Stream, options: BulkReaderOptions) {
    this.#events = read(stream, options);
  }

  /** The next event; undefined at the complete end of the stream. */
  async next(): Promise<BulkEvent | undefined> {
    const result = await this.#events.next();
    return result.done === true ? undefined : result.value;
  }

  /** The payload bytes from here to the end. Heads are passed over, as deployed peers do. */
  async *payload(): AsyncGenerator<Uint8Array, undefined> {
    for (let event = await this.next(); event !== undefined; event = await this.next()) {
      if (event.kind === "data") yield event.bytes;
    }
  }
}

async function* read(stream: Http2Stream, options: BulkReaderOptions): AsyncGenerator<BulkEvent, undefined> {
  const parser = new BulkParser(options);
  try {
    for await (const bytes of chunksOf(stream, { signal: options.signal, bulk: true })) {
      options.onPiece?.(bytes.length, false);
      yield* parser.push(bytes);
      if (parser.inHead) options.onPiece?.(0, true);
    }
  } catch (error) {
    if (error instanceof RpcError) throw error;
    throw new RpcError("cancelled", "the stream broke off", { cause: error });
  }
  await options.checkEnd();
  parser.finish();
  return undefined;
}

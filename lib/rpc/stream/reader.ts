/**
 * Reads a bulk stream event by event, with backpressure, and tells a complete stream from one that broke off.
 */
import type { Http2Stream } from "node:http2";
import { RpcError } from "../errors.js";
import { type BulkEvent, BulkParser } from "./bulk-parser.js";
import { framesOf } from "./incoming.js";

/** Limits of the stream, and where its bytes are counted. */
export interface BulkReaderOptions {
  readonly maxMessageBytes: number;
  /** Largest field 1, which is the only part that is kept. Default: the largest message. */
  readonly maxHeadBytes?: number;
  /** Called before more memory is taken for a field 1; throws to refuse it. */
  readonly onGrow?: (bytes: number) => void;
  /** Called with the size of what arrived at once, and whether it ends inside a field 1. */
  readonly onPiece?: (bytes: number, incomplete: boolean) => void;
  /** Throws unless the end of the bytes is the end the peer meant. Asked once, after the last byte. */
  readonly checkEnd: () => Promise<void>;
  /** Aborts when the stream is over. Default: its close says so. */
  readonly signal?: AbortSignal;
}

/** Events, of which many can be taken without a promise for each. */
export interface BulkEvents {
  /** The next event of what has come; undefined when there is none. @throws RpcError */
  take(): BulkEvent | undefined;
  /** Waits for more events. False at the complete end of the stream. @throws RpcError */
  more(): Promise<boolean>;
}

/** The next event; undefined at the complete end of the stream. */
export async function nextEvent(events: BulkEvents): Promise<BulkEvent | undefined> {
  for (;;) {
    const event = events.take();
    if (event !== undefined) return event;
    if (!(await events.more())) return undefined;
  }
}

/** The payload bytes from here to the end, as they arrived. Heads are passed over, as deployed peers do. */
export async function* payloadOf(events: BulkEvents): AsyncGenerator<Uint8Array, undefined> {
  for (let event = await nextEvent(events); event !== undefined; event = await nextEvent(events)) {
    if (event.kind === "data") yield event.bytes;
  }
}

/** Reads one bulk stream. */
export class BulkReader implements BulkEvents {
  readonly #arriving: AsyncGenerator<readonly Uint8Array[], undefined>;
  readonly #options: BulkReaderOptions;
  readonly #parser: BulkParser;
  #events: Iterator<BulkEvent, void> | undefined;
  #ended = false;

  constructor(stream: Http2Stream, options: BulkReaderOptions) {
    this.#arriving = framesOf(stream, { signal: options.signal, bulk: true });
    this.#options = options;
    this.#parser = new BulkParser(options);
  }

  take(): BulkEvent | undefined {
    if (this.#events === undefined) return undefined;
    try {
      const next = this.#events.next();
      if (next.done !== true) return next.value;
    } catch (error) {
      this.#stop();
      throw error;
    }
    this.#events = undefined;
    return undefined;
  }

  async more(): Promise<boolean> {
    if (this.#ended) return false;
    const next = await this.#arriving.next().catch((error: unknown) => {
      throw error instanceof RpcError
        ? error
        : new RpcError("cancelled", "the stream broke off", { cause: error });
    });
    if (next.done === true) {
      this.#ended = true;
      await this.#options.checkEnd();
      this.#parser.finish();
      return false;
    }
    this.#events = this.#parsed(next.value);
    return true;
  }

  *#parsed(frames: readonly Uint8Array[]): Generator<BulkEvent, void> {
    let bytes = 0;
    for (const frame of frames) bytes += frame.length;
    this.#options.onPiece?.(bytes, false);
    for (const frame of frames) yield* this.#parser.push(frame);
    if (this.#parser.inHead) this.#options.onPiece?.(0, true);
  }

  /** After what does not parse nothing more is read. */
  #stop(): void {
    this.#ended = true;
    this.#events = undefined;
    void this.#arriving.return(undefined).catch(() => undefined);
  }
}

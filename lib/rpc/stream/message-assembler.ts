/** Finds the messages in the pieces of a call that carries whole messages, without waiting for anything. */
import { envelopeBytes, messageSize } from "./envelope.js";
import { MessageBuffer } from "./message-buffer.js";

/** Limits of the messages, and where their bytes are counted. */
export interface MessageAssemblerOptions {
  /** Largest message, without its envelope. */
  readonly maxBytes: number;
  /** Called before memory is taken for a message that comes in several pieces; throws to refuse it. */
  readonly onGrow?: (bytes: number) => void;
}

/** Takes pieces; each message is there as soon as its last byte was taken. */
export class MessageAssembler {
  readonly #options: MessageAssemblerOptions;
  /** Of an envelope that came in several pieces. */
  #envelope: number[] = [];
  #buffer: MessageBuffer | undefined;
  #message: Uint8Array | undefined;

  constructor(options: MessageAssemblerOptions) {
    this.#options = options;
  }

  /** The message that the last piece completed. Bytes of a piece that held all of it are not copied. */
  get message(): Uint8Array | undefined {
    return this.#message;
  }

  /** Whether what was taken ends inside a message or its envelope. */
  get isIncomplete(): boolean {
    return this.#buffer !== undefined || this.#envelope.length > 0;
  }

  /**
   * Takes bytes from `at` up to the end of the piece or of a message, whichever comes first; returns how many.
   *
   * @throws RpcError `out-of-range` for a message over the limit, `internal` for a compressed one; what `onGrow` throws
   */
  take(piece: Uint8Array, at: number): number {
    this.#message = undefined;
    let from = at;
    if (this.#buffer === undefined) {
      while (this.#envelope.length < envelopeBytes) {
        if (from === piece.length) return from - at;
        this.#envelope.push(piece[from++] ?? 0);
      }
      const size = messageSize(this.#envelope, this.#options.maxBytes);
      this.#envelope = [];
      if (piece.length - from >= size) {
        this.#message = piece.subarray(from, from + size);
        return from + size - at;
      }
      this.#buffer = new MessageBuffer(size, this.#options.onGrow);
    }
    from += this.#buffer.take(piece.subarray(from));
    if (this.#buffer.missing === 0) {
      this.#message = this.#buffer.bytes;
      this.#buffer = undefined;
    }
    return from - at;
  }
}

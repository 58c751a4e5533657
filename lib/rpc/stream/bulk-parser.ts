/**
 * Incremental parser of a gRPC stream whose messages have one small message field (1) and one payload field (2):
 * `LogChunk` and `AddToStoreRequest`.
 *
 * Payloads are never assembled: their bytes come out as views of what was put in. A message is limited in size before
 * anything of it is kept, and only field 1 is kept at all.
 */
import { RpcError } from "../errors.js";
import { MessageBuffer } from "./message-buffer.js";

/** What a bulk stream consists of, in the order in which it arrives. */
export type BulkEvent =
  /** Field 1, whole. */
  | { readonly kind: "head"; readonly bytes: Uint8Array }
  /** A piece of field 2, never empty. */
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  /** The message is over. `payload` tells whether it had a field 2. */
  | { readonly kind: "end"; readonly payload: boolean };

type State =
  | "envelope"
  | "key"
  /** Length of a length-delimited field. */
  | "length"
  | "head"
  | "data"
  /** A field that is not ours: bytes to pass over, or a varint to pass over. */
  | "skip"
  | "skipVarint";

/** Largest field 1 after the first one. */
const laterHeadBytes = 65_536;

/** What a bulk stream may make its reader keep. */
export interface BulkParserOptions {
  readonly maxMessageBytes: number;
  /** Largest field 1. Default: the largest message. */
  readonly maxHeadBytes?: number;
  /** Called before more memory is taken for a field 1; throws to refuse it. */
  readonly onGrow?: (bytes: number) => void;
}

/** Parses one bulk stream. */
export class BulkParser {
  readonly #options: BulkParserOptions;
  #state: State = "envelope";
  #envelope: number[] = [];
  /** Bytes of the message that are still to come. */
  #left = 0;
  #varint = 0;
  #varintScale = 1;
  #varintBytes = 0;
  #key = 0;
  /** Bytes of the field that are still to come. */
  #field = 0;
  #head = new MessageBuffer(0);
  #hadHead = false;
  #payload = false;

  constructor(options: BulkParserOptions) {
    this.#options = options;
  }

  /** Whether what was put in ends inside a field 1. */
  get inHead(): boolean {
    return this.#state === "head";
  }

  /** @throws RpcError for what is not such a stream; the parser must not be used afterwards */
  *push(chunk: Uint8Array): Generator<BulkEvent> {
    let at = 0;
    while (at < chunk.length) {
      switch (this.#state) {
        case "envelope":
          this.#envelope.push(chunk[at++] ?? 0);
          if (this.#envelope.length === 5) this.#open();
          break;
        case "key":
          if (this.#takeVarint(chunk[at++] ?? 0)) this.#takeKey();
          break;
        case "length":
          if (this.#takeVarint(chunk[at++] ?? 0)) yield* this.#takeLength();
          break;
        case "skipVarint":
          if (this.#takeVarint(chunk[at++] ?? 0)) this.#state = "key";
          break;
        case "head": {
          at += this.#pass(this.#head.take(chunk.subarray(at)));
          if (this.#field === 0) yield { kind: "head", bytes: this.#head.bytes };
          break;
        }
        case "data": {
          const piece = chunk.subarray(at, at + this.#field);
          at += this.#pass(piece.length);
          yield { kind: "data", bytes: piece };
          break;
        }
        case "skip":
          at += this.#pass(Math.min(chunk.length - at, this.#field));
          break;
      }
      if (this.#state === "key" && this.#left === 0 && this.#varintBytes === 0) yield this.#close();
    }
  }

  /** @throws RpcError when the stream ended inside a message */
  finish(): void {
    if (this.#state !== "envelope" || this.#envelope.length > 0) {
      throw new RpcError("internal", "the stream ended in the middle of a message");
    }
  }

  #open(): void {
    const [flag = 0, a = 0, b = 0, c = 0, d = 0] = this.#envelope;
    if (flag !== 0) throw new RpcError("internal", "a message is compressed, which was not agreed on");
    this.#left = a * 0x1000000 + b * 0x10000 + c * 0x100 + d;
    const { maxMessageBytes } = this.#options;
    if (this.#left > maxMessageBytes) {
      throw new RpcError(
        "out-of-range",
        `a message of ${this.#left} bytes exceeds the limit of ${maxMessageBytes}`,
      );
    }
    this.#envelope = [];
    this.#payload = false;
    this.#state = "key";
  }

  #close(): BulkEvent {
    this.#state = "envelope";
    return { kind: "end", payload: this.#payload };
  }

  /** Takes one byte of the message and of the varint; true at its last byte. */
  #takeVarint(byte: number): boolean {
    if (this.#left === 0) throw new RpcError("internal", "a message ends in the middle of a field");
    this.#left -= 1;
    if (this.#varintBytes === 0) {
      this.#varint = 0;
      this.#varintScale = 1;
    }
    this.#varintBytes += 1;
    if (this.#varintBytes > 10) throw new RpcError("internal", "a message holds an overlong integer");
    this.#varint += (byte & 0x7f) * this.#varintScale;
    this.#varintScale *= 0x80;
    if (byte >= 0x80) {
      if (this.#left === 0) throw new RpcError("internal", "a message ends in the middle of a field");
      return false;
    }
    this.#varintBytes = 0;
    return true;
  }

  #takeKey(): void {
    this.#key = this.#varint;
    switch (this.#key % 8) {
      case 0:
        this.#begin("skipVarint", 0);
        break;
      case 1:
        this.#begin("skip", 8);
        break;
      case 2:
        this.#begin("length", 0);
        break;
      case 5:
        this.#begin("skip", 4);
        break;
      default:
        throw new RpcError("internal", `a message holds a field of unknown kind ${this.#key % 8}`);
    }
  }

  *#takeLength(): Generator<BulkEvent> {
    const size = this.#varint;
    if (this.#key === 0x0a) {
      this.#begin("head", size);
      // Readers pass over a second one, so it may only be small, and is not counted.
      const { maxHeadBytes = size, onGrow }: Partial<BulkParserOptions> = this.#hadHead
        ? { maxHeadBytes: laterHeadBytes }
        : this.#options;
      if (size > maxHeadBytes) {
        throw new RpcError("out-of-range", `a field of ${size} bytes exceeds the limit of ${maxHeadBytes}`);
      }
      this.#head = new MessageBuffer(size, onGrow);
      this.#hadHead = true;
      if (size === 0) yield { kind: "head", bytes: this.#head.bytes };
    } else if (this.#key === 0x12) {
      if (this.#payload) throw new RpcError("internal", "a message holds two payloads");
      this.#payload = true;
      this.#begin("data", size);
    } else {
      this.#begin("skip", size);
    }
    if (size === 0) this.#state = "key";
  }

  #begin(state: State, size: number): void {
    const least = state === "length" || state === "skipVarint" ? 1 : size;
    if (least > this.#left) throw new RpcError("internal", "a field is longer than its message");
    this.#field = size;
    this.#state = state;
  }

  /** Accounts for bytes of the field that were taken; returns their number. */
  #pass(count: number): number {
    this.#field -= count;
    this.#left -= count;
    if (this.#field === 0) this.#state = "key";
    return count;
  }
}

/**
 * Follows the framing of zstd data (RFC 8878, sections 3.1.1 and 3.1.2) without decoding it.
 *
 * Decoders disagree about truncated input and about frames with huge windows or blocks; this check rejects them
 * consistently.
 */
import { anAmount, checkArgument } from "../../argument-checks.js";
import { CompressionError } from "../errors.js";
import {
  type FrameHeader,
  frameMagic,
  headerLength,
  isSkippable,
  readBlockHeader,
  readFrameHeader,
} from "./frame-header.js";

type Part = "magic" | "descriptor" | "header" | "blockHeader" | "payload" | "skipSize";

/** Counts the frames of a stream that is given in pieces of any size. */
export class ZstdFraming {
  readonly #maximalWindow: number;
  #part: Part = "magic";
  #wanted = 4;
  #gathered = Buffer.alloc(16);
  #filled = 0;
  #skip = 0;
  #descriptor = 0;
  #frame: FrameHeader | undefined;
  #largestWindow = 0;
  #lastBlock = false;
  #frames = 0;

  /** `maximalWindow` in bytes; frames that need more are refused. */
  constructor(maximalWindow: number) {
    checkArgument("ZstdFraming", "maximalWindow", maximalWindow, anAmount);
    this.#maximalWindow = maximalWindow;
  }

  /** Whole frames seen. */
  get frames(): number {
    return this.#frames;
  }

  /** Bytes of the largest window that a frame needs so far. */
  get largestWindow(): number {
    return this.#largestWindow;
  }

  /** Nothing of a frame is missing. */
  get atBoundary(): boolean {
    return this.#part === "magic" && this.#filled === 0;
  }

  /**
   * Takes bytes up to the end of the frame they belong to and returns how many that were.
   *
   * @throws CompressionError (`corrupt`) when this is not zstd data, or its window is too large
   */
  push(chunk: Uint8Array): number {
    let offset = 0;
    const before = this.#frames;
    while (offset < chunk.length && this.#frames === before) {
      if (this.#part === "payload") {
        const step = Math.min(this.#skip, chunk.length - offset);
        this.#skip -= step;
        offset += step;
        if (this.#skip === 0) this.#endPayload();
        continue;
      }
      const step = Math.min(this.#wanted - this.#filled, chunk.length - offset);
      this.#gathered.set(chunk.subarray(offset, offset + step), this.#filled);
      this.#filled += step;
      offset += step;
      if (this.#filled === this.#wanted) {
        this.#filled = 0;
        this.#take();
      }
    }
    return offset;
  }

  /** @throws CompressionError (`truncated`) unless the data ended with a frame, and had one */
  end(): void {
    if (this.#frames > 0 && this.atBoundary) return;
    throw new CompressionError("truncated", "zstd: the data ends in the middle of a frame");
  }

  #expect(part: Part, bytes: number): void {
    this.#part = part;
    this.#wanted = bytes;
  }

  #payload(bytes: number): void {
    this.#part = "payload";
    this.#skip = bytes;
    if (bytes === 0) this.#endPayload();
  }

  #endPayload(): void {
    if (this.#lastBlock) {
      this.#frames += 1;
      this.#expect("magic", 4);
    } else this.#expect("blockHeader", 3);
  }

  #take(): void {
    const bytes = this.#gathered;
    switch (this.#part) {
      case "magic": {
        const magic = bytes.readUInt32LE(0);
        if (magic === frameMagic) this.#expect("descriptor", 1);
        else if (isSkippable(magic)) this.#expect("skipSize", 4);
        else throw new CompressionError("corrupt", "zstd: the data is not in zstd format");
        break;
      }
      case "skipSize":
        this.#lastBlock = true;
        this.#payload(bytes.readUInt32LE(0));
        break;
      case "descriptor":
        this.#descriptor = bytes[0] ?? 0;
        this.#expect("header", headerLength(this.#descriptor));
        break;
      case "header":
        this.#frame = readFrameHeader(this.#descriptor, bytes, this.#maximalWindow);
        this.#largestWindow = Math.max(this.#largestWindow, this.#frame.window);
        this.#expect("blockHeader", 3);
        break;
      case "blockHeader": {
        if (this.#frame === undefined) break;
        const { last, payload } = readBlockHeader(bytes, this.#frame);
        this.#lastBlock = last;
        this.#payload(payload + (last && this.#frame.hasChecksum ? 4 : 0));
        break;
      }
      case "payload":
        break;
    }
  }
}

/**
 * Follows the framing of zstd data (RFC 8878, sections 3.1.1 and 3.1.2) without decoding it.
 *
 * Decoders differ in what they say of data that breaks off and of frames that want gigabytes of window; this makes both
 * the same everywhere.
 */
import { CompressionError } from "./errors.js";

const frameMagic = 0xfd2fb528;
/** The low four bits of the magic number of a frame to skip are free. */
const skippableMagic = 0x184d2a50;

type Part = "magic" | "descriptor" | "header" | "blockHeader" | "payload" | "skipSize";

export class ZstdFraming {
  readonly #maximalWindow: number;
  #part: Part = "magic";
  #wanted = 4;
  #gathered = Buffer.alloc(16);
  #filled = 0;
  #skip = 0;
  #descriptor = 0;
  #lastBlock = false;
  #frames = 0;

  constructor(maximalWindow: number) {
    this.#maximalWindow = maximalWindow;
  }

  /** Whole frames seen. */
  get frames(): number {
    return this.#frames;
  }

  /** Nothing of a frame is missing. */
  get atBoundary(): boolean {
    return this.#part === "magic" && this.#filled === 0;
  }

  /**
   * Takes bytes up to the end of the frame they belong to and returns how many that were.
   *
   * @throws CompressionError (`corrupt`) when this is no zstd data, or its window is too large
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
        else if ((magic & 0xfffffff0) === skippableMagic) this.#expect("skipSize", 4);
        else throw new CompressionError("corrupt", "zstd: this is no zstd data");
        break;
      }
      case "skipSize":
        this.#lastBlock = true;
        this.#payload(bytes.readUInt32LE(0));
        break;
      case "descriptor": {
        this.#descriptor = bytes[0] ?? 0;
        if ((this.#descriptor & 0x08) !== 0)
          throw new CompressionError("corrupt", "zstd: reserved bit is set");
        const size = this.#windowBytes() + this.#dictionaryBytes() + this.#contentSizeBytes();
        this.#expect("header", size);
        break;
      }
      case "header":
        this.#checkWindow();
        this.#expect("blockHeader", 3);
        break;
      case "blockHeader": {
        const header = bytes.readUIntLE(0, 3);
        this.#lastBlock = (header & 1) === 1;
        const kind = (header >> 1) & 3;
        if (kind === 3) throw new CompressionError("corrupt", "zstd: a block of unknown type");
        const checksum = this.#lastBlock && (this.#descriptor & 0x04) !== 0 ? 4 : 0;
        this.#payload((kind === 1 ? 1 : header >> 3) + checksum);
        break;
      }
      case "payload":
        break;
    }
  }

  #singleSegment(): boolean {
    return (this.#descriptor & 0x20) !== 0;
  }

  #windowBytes(): number {
    return this.#singleSegment() ? 0 : 1;
  }

  #dictionaryBytes(): number {
    return [0, 1, 2, 4][this.#descriptor & 3] ?? 0;
  }

  #contentSizeBytes(): number {
    const flag = this.#descriptor >> 6;
    if (flag === 0) return this.#singleSegment() ? 1 : 0;
    return 1 << flag;
  }

  #checkWindow(): void {
    let window: number;
    if (this.#singleSegment()) {
      const at = this.#dictionaryBytes();
      const width = this.#contentSizeBytes();
      window =
        width === 8 ? Number(this.#gathered.readBigUInt64LE(at)) : this.#gathered.readUIntLE(at, width);
    } else {
      const byte = this.#gathered[0] ?? 0;
      const base = 2 ** (10 + (byte >> 3));
      window = base + (base / 8) * (byte & 7);
    }
    if (window > this.#maximalWindow) {
      throw new CompressionError(
        "corrupt",
        `zstd: the data needs a window of ${window} bytes, which is too much`,
      );
    }
  }
}

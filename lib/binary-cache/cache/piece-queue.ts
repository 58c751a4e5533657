/** Bytes on their way from who produces them to who writes them, put together into pieces that are worth a write. */

import type { ReusedPieces } from "../objects/object-store.js";

/** Bytes of a piece. */
const pieceSize = 512 * 1024;
/** Full pieces that may wait. */
const mostWaiting = 2;

/** One writer, one reader. The reader is not at the end before the writer says so. */
export class PieceQueue implements ReusedPieces {
  readonly #full: Uint8Array[] = [];
  /** Whole buffers that were given back. */
  readonly #free: Uint8Array[] = [];
  #piece: Uint8Array = new Uint8Array(0);
  #filled = 0;
  #state: "open" | "ended" | "failed" = "open";
  #failure: Error | undefined;
  #wakeReader = (): void => undefined;
  #wakeWriter = (): void => undefined;

  get hasRoom(): boolean {
    return this.#full.length <= mostWaiting;
  }

  /** Takes a copy of `bytes`. Undefined when there is room for more, else a promise of room. */
  push(bytes: Uint8Array): Promise<void> | undefined {
    for (let at = 0; at < bytes.length; ) {
      if (this.#filled === this.#piece.length) this.#begin();
      const part = bytes.subarray(at, at + this.#piece.length - this.#filled);
      this.#piece.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled === this.#piece.length) this.#finish();
    }
    if (this.hasRoom || this.#state !== "open") return undefined;
    return new Promise((resolve) => {
      this.#wakeWriter = resolve;
    });
  }

  /** No more bytes are coming. */
  end(): void {
    if (this.#state !== "open") return;
    this.#finish();
    this.#state = "ended";
    this.#wakeReader();
  }

  /** The bytes will not be complete: the reader gets `reason` as an error. */
  fail(reason: Error): void {
    if (this.#state !== "open") return;
    this.#state = "failed";
    this.#failure = reason;
    this.#full.length = 0;
    this.#wakeReader();
    this.#wakeWriter();
  }

  release(piece: Uint8Array): void {
    if (piece.length === pieceSize && this.#free.length < mostWaiting) this.#free.push(piece);
  }

  /** For the reader, which may keep the pieces that it does not release. @throws what `fail` was given */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const next = this.#full.shift();
      if (next !== undefined) {
        this.#wakeWriter();
        yield next;
      } else if (this.#state === "failed") throw this.#failure;
      else if (this.#state === "ended") return;
      else {
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
      }
    }
  }

  #begin(): void {
    this.#piece = this.#free.pop() ?? Buffer.allocUnsafeSlow(pieceSize);
    this.#filled = 0;
  }

  #finish(): void {
    if (this.#filled > 0) this.#full.push(this.#piece.subarray(0, this.#filled));
    this.#piece = new Uint8Array(0);
    this.#filled = 0;
    this.#wakeReader();
  }
}

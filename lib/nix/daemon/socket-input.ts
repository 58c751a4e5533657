/**
 * What a daemon sends over a socket, read into a few buffers again and again: a fresh one for each 64 KiB costs more, above
 * all in garbage, than everything else that is done with a NAR.
 */
import type { OnReadOpts, Socket } from "node:net";

/** Bytes of a buffer: at first, because most connections answer short questions, and once one was filled to the end. */
const bufferSize = { first: 16 * 1024, bulk: 128 * 1024 } as const;
/** One that the reader has, one that waits, one that is being filled. */
const bufferCount = 3;

/** The reading side of one socket. */
export class SocketInput {
  readonly #buffers: Buffer[] = [];
  #size: number = bufferSize.first;
  readonly #onPiece: () => void;
  /** Oldest first; `#held` when the reader has the first one. */
  readonly #pieces: Uint8Array[] = [];
  #held = false;
  #paused = false;
  #next = 0;
  #socket: Socket | undefined;

  /** `onPiece` is called whenever something has come. */
  constructor(onPiece: () => void) {
    this.#onPiece = onPiece;
  }

  /** For the socket's constructor. */
  get onread(): OnReadOpts {
    return {
      // Called at the beginning, and after each piece for the buffer of the next.
      buffer: () => this.#empty(),
      callback: (size, buffer) => {
        if (size === buffer.length) this.#size = bufferSize.bulk;
        this.#pieces.push(buffer.subarray(0, size));
        this.#paused = this.#pieces.length === bufferCount - 1;
        this.#onPiece();
        return !this.#paused;
      },
    };
  }

  /** The socket that was made with `onread`. */
  attach(socket: Socket): void {
    this.#socket = socket;
  }

  /** Pieces wait. */
  get hasMore(): boolean {
    return this.#pieces.length > (this.#held ? 1 : 0);
  }

  /** The next piece, if there is one; the one before may be overwritten from now on. */
  take(): Uint8Array | undefined {
    if (this.#held) {
      this.#held = false;
      this.#pieces.shift();
      if (this.#paused) {
        this.#paused = false;
        this.#socket?.resume();
      }
    }
    const piece = this.#pieces[0];
    this.#held = piece !== undefined;
    return piece;
  }

  /** The buffer for what comes next: the one whose piece was given back longest ago. */
  #empty(): Buffer {
    const index = this.#next++ % bufferCount;
    const known = this.#buffers[index];
    if (known !== undefined && known.length >= this.#size) return known;
    const fresh = Buffer.allocUnsafeSlow(this.#size);
    this.#buffers[index] = fresh;
    return fresh;
  }
}

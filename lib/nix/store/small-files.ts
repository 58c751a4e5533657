/**
 * Reads many small files of a local disk without holding up the event loop.
 *
 * A synchronous read of a file in the page cache takes a tenth of what an asynchronous one costs the main thread. But a
 * disk can be slow, or hang. So the first read of every slice of time is asynchronous; once it is there, others follow
 * synchronously until the slice is over, or until one of them was slow: then the next ones are asynchronous again.
 */
import { closeSync, constants, openSync, readSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import { type ByteString, bytesToByteString } from "../path/byte-string.js";

/** Milliseconds of synchronous reads, with the work on what was read, between two turns of the event loop. */
const sliceMs = 5;
/** A synchronous read that takes longer did not come from memory. */
const slowReadMs = 5;
/** An asynchronous read that takes longer opens no slice. */
const slowProbeMs = 50;
/** Reads that are asynchronous after a slow one. */
const readsAfterSlow = 32;
/** Larger files are read asynchronously. */
const smallSize = 64 << 10;
// A symbolic link is not followed, and a pipe is not waited for, as a build may have made the file.
const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Reads files; those that share one also share its slices. */
export class SmallFiles {
  readonly #buffer = Buffer.allocUnsafeSlow(smallSize);
  /** Of `performance.now()`. */
  #sliceEnds = 0;
  /** The asynchronous read that opens the next slice. */
  #probe: Promise<unknown> | undefined;
  #readsUntilProbe = 0;
  /** Files read so far. */
  reads = 0;

  /** The contents, one character a byte. @throws system errors; the reason of `signal` */
  async read(path: string, signal?: AbortSignal): Promise<ByteString> {
    while (this.#readsUntilProbe === 0 && performance.now() >= this.#sliceEnds) {
      if (this.#probe === undefined) return this.#readAsProbe(path, signal);
      await this.#probe;
    }
    signal?.throwIfAborted();
    this.reads++;
    if (this.#readsUntilProbe > 0) {
      this.#readsUntilProbe--;
      return readLater(path, signal);
    }
    return this.#readNow(path) ?? readLater(path, signal);
  }

  async #readAsProbe(path: string, signal: AbortSignal | undefined): Promise<ByteString> {
    const started = performance.now();
    this.reads++;
    const reading = readLater(path, signal);
    this.#probe = reading.then(
      () => undefined,
      () => undefined,
    );
    try {
      return await reading;
    } finally {
      this.#probe = undefined;
      const now = performance.now();
      if (now - started > slowProbeMs) this.#readsUntilProbe = readsAfterSlow;
      else this.#sliceEnds = now + sliceMs;
    }
  }

  /** Undefined for a file that is not small. */
  #readNow(path: string): ByteString | undefined {
    const started = performance.now();
    const descriptor = openSync(path, flags);
    try {
      const length = readSync(descriptor, this.#buffer, 0, smallSize, null);
      if (performance.now() - started > slowReadMs) this.#readsUntilProbe = readsAfterSlow;
      return length < smallSize ? bytesToByteString(this.#buffer.subarray(0, length)) : undefined;
    } finally {
      closeSync(descriptor);
    }
  }
}

async function readLater(path: string, signal: AbortSignal | undefined): Promise<ByteString> {
  return bytesToByteString(
    await readFile(path, { flag: flags, ...(signal === undefined ? {} : { signal }) }),
  );
}

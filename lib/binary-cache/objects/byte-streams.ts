/** Small helpers for streams of bytes. */

/** All of it; for objects that are known to be small. @throws RangeError above `limit` bytes */
export async function collect(source: AsyncIterable<Uint8Array>, limit = 64 << 20): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of source) {
    size += part.length;
    if (size > limit) throw new RangeError(`more than ${limit} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts, size);
}

/** A stream of one chunk. */
export async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Cuts a stream into buffers of exactly `size` bytes, the last one shorter. Each is a copy. */
export async function* pieces(source: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Buffer> {
  let parts: Uint8Array[] = [];
  let filled = 0;
  for await (const chunk of source) {
    for (let offset = 0; offset < chunk.length; ) {
      const part = chunk.subarray(offset, offset + size - filled);
      parts.push(part);
      filled += part.length;
      offset += part.length;
      if (filled === size) {
        yield Buffer.concat(parts, filled);
        parts = [];
        filled = 0;
      }
    }
  }
  if (filled > 0) yield Buffer.concat(parts, filled);
}

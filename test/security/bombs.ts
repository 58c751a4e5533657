/** Small inputs that stand for very much. */

/** A zstd frame made by hand: each block of four bytes stands for 128 KiB of zero bytes. */
export function zstdBomb(bytes: number): Buffer {
  const blockSize = 131_072;
  const blocks = Math.ceil(bytes / blockSize);
  const frame = Buffer.alloc(6 + 4 * blocks);
  // Magic, no content size, a window of 128 KiB.
  frame.set([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38]);
  for (let index = 0; index < blocks; index++) {
    const last = index === blocks - 1 ? 1 : 0;
    frame.writeUIntLE((blockSize << 3) | (1 << 1) | last, 6 + 4 * index, 3);
  }
  return frame;
}

/** Bytes in pieces as a network delivers them. */
export async function* inPieces(bytes: Uint8Array, size = 16_384): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

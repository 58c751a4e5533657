/** zstd by the optional package, for machines that have neither a new Node nor the `zstd` program. */
import { createRequire } from "node:module";
import { CompressionError } from "../errors.js";

/** Input bytes of one frame; readers of NARs take many frames in a row as one stream. */
const frameInput = 1 << 20;

type Package = typeof import("@toondepauw/node-zstd");

/** Unlike `import`, `require` tries again what failed once, perhaps for lack of file descriptors. */
const require = createRequire(import.meta.url);
const load = (): Package => require("@toondepauw/node-zstd") as Package;

/** Whether the optional package is installed and works on this platform. */
export function hasZstdPackage(): boolean {
  try {
    load();
    return true;
  } catch {
    return false;
  }
}

function loadEncoder(level: number): { encode(data: Buffer): Promise<Buffer> } {
  try {
    const { Encoder } = load();
    return new Encoder(level);
  } catch (cause) {
    throw new CompressionError(
      "missing-program",
      "zstd needs Node 22.15 or newer, the program 'zstd', or the package @toondepauw/node-zstd: install one of them",
      { cause },
    );
  }
}

/** A sequence of frames, one for each MiB of input. @throws CompressionError when the package is not there */
export async function* packageZstdFrames(
  source: AsyncIterable<Uint8Array>,
  level: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  const encoder = loadEncoder(level);
  let parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of source) {
    signal?.throwIfAborted();
    // It may be lent.
    parts.push(Buffer.from(chunk));
    size += chunk.length;
    if (size < frameInput) continue;
    yield await encoder.encode(Buffer.concat(parts));
    parts = [];
    size = 0;
  }
  // Also for no input at all: nothing is not a valid zstd file.
  yield await encoder.encode(Buffer.concat(parts));
}

/** Reading of build logs where `LogStore` keeps them: of each try, in whatever form it is by now, also while it grows. */
import { createReadStream } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { sleep } from "../../../async/index.js";
import { type CompressionMethod, decompress, unlimitedOutput } from "../../../compression/index.js";
import { isSystemError } from "../../../errors.js";

/** The log of one try. */
export interface LogFileFacts {
  readonly path: string;
  readonly method: Extract<CompressionMethod, "none" | "zstd" | "bzip2">;
  /** When it was last written to, in milliseconds since the epoch. */
  readonly modifiedAt: number;
}

const methods = { "": "none", ".zst": "zstd", ".bz2": "bzip2" } as const;
const chunkBytes = 64 * 1024;
/** How often a log that is being written is looked at again, in milliseconds. */
const lookAgainMs = 250;

/** Logs of a derivation, oldest first. `path`: of the newest one, plain; see `LogStore.pathOf`. */
export async function logFiles(path: string): Promise<LogFileFacts[]> {
  const folder = dirname(path);
  const base = basename(path);
  const names = await readdir(folder).catch((error: unknown) => {
    if (isSystemError(error) && error.code === "ENOENT") return [];
    throw error;
  });
  const found: { readonly order: number; readonly facts: LogFileFacts }[] = [];
  for (const name of names) {
    if (!name.startsWith(base)) continue;
    const match = /^(?:\.try(\d+))?(|\.zst|\.bz2)$/.exec(name.slice(base.length));
    if (match === null) continue;
    const suffix = match[2] as keyof typeof methods;
    const file = await stat(join(folder, name)).catch(() => undefined);
    if (file === undefined) continue;
    found.push({
      order: match[1] === undefined ? Number.MAX_SAFE_INTEGER : Number(match[1]),
      facts: { path: join(folder, name), method: methods[suffix], modifiedAt: file.mtimeMs },
    });
  }
  return found.sort((a, b) => a.order - b.order).map(({ facts }) => facts);
}

/** The bytes of a log from `start` to before `end`, decompressed. Undefined `end`: to its end. */
export async function* readLog(
  { path, method }: LogFileFacts,
  { start, end = Number.POSITIVE_INFINITY }: { readonly start: number; readonly end?: number | undefined },
): AsyncGenerator<Uint8Array> {
  if (end <= start) return;
  if (method === "none") {
    // Of a file that grows meanwhile, `end` bounds what is sent.
    yield* createReadStream(path, { start, end: end - 1, highWaterMark: chunkBytes });
    return;
  }
  let offset = 0;
  const source = createReadStream(path);
  for await (const chunk of decompress(source, { method, maxOutput: unlimitedOutput })) {
    const from = Math.max(0, start - offset);
    const part = chunk.subarray(from, Math.max(from, end - offset));
    if (part.length > 0) yield part;
    offset += chunk.length;
    if (offset >= end) return;
  }
}

/** Length of a log in bytes, decompressed. */
export async function logLength(file: LogFileFacts): Promise<number> {
  if (file.method === "none") return (await stat(file.path)).size;
  let bytes = 0;
  for await (const chunk of readLog(file, { start: 0 })) bytes += chunk.length;
  return bytes;
}

/** The bytes of a log from `start` on, also those that are still to come: until `isLive` says false. */
export async function* followLog(
  file: LogFileFacts,
  { start, isLive }: { readonly start: number; readonly isLive: () => boolean },
): AsyncGenerator<Uint8Array> {
  if (file.method !== "none") {
    yield* readLog(file, { start });
    return;
  }
  const handle = await open(file.path, "r");
  try {
    for (let offset = start; ; ) {
      // Looked at before the read: what was written until the end is read after it.
      const wasLive = isLive();
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(chunkBytes), 0, chunkBytes, offset);
      offset += bytesRead;
      if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
      else if (!wasLive) return;
      else await sleep(lookAgainMs, { ref: false });
    }
  } finally {
    await handle.close();
  }
}

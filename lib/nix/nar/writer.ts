/** Writes NARs: of a tree in the file system, or piece by piece. */

import { constants, type Stats } from "node:fs";
import { lstat, open, readdir, readlink } from "node:fs/promises";
import { aSignal, aText, checkArgument, checkMembers, oneOf, optional } from "../../argument-checks.js";
import { NixFormatError } from "../errors.js";
import { type ByteString, byteStringFromText, bytesToByteString } from "../path/byte-string.js";

const blockSize = 262_144;

/** Length, bytes, zero padding to a multiple of eight; for several texts one after the other. */
export function narStrings(...texts: readonly (ByteString | string)[]): Uint8Array {
  const size = texts.reduce((sum, text) => sum + 8 + Math.ceil(text.length / 8) * 8, 0);
  const bytes = Buffer.alloc(size);
  let offset = 0;
  for (const text of texts) {
    bytes.writeUInt32LE(text.length, offset);
    bytes.write(text, offset + 8, "latin1");
    offset += 8 + Math.ceil(text.length / 8) * 8;
  }
  return bytes;
}

/** What comes before the contents of a regular file. */
function narFileHeader(executable: boolean, size: number): Uint8Array {
  const head = narStrings("(", "type", "regular", ...(executable ? ["executable", ""] : []), "contents");
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(size));
  return Buffer.concat([head, length]);
}

/** Zero bytes after contents of that size. */
function narPadding(size: number): Uint8Array {
  return new Uint8Array((8 - (size % 8)) % 8);
}

type FileKind = "directory" | "regular" | "symlink" | "other";

function kindOf(entry: Pick<Stats, "isDirectory" | "isFile" | "isSymbolicLink">): FileKind {
  if (entry.isDirectory()) return "directory";
  if (entry.isFile()) return "regular";
  return entry.isSymbolicLink() ? "symlink" : "other";
}

/** What is still to be written, last first: the stack stands for recursion, as trees nest as deep as they like. */
type Pending = { readonly visit: Buffer; readonly kind: FileKind } | { readonly emit: Uint8Array };

/**
 * The NAR of a file, symlink or directory tree, entries in byte order. Pieces are a few hundred KiB at most; memory
 * grows with the number of names in the open directories only.
 *
 * @throws NixFormatError for other kinds of files, and for files that change while they are read; the system's own
 *   error when something cannot be read
 */
export async function* dumpPath(
  path: string,
  options?: { readonly signal?: AbortSignal },
): AsyncGenerator<Uint8Array> {
  checkMembers("dumpPath", options ?? {}, { signal: optional(aSignal) });
  checkArgument("dumpPath", "path", path, aText);
  yield* packed(dumpPieces(Buffer.from(path), options?.signal));
}

async function* dumpPieces(root: Buffer, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  yield narStrings("nix-archive-1");
  const stack: Pending[] = [{ visit: root, kind: kindOf(await lstat(root)) }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if ("emit" in next) {
      yield next.emit;
      continue;
    }
    signal?.throwIfAborted();
    const { visit: file, kind } = next;
    if (kind === "regular") yield* dumpFile(file, signal);
    else if (kind === "symlink") {
      const target = await readlink(file, { encoding: "buffer" });
      yield narStrings("(", "type", "symlink", "target", bytesToByteString(target), ")");
    } else if (kind === "directory") {
      yield narStrings("(", "type", "directory");
      stack.push({ emit: narStrings(")") });
      const entries = await readdir(file, { encoding: "buffer", withFileTypes: true });
      for (const entry of entries.sort((a, b) => Buffer.compare(b.name, a.name))) {
        stack.push(
          { emit: narStrings(")") },
          { visit: Buffer.concat([file, slash, entry.name]), kind: kindOf(entry) },
          { emit: narStrings("entry", "(", "name", bytesToByteString(entry.name), "node") },
        );
      }
    } else {
      throw new NixFormatError("nar", `${file.toString()} is neither a file, nor a folder, nor a symlink`);
    }
  }
}

const slash = Buffer.from("/");
/** Neither through a symlink that took the file's place meanwhile, nor waiting for the other end of a pipe. */
const openFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

async function* dumpFile(path: Buffer, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const file = await open(path, openFlags);
  try {
    const stats = await file.stat();
    if (!stats.isFile()) throw new NixFormatError("nar", `${path.toString()} changed while it was read`);
    yield narFileHeader((stats.mode & 0o100) !== 0, stats.size);
    let left = stats.size;
    for (;;) {
      // One byte more than there should be, so that the read that ends the file also proves that it did not grow.
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(blockSize, left + 1)));
      if (bytesRead > left) throw new NixFormatError("nar", `${path.toString()} grew while it was read`);
      if (bytesRead === 0 && left > 0) {
        throw new NixFormatError("nar", `${path.toString()} shrank while it was read`);
      }
      signal?.throwIfAborted();
      const whole = bytesRead < Math.min(blockSize, left + 1);
      left -= bytesRead;
      if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
      if (left === 0 && whole) break;
    }
    yield narPadding(stats.size);
  } finally {
    await file.close();
  }
  yield narStrings(")");
}

const packSize = 65_536;

/** Joins small pieces (a NAR has many of a few bytes) and passes large ones through. */
async function* packed(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let buffer = Buffer.allocUnsafe(packSize);
  let filled = 0;
  for await (const piece of pieces) {
    if (filled + piece.length > packSize) {
      if (filled > 0) {
        yield buffer.subarray(0, filled);
        buffer = Buffer.allocUnsafe(packSize);
        filled = 0;
      }
      if (piece.length > packSize / 2) {
        yield piece;
        continue;
      }
    }
    buffer.set(piece, filled);
    filled += piece.length;
  }
  if (filled > 0) yield buffer.subarray(0, filled);
}

/** A tree in memory, for small archives. */
export type NarTree =
  | { readonly kind: "regular"; readonly contents: Uint8Array; readonly executable?: boolean }
  | { readonly kind: "symlink"; readonly target: string }
  | { readonly kind: "directory"; readonly entries: ReadonlyMap<string, NarTree> };

/** The NAR of a tree in memory. Names are UTF-8 texts. */
export function* dumpTree(tree: NarTree): Generator<Uint8Array> {
  checkMembers("dumpTree", tree, { kind: oneOf(["regular", "symlink", "directory"]) });
  yield narStrings("nix-archive-1");
  const stack: (NarTree | Uint8Array)[] = [tree];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if (next instanceof Uint8Array) {
      yield next;
      continue;
    }
    switch (next.kind) {
      case "symlink":
        yield narStrings("(", "type", "symlink", "target", byteStringFromText(next.target), ")");
        break;
      case "regular":
        yield narFileHeader(next.executable === true, next.contents.length);
        yield next.contents;
        yield narPadding(next.contents.length);
        yield narStrings(")");
        break;
      case "directory": {
        yield narStrings("(", "type", "directory");
        stack.push(narStrings(")"));
        const entries = [...next.entries].map(([name, child]) => [byteStringFromText(name), child] as const);
        for (const [name, child] of entries.sort(([a], [b]) => (a < b ? 1 : -1))) {
          stack.push(narStrings(")"), child, narStrings("entry", "(", "name", name, "node"));
        }
        break;
      }
    }
  }
}

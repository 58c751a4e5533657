/** Writes NARs: of a tree in the file system, or piece by piece. */
import { type FileHandle, lstat, open, readdir, readlink } from "node:fs/promises";
import { type ByteString, byteStringFromText, bytesToByteString } from "./byte-string.js";
import { NixFormatError } from "./errors.js";

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
export function narFileHeader(executable: boolean, size: number): Uint8Array {
  const head = narStrings("(", "type", "regular", ...(executable ? ["executable", ""] : []), "contents");
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(size));
  return Buffer.concat([head, length]);
}

/** Zero bytes after contents of that size. */
export function narPadding(size: number): Uint8Array {
  return new Uint8Array((8 - (size % 8)) % 8);
}

function join(directory: Uint8Array, name: Uint8Array): Buffer {
  return Buffer.concat([directory, Buffer.from("/"), name]);
}

/**
 * The NAR of a file, symlink or directory tree, entries in byte order; memory does not depend on the size.
 *
 * @throws NixFormatError for other kinds of files, and for files that change their size while they are read
 */
export async function* dumpPath(path: string): AsyncGenerator<Uint8Array> {
  yield narStrings("nix-archive-1");
  const stack: ({ readonly visit: Uint8Array } | { readonly emit: Uint8Array })[] = [
    { visit: Buffer.from(path) },
  ];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if ("emit" in next) {
      yield next.emit;
      continue;
    }
    const file = Buffer.from(next.visit);
    const stats = await lstat(file);
    if (stats.isSymbolicLink()) {
      const target = await readlink(file, { encoding: "buffer" });
      yield narStrings("(", "type", "symlink", "target", bytesToByteString(target), ")");
    } else if (stats.isFile()) {
      yield* dumpFile(file, stats.size, (stats.mode & 0o100) !== 0);
    } else if (stats.isDirectory()) {
      yield narStrings("(", "type", "directory");
      stack.push({ emit: narStrings(")") });
      const names = await readdir(file, { encoding: "buffer" });
      for (const name of names.sort(Buffer.compare).reverse()) {
        stack.push({ emit: narStrings(")") });
        stack.push({ visit: join(file, name) });
        stack.push({ emit: narStrings("entry", "(", "name", bytesToByteString(name), "node") });
      }
    } else {
      throw new NixFormatError("nar", `${file.toString()} is neither a file, nor a folder, nor a symlink`);
    }
  }
}

async function* dumpFile(path: Buffer, size: number, executable: boolean): AsyncGenerator<Uint8Array> {
  yield narFileHeader(executable, size);
  const file: FileHandle = await open(path, "r");
  try {
    let left = size;
    while (left > 0) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(blockSize, left)), 0);
      if (bytesRead === 0) throw new NixFormatError("nar", `${path.toString()} shrank while it was read`);
      left -= bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
    const { bytesRead } = await file.read(Buffer.alloc(1), 0);
    if (bytesRead > 0) throw new NixFormatError("nar", `${path.toString()} grew while it was read`);
  } finally {
    await file.close();
  }
  yield narPadding(size);
  yield narStrings(")");
}

/** A tree in memory, for small archives. */
export type NarTree =
  | { readonly kind: "regular"; readonly contents: Uint8Array; readonly executable?: boolean }
  | { readonly kind: "symlink"; readonly target: string }
  | { readonly kind: "directory"; readonly entries: ReadonlyMap<string, NarTree> };

/** The NAR of a tree in memory. Names are UTF-8 texts. */
export function* dumpTree(tree: NarTree): Generator<Uint8Array> {
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

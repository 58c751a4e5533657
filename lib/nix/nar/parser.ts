/**
 * Reads NARs (`nix-archive-1`) as a stream of events. Strict: only what Nix itself would write is accepted.
 *
 * Source of the format: Nix manual, "Nix Archive (NAR) format".
 */

import { aStream, checkArgument } from "../../argument-checks.js";
import { NixFormatError } from "../errors.js";
import { type ByteString, bytesToByteString } from "../path/byte-string.js";
import { ByteReader } from "./byte-reader.js";

/** What a NAR holds, piece by piece, in its order. `path` is relative to the root, parts joined by `/`; the root itself is the empty path. */
export type NarEvent =
  | { readonly kind: "directory"; readonly path: ByteString }
  | { readonly kind: "endDirectory"; readonly path: ByteString }
  | { readonly kind: "symlink"; readonly path: ByteString; readonly target: ByteString }
  | {
      readonly kind: "regular";
      readonly path: ByteString;
      readonly executable: boolean;
      readonly size: number;
      /** Byte offset of the contents in the NAR. */
      readonly offset: number;
    }
  /** A piece of the regular file before. */
  | { readonly kind: "contents"; readonly bytes: Uint8Array };

const longestName = 4096;
const longestTarget = 65_536;
const longestToken = 16;
/** Longer than any path a file system takes, so that a hostile archive cannot eat the memory. */
const deepestDirectory = 4096;
/** Bytes of a path within the archive: eight times what Linux takes, and enough for the deepest directory. */
const longestPath = 32_768;
const contentPiece = 262_144;

interface OpenDirectory {
  readonly path: ByteString;
  lastName: ByteString | undefined;
}

class NarReader {
  readonly #reader: ByteReader;

  constructor(reader: ByteReader) {
    this.#reader = reader;
  }

  get position(): number {
    return this.#reader.position;
  }

  fault(what: string): NixFormatError {
    return new NixFormatError("nar", `NAR is malformed: ${what}`, { position: this.position });
  }

  async length(): Promise<number> {
    const bytes = await this.#reader.exactly(8);
    if (bytes === undefined) throw this.fault("unexpected end");
    const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
    const high = view.getUint32(4, true);
    if (high > 0x1f_ffff) throw this.fault("a length beyond 2^53");
    return high * 2 ** 32 + view.getUint32(0, true);
  }

  async padding(size: number): Promise<void> {
    const count = (8 - (size % 8)) % 8;
    const bytes = await this.#reader.exactly(count);
    if (bytes === undefined) throw this.fault("unexpected end");
    if (bytes.some((byte) => byte !== 0)) throw this.fault("padding is not zero");
  }

  async string(longest: number): Promise<ByteString> {
    const size = await this.length();
    if (size > longest) throw this.fault(`a text of ${size} bytes where at most ${longest} are allowed`);
    const bytes = await this.#reader.exactly(size);
    if (bytes === undefined) throw this.fault("unexpected end");
    const text = bytesToByteString(bytes);
    await this.padding(size);
    return text;
  }

  async expect(...tokens: readonly string[]): Promise<void> {
    for (const token of tokens) {
      const found = await this.string(longestToken);
      if (found !== token) throw this.fault(`expected '${token}', found '${found}'`);
    }
  }

  async *contents(size: number): AsyncGenerator<NarEvent> {
    let left = size;
    while (left > 0) {
      const bytes = await this.#reader.some(Math.min(left, contentPiece));
      if (bytes === undefined) throw this.fault("unexpected end of a file's contents");
      left -= bytes.length;
      yield { kind: "contents", bytes };
    }
    await this.padding(size);
  }
}

/**
 * The events of exactly one NAR, taken from `reader`; bytes behind it stay unread.
 *
 * @throws NixFormatError with the byte position
 */
async function* narEvents(source: ByteReader): AsyncGenerator<NarEvent> {
  const nar = new NarReader(source);
  await nar.expect("nix-archive-1");
  const open: OpenDirectory[] = [];
  let path = "" as ByteString;
  for (;;) {
    // One node: the root, or the node of an entry.
    await nar.expect("(", "type");
    const type = await nar.string(longestToken);
    if (type === "directory") {
      if (open.length >= deepestDirectory) throw nar.fault("directories are nested too deep");
      open.push({ path, lastName: undefined });
      yield { kind: "directory", path };
    } else if (type === "symlink") {
      await nar.expect("target");
      const target = await nar.string(longestTarget);
      if (target === "" || target.includes("\0")) throw nar.fault("a symlink to nowhere");
      await nar.expect(")");
      yield { kind: "symlink", path, target };
      if (open.length === 0) return;
      await nar.expect(")");
    } else if (type === "regular") {
      yield* regularFile(nar, path);
      if (open.length === 0) return;
      await nar.expect(")");
    } else {
      throw nar.fault(`unknown type '${type}'`);
    }
    // What follows in the innermost directory: another entry, or its end (and perhaps that of its parents).
    for (;;) {
      const directory = open.at(-1);
      if (directory === undefined) return;
      const token = await nar.string(longestToken);
      if (token === "entry") {
        path = await entryName(nar, directory);
        break;
      }
      if (token !== ")") throw nar.fault(`expected an entry or ')', found '${token}'`);
      open.pop();
      yield { kind: "endDirectory", path: directory.path };
      if (open.length > 0) await nar.expect(")");
    }
  }
}

async function* regularFile(nar: NarReader, path: ByteString): AsyncGenerator<NarEvent> {
  let token = await nar.string(longestToken);
  const executable = token === "executable";
  if (executable) {
    await nar.expect("");
    token = await nar.string(longestToken);
  }
  if (token !== "contents") throw nar.fault(`expected 'contents', found '${token}'`);
  const size = await nar.length();
  yield { kind: "regular", path, executable, size, offset: nar.position };
  yield* nar.contents(size);
  await nar.expect(")");
}

async function entryName(nar: NarReader, directory: OpenDirectory): Promise<ByteString> {
  await nar.expect("(", "name");
  const name = await nar.string(longestName);
  if (name === "" || name === "." || name === ".." || /[/\0]/.test(name)) {
    throw nar.fault(`'${name}' cannot be a file name`);
  }
  if (directory.lastName !== undefined && name <= directory.lastName) {
    throw nar.fault(`entry '${name}' is out of order`);
  }
  directory.lastName = name;
  if (directory.path.length + name.length >= longestPath) throw nar.fault("a path is too long");
  await nar.expect("node");
  return (directory.path === "" ? name : `${directory.path}/${name}`) as ByteString;
}

/** The events of a stream that is one NAR and nothing else. @throws NixFormatError */
export async function* parseNar(source: AsyncIterable<Uint8Array>): AsyncGenerator<NarEvent> {
  checkArgument("parseNar", "source", source, aStream);
  const reader = new ByteReader(source);
  yield* narEvents(reader);
  if (!(await reader.atEnd())) {
    throw new NixFormatError("nar", "NAR is malformed: bytes after the end", { position: reader.position });
  }
}

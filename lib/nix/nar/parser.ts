/**
 * Reads NARs (`nix-archive-1`) as a stream of events. Strict: only what Nix itself would write is accepted.
 *
 * Source of the format: Nix manual, "Nix Archive (NAR) format".
 */

import { aStream, checkArgument } from "../../argument-checks.js";
import { NixFormatError } from "../errors.js";
import { type ByteString, bytesToByteString } from "../path/byte-string.js";
import { ByteSource } from "./byte-source.js";
import { narStrings } from "./writer.js";

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

/** Texts that have to come one after the other, and how they are written. */
interface Tokens {
  readonly texts: readonly string[];
  readonly bytes: Uint8Array;
}

function tokens(...texts: readonly string[]): Tokens {
  return { texts, bytes: narStrings(...texts) };
}

const magic = tokens("nix-archive-1");
const nodeStart = tokens("(", "type");
const entryStart = tokens("(", "name");
const nodeKey = tokens("node");
const targetKey = tokens("target");
const emptyText = tokens("");
const end = tokens(")");

class NarReader {
  readonly #reader: ByteSource;

  constructor(reader: ByteSource) {
    this.#reader = reader;
  }

  get position(): number {
    return this.#reader.position;
  }

  fault(what: string): NixFormatError {
    return new NixFormatError("nar", `NAR is malformed: ${what}`, { position: this.position });
  }

  *length(): Generator<undefined, number> {
    const bytes = yield* this.#reader.exactly(8);
    if (bytes === undefined) throw this.fault("unexpected end");
    const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
    const high = view.getUint32(4, true);
    if (high > 0x1f_ffff) throw this.fault("a length beyond 2^53");
    return high * 2 ** 32 + view.getUint32(0, true);
  }

  *padding(size: number): Generator<undefined, void> {
    const count = (8 - (size % 8)) % 8;
    const bytes = yield* this.#reader.exactly(count);
    if (bytes === undefined) throw this.fault("unexpected end");
    if (bytes.some((byte) => byte !== 0)) throw this.fault("padding is not zero");
  }

  *string(longest: number): Generator<undefined, ByteString> {
    const size = yield* this.length();
    if (size > longest) throw this.fault(`a text of ${size} bytes where at most ${longest} are allowed`);
    const bytes = yield* this.#reader.exactly(size);
    if (bytes === undefined) throw this.fault("unexpected end");
    const text = bytesToByteString(bytes);
    yield* this.padding(size);
    return text;
  }

  *expect(tokens: Tokens): Generator<undefined, void> {
    if (this.#reader.skip(tokens.bytes)) return;
    // Not at hand in one piece, or something else.
    for (const token of tokens.texts) {
      const found = yield* this.string(longestToken);
      if (found !== token) throw this.fault(`expected '${token}', found '${found}'`);
    }
  }

  *contents(size: number): Generator<NarEvent | undefined, void> {
    let left = size;
    while (left > 0) {
      const bytes = yield* this.#reader.some(Math.min(left, contentPiece));
      if (bytes === undefined) throw this.fault("unexpected end of a file's contents");
      left -= bytes.length;
      yield { kind: "contents", bytes };
    }
    yield* this.padding(size);
  }
}

/**
 * The events of exactly one NAR; undefined whenever the next chunk is needed. Bytes behind it stay unread. A promise for each
 * token of many small files would cost more than everything else that is done with them.
 *
 * @throws NixFormatError with the byte position
 */
function* narEvents(source: ByteSource): Generator<NarEvent | undefined, void> {
  const nar = new NarReader(source);
  yield* nar.expect(magic);
  const open: OpenDirectory[] = [];
  let path = "" as ByteString;
  for (;;) {
    // One node: the root, or the node of an entry.
    yield* nar.expect(nodeStart);
    const type = yield* nar.string(longestToken);
    if (type === "directory") {
      if (open.length >= deepestDirectory) throw nar.fault("directories are nested too deep");
      open.push({ path, lastName: undefined });
      yield { kind: "directory", path };
    } else if (type === "symlink") {
      yield* nar.expect(targetKey);
      const target = yield* nar.string(longestTarget);
      if (target === "" || target.includes("\0")) throw nar.fault("a symlink to nowhere");
      yield* nar.expect(end);
      yield { kind: "symlink", path, target };
      if (open.length === 0) return;
      yield* nar.expect(end);
    } else if (type === "regular") {
      yield* regularFile(nar, path);
      if (open.length === 0) return;
      yield* nar.expect(end);
    } else {
      throw nar.fault(`unknown type '${type}'`);
    }
    // What follows in the innermost directory: another entry, or its end (and perhaps that of its parents).
    for (;;) {
      const directory = open.at(-1);
      if (directory === undefined) return;
      const token = yield* nar.string(longestToken);
      if (token === "entry") {
        path = yield* entryName(nar, directory);
        break;
      }
      if (token !== ")") throw nar.fault(`expected an entry or ')', found '${token}'`);
      open.pop();
      yield { kind: "endDirectory", path: directory.path };
      if (open.length > 0) yield* nar.expect(end);
    }
  }
}

function* regularFile(nar: NarReader, path: ByteString): Generator<NarEvent | undefined, void> {
  let token = yield* nar.string(longestToken);
  const executable = token === "executable";
  if (executable) {
    yield* nar.expect(emptyText);
    token = yield* nar.string(longestToken);
  }
  if (token !== "contents") throw nar.fault(`expected 'contents', found '${token}'`);
  const size = yield* nar.length();
  yield { kind: "regular", path, executable, size, offset: nar.position };
  yield* nar.contents(size);
  yield* nar.expect(end);
}

function* entryName(nar: NarReader, directory: OpenDirectory): Generator<undefined, ByteString> {
  yield* nar.expect(entryStart);
  const name = yield* nar.string(longestName);
  if (name === "" || name === "." || name === ".." || /[/\0]/.test(name)) {
    throw nar.fault(`'${name}' cannot be a file name`);
  }
  if (directory.lastName !== undefined && name <= directory.lastName) {
    throw nar.fault(`entry '${name}' is out of order`);
  }
  directory.lastName = name;
  if (directory.path.length + name.length >= longestPath) throw nar.fault("a path is too long");
  yield* nar.expect(nodeKey);
  return (directory.path === "" ? name : `${directory.path}/${name}`) as ByteString;
}

/** Parses one NAR that is pushed in chunks. What an event refers to in a chunk may be used until the next one is pushed. */
export class NarParser {
  readonly #source = new ByteSource();
  readonly #events = narEvents(this.#source);
  #done = false;

  /** The events that `chunk` completes; to be iterated to the end. @throws NixFormatError with the byte position */
  *push(chunk: Uint8Array): Generator<NarEvent, void> {
    this.#source.push(chunk);
    yield* this.#next();
    if (this.#done && this.#source.hasMore) this.#refuseMore();
  }

  /** @throws NixFormatError unless the NAR is whole */
  finish(): void {
    this.#source.end();
    for (const _ of this.#next());
  }

  *#next(): Generator<NarEvent, void> {
    while (!this.#done) {
      const next = this.#events.next();
      if (next.done === true) this.#done = true;
      else if (next.value === undefined) return;
      else yield next.value;
    }
  }

  #refuseMore(): never {
    throw new NixFormatError("nar", "NAR is malformed: bytes after the end", {
      position: this.#source.position,
    });
  }
}

/** The events of a stream that is one NAR and nothing else. @throws NixFormatError */
export async function* parseNar(source: AsyncIterable<Uint8Array>): AsyncGenerator<NarEvent> {
  checkArgument("parseNar", "source", source, aStream);
  const parser = new NarParser();
  for await (const chunk of source) yield* parser.push(chunk);
  parser.finish();
}

/** Compressed blocks of zstd (RFC 8878, sections 3.1.1.3 and 3.1.1.4): literals, and sequences that copy earlier bytes. */
import {
  BackwardBits,
  type BlockBytes,
  corrupt,
  decodeHuffman,
  type FseTable,
  fseTable,
  fseTableOf,
  type HuffmanTable,
  readFseTable,
  readHuffmanTable,
} from "./entropy.js";
import { largestBlock } from "./frame-header.js";
import type { History } from "./history.js";

interface SequenceTables {
  readonly literalLengths: FseTable;
  readonly offsets: FseTable;
  readonly matchLengths: FseTable;
}

/** What a block may take over from those before it in its frame. */
export class FrameState {
  huffman: HuffmanTable | undefined;
  tables: SequenceTables | undefined;
  readonly offsets = new Int32Array([1, 4, 8]);
}

/** A code stands for a range of numbers: its first, and the bits to read for the distance from it. */
interface Codes {
  readonly base: Int32Array;
  readonly bits: Uint8Array;
}

const many = (count: number, value: number): number[] => Array.from({ length: count }, () => value);

function codes(plain: number, first: number, bits: readonly number[]): Codes {
  const all = [...many(plain, 0), ...bits];
  const base = new Int32Array(all.length);
  let next = first;
  all.forEach((width, code) => {
    base[code] = next;
    next += 1 << width;
  });
  return { base, bits: Uint8Array.from(all) };
}

const literalCodes = codes(16, 0, [1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
const matchCodes = codes(32, 3, [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
/** Code 28 reaches beyond every window that is accepted here. */
const offsetCodeCount = 29;

interface TableKind {
  readonly usual: FseTable;
  readonly maxLog: number;
  readonly symbols: number;
}

/** Section 3.1.1.3.2.2, with the default distributions. */
const kinds: Readonly<Record<keyof SequenceTables, TableKind>> = {
  literalLengths: {
    usual: fseTable(6, [4, 3, ...many(11, 2), 1, 1, 1, ...many(9, 2), 3, 2, ...many(5, 1), ...many(4, -1)]),
    maxLog: 9,
    symbols: literalCodes.bits.length,
  },
  offsets: {
    usual: fseTable(5, [...many(6, 1), 2, 2, 2, ...many(15, 1), ...many(5, -1)]),
    maxLog: 8,
    symbols: 32,
  },
  matchLengths: {
    usual: fseTable(6, [1, 4, 3, ...many(6, 2), ...many(37, 1), ...many(7, -1)]),
    maxLog: 9,
    symbols: matchCodes.bits.length,
  },
};

interface Cursor {
  at: number;
  readonly end: number;
}

/** Literals of the block that is being decoded; one block at a time, so one is enough. */
const literals = new Uint8Array(largestBlock);

/**
 * Appends what the block in `[0, size)` stands for, at most `limit` bytes, to `history`. The work is bounded by the
 * size of the block and `limit`, whatever the data says.
 *
 * @throws CompressionError (`corrupt`)
 */
export function decodeBlock(
  block: BlockBytes,
  size: number,
  frame: FrameState,
  history: History,
  limit: number,
): void {
  const cursor: Cursor = { at: 0, end: size };
  const count = readLiterals(block, cursor, frame, limit);
  decodeSequences(block, cursor, frame, { count, history, limit });
}

function byteAt({ bytes }: BlockBytes, cursor: Cursor): number {
  if (cursor.at >= cursor.end) throw corrupt("a block is cut off");
  return bytes[cursor.at++] ?? 0;
}

/** Fills `literals` and returns how many there are. */
function readLiterals(block: BlockBytes, cursor: Cursor, frame: FrameState, limit: number): number {
  const head = byteAt(block, cursor);
  const kind = head & 3;
  const format = (head >> 2) & 3;
  if (kind >= 2) return readPackedLiterals(block, cursor, frame, { head, kind, format, limit });
  let count = format === 1 || format === 3 ? head >> 4 : head >> 3;
  if (format === 1 || format === 3) count |= byteAt(block, cursor) << 4;
  if (format === 3) count |= byteAt(block, cursor) << 12;
  if (count > limit) throw corrupt("a block has too many literals");
  if (kind === 1) literals.fill(byteAt(block, cursor), 0, count);
  else {
    if (cursor.at + count > cursor.end) throw corrupt("a block is cut off");
    literals.set(block.bytes.subarray(cursor.at, cursor.at + count));
    cursor.at += count;
  }
  return count;
}

function readPackedLiterals(
  block: BlockBytes,
  cursor: Cursor,
  frame: FrameState,
  header: { readonly head: number; readonly kind: number; readonly format: number; readonly limit: number },
): number {
  const { head, kind, format, limit } = header;
  const width = format < 2 ? 10 : format === 2 ? 14 : 18;
  let sizes = head >> 4;
  for (let bits = 4; bits < 2 * width; bits += 8) sizes += byteAt(block, cursor) * 2 ** bits;
  const count = sizes % 2 ** width;
  const end = cursor.at + Math.floor(sizes / 2 ** width);
  if (count > limit) throw corrupt("a block has too many literals");
  if (end > cursor.end) throw corrupt("a block is cut off");
  if (kind === 2) {
    const { table, next } = readHuffmanTable(block, { start: cursor.at, end });
    frame.huffman = table;
    cursor.at = next;
  }
  const { huffman } = frame;
  if (huffman === undefined) throw corrupt("a block has no Huffman table to take over");
  let start = cursor.at;
  cursor.at = end;
  if (format === 0) {
    decodeHuffman(block, { start, end }, huffman, { bytes: literals, from: 0, to: count });
    return count;
  }
  const share = (count + 3) >> 2;
  if (start + 6 > end || share * 3 > count) throw corrupt("a block is cut off");
  const lengths = [0, 2, 4].map((at) => block.view.getUint16(start + at, true));
  start += 6;
  for (let i = 0; i < 4; i++) {
    const length = lengths[i] ?? end - start;
    if (start + length > end) throw corrupt("a block is cut off");
    const to = i === 3 ? count : (i + 1) * share;
    decodeHuffman(block, { start, end: start + length }, huffman, { bytes: literals, from: i * share, to });
    start += length;
  }
  return count;
}

function readTable(
  block: BlockBytes,
  cursor: Cursor,
  kind: TableKind,
  mode: number,
  before: FseTable | undefined,
): FseTable {
  if (mode === 0) return kind.usual;
  if (mode === 1) {
    const symbol = byteAt(block, cursor);
    if (symbol >= kind.symbols) throw corrupt("a code is not known");
    return fseTableOf(symbol);
  }
  if (mode === 2) {
    const range = { start: cursor.at, end: cursor.end };
    const { table, next } = readFseTable(block, range, { log: kind.maxLog, symbols: kind.symbols });
    cursor.at = next;
    return table;
  }
  if (before === undefined) throw corrupt("a block has no table to take over");
  return before;
}

function sequenceCount(block: BlockBytes, cursor: Cursor): number {
  const first = byteAt(block, cursor);
  if (first < 128) return first;
  if (first < 255) return ((first - 128) << 8) | byteAt(block, cursor);
  const low = byteAt(block, cursor);
  return (low | (byteAt(block, cursor) << 8)) + 0x7f00;
}

function decodeSequences(
  block: BlockBytes,
  cursor: Cursor,
  frame: FrameState,
  task: { readonly count: number; readonly history: History; readonly limit: number },
): void {
  const { count, history } = task;
  const sequences = sequenceCount(block, cursor);
  if (sequences === 0) {
    if (cursor.at !== cursor.end) throw corrupt("a block is too long");
    history.append(literals, 0, count);
    return;
  }
  const modes = byteAt(block, cursor);
  if ((modes & 3) !== 0) throw corrupt("reserved bits are set");
  const before = frame.tables;
  const ll = readTable(block, cursor, kinds.literalLengths, modes >> 6, before?.literalLengths);
  const of = readTable(block, cursor, kinds.offsets, (modes >> 4) & 3, before?.offsets);
  const ml = readTable(block, cursor, kinds.matchLengths, (modes >> 2) & 3, before?.matchLengths);
  frame.tables = { literalLengths: ll, offsets: of, matchLengths: ml };
  const bits = new BackwardBits(block, cursor.at, cursor.end);
  let llState = bits.read(ll.log);
  let ofState = bits.read(of.log);
  let mlState = bits.read(ml.log);
  let used = 0;
  let room = task.limit;
  for (let left = sequences; left > 0; left--) {
    const offsetCode = of.symbols[ofState] ?? 0;
    if (offsetCode >= offsetCodeCount) throw corrupt("a match is too far back");
    const offsetValue =
      offsetCode > 16
        ? 2 ** offsetCode + bits.read(offsetCode - 16) * 65_536 + bits.read(16)
        : (1 << offsetCode) + bits.read(offsetCode);
    const mlCode = ml.symbols[mlState] ?? 0;
    const match = (matchCodes.base[mlCode] ?? 0) + bits.read(matchCodes.bits[mlCode] ?? 0);
    const llCode = ll.symbols[llState] ?? 0;
    const literal = (literalCodes.base[llCode] ?? 0) + bits.read(literalCodes.bits[llCode] ?? 0);
    // Otherwise a few bytes could ask for the work of gigabytes.
    if (bits.left < 0) throw corrupt("the sequences are cut off");
    room -= literal + match;
    if (room < 0 || used + literal > count) throw corrupt("a block is larger than its limit");
    history.append(literals, used, used + literal);
    used += literal;
    history.copy(nextOffset(frame.offsets, offsetValue, literal === 0), match);
    if (left === 1) break;
    llState = (ll.base[llState] ?? 0) + bits.read(ll.bits[llState] ?? 0);
    mlState = (ml.base[mlState] ?? 0) + bits.read(ml.bits[mlState] ?? 0);
    ofState = (of.base[ofState] ?? 0) + bits.read(of.bits[ofState] ?? 0);
  }
  if (bits.left !== 0) throw corrupt("the sequences are of another length");
  if (count - used > room) throw corrupt("a block is larger than its limit");
  history.append(literals, used, count);
}

/** Small values name one of the last three offsets (section 3.1.1.5). */
function nextOffset(last: Int32Array, value: number, noLiterals: boolean): number {
  const [first = 0, second = 0, third = 0] = last;
  let offset = value - 3;
  if (value <= 3) {
    const which = noLiterals ? value : value - 1;
    if (which === 0) return first;
    offset = which === 1 ? second : which === 2 ? third : first - 1;
    if (which > 1) last[2] = second;
  } else last[2] = second;
  last[1] = first;
  last[0] = offset;
  return offset;
}

/** The two entropy codes of zstd (RFC 8878, section 4): tables of FSE and Huffman codes, and the bits they are read from. */
import { CompressionError } from "../errors.js";

/** The data is not what RFC 8878 allows. */
export function corrupt(what: string): CompressionError {
  return new CompressionError("corrupt", `zstd: ${what}`);
}

/** Index of the highest bit that is set. */
function highestBit(value: number): number {
  return 31 - Math.clz32(value);
}

/** One block, with room after its end so that four bytes can be read at each of its positions. */
export interface BlockBytes {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Reads bits from the end of `[start, end)` to its start. Bits before the start are zero; `left` is negative then. */
export class BackwardBits {
  readonly #view: DataView;
  readonly #start: number;
  /** Unread bits. */
  left: number;

  constructor(block: BlockBytes, start: number, end: number) {
    const last = end > start ? (block.bytes[end - 1] ?? 0) : 0;
    if (last === 0) throw corrupt("a bit stream has no end mark");
    this.#view = block.view;
    this.#start = start;
    this.left = (end - start - 1) * 8 + highestBit(last);
  }

  /** The next `count` (at most 24) bits. */
  read(count: number): number {
    const left = this.left - count;
    this.left = left;
    const mask = (1 << count) - 1;
    if (left >= 0) return (this.#view.getUint32(this.#start + (left >> 3), true) >>> (left & 7)) & mask;
    return left <= -count ? 0 : (this.#view.getUint32(this.#start, true) << -left) & mask;
  }
}

/** A table of finite state entropy: what each state stands for, and how the next state is found. */
export interface FseTable {
  /** Logarithm of the number of states. */
  readonly log: number;
  readonly symbols: Uint8Array;
  /** Bits to read for the next state. */
  readonly bits: Uint8Array;
  /** What is added to those bits. */
  readonly base: Uint16Array;
}

/** A table with one state, for a symbol that is always the same. */
export function fseTableOf(symbol: number): FseTable {
  return { log: 0, symbols: Uint8Array.of(symbol), bits: new Uint8Array(1), base: new Uint16Array(1) };
}

/** A table from the probabilities of its symbols; -1 stands for "less than one". */
export function fseTable(log: number, probabilities: readonly number[]): FseTable {
  const size = 1 << log;
  const symbols = new Uint8Array(size);
  const next = new Uint16Array(probabilities.length);
  let high = size;
  probabilities.forEach((probability, symbol) => {
    next[symbol] = Math.abs(probability);
    if (probability !== -1) return;
    high -= 1;
    symbols[high] = symbol;
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let position = 0;
  probabilities.forEach((probability, symbol) => {
    for (let i = 0; i < probability; i++) {
      symbols[position] = symbol;
      do position = (position + step) & (size - 1);
      while (position >= high);
    }
  });
  if (position !== 0) throw corrupt("a table of probabilities is not complete");
  const bits = new Uint8Array(size);
  const base = new Uint16Array(size);
  for (let state = 0; state < size; state++) {
    const symbol = symbols[state] ?? 0;
    const count = next[symbol] ?? 0;
    next[symbol] = count + 1;
    const width = log - highestBit(count);
    bits[state] = width;
    base[state] = (count << width) - size;
  }
  return { log, symbols, bits, base };
}

/** Reads a description of probabilities that begins at `start`; `next` is the byte after it. */
export function readFseTable(
  block: BlockBytes,
  range: { readonly start: number; readonly end: number },
  limits: { readonly log: number; readonly symbols: number },
): { readonly table: FseTable; readonly next: number } {
  let bit = range.start * 8;
  const peek = (count: number): number => {
    if (bit + count > range.end * 8 + 16) throw corrupt("a table of probabilities is cut off");
    return (block.view.getUint32(bit >> 3, true) >>> (bit & 7)) & ((1 << count) - 1);
  };
  const log = peek(4) + 5;
  bit += 4;
  if (log > limits.log) throw corrupt("a table of probabilities is too large");
  const probabilities: number[] = [];
  let remaining = 1 << log;
  while (remaining > 0) {
    if (probabilities.length >= limits.symbols) throw corrupt("a table has too many symbols");
    const width = highestBit(remaining + 1) + 1;
    let value = peek(width);
    const low = value & ((1 << (width - 1)) - 1);
    const shorter = (1 << width) - 2 - remaining;
    if (low < shorter) {
      bit += width - 1;
      value = low;
    } else {
      bit += width;
      if (value >= 1 << (width - 1)) value -= shorter;
    }
    const probability = value - 1;
    remaining -= Math.abs(probability);
    probabilities.push(probability);
    if (probability !== 0) continue;
    for (let repeat = 3; repeat === 3; ) {
      repeat = peek(2);
      bit += 2;
      for (let i = 0; i < repeat; i++) probabilities.push(0);
      if (probabilities.length > limits.symbols) throw corrupt("a table has too many symbols");
    }
  }
  const next = (bit + 7) >> 3;
  if (remaining < 0 || next > range.end) throw corrupt("a table of probabilities is wrong");
  return { table: fseTable(log, probabilities), next };
}

/** A Huffman code: what the next `log` bits of a stream stand for, and how many of them are used. */
export interface HuffmanTable {
  readonly log: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
}

const maxHuffmanLog = 11;

/** Reads the description of a Huffman code that begins at `start`; `next` is the byte after it. */
export function readHuffmanTable(
  block: BlockBytes,
  range: { readonly start: number; readonly end: number },
): { readonly table: HuffmanTable; readonly next: number } {
  const { start, end } = range;
  if (start >= end) throw corrupt("a Huffman table is missing");
  const header = block.bytes[start] ?? 0;
  const first = start + 1;
  const packed = header < 128;
  const next = first + (packed ? header : (header - 126) >> 1);
  if (next > end) throw corrupt("a Huffman table is cut off");
  const weights = packed
    ? packedWeights(block, { start: first, end: next })
    : Array.from({ length: header - 127 }, (_, i) => {
        const byte = block.bytes[first + (i >> 1)] ?? 0;
        return i % 2 === 0 ? byte >> 4 : byte & 15;
      });
  return { table: huffmanTable(weights), next };
}

/** Weights as two interleaved FSE streams. */
function packedWeights(block: BlockBytes, range: { readonly start: number; readonly end: number }): number[] {
  const { table, next } = readFseTable(block, range, { log: 6, symbols: 256 });
  const bits = new BackwardBits(block, next, range.end);
  const weights: number[] = [];
  let state = bits.read(table.log);
  let other = bits.read(table.log);
  while (weights.length < 255) {
    weights.push(table.symbols[state] ?? 0);
    const following = (table.base[state] ?? 0) + bits.read(table.bits[state] ?? 0);
    if (bits.left < 0) {
      weights.push(table.symbols[other] ?? 0);
      return weights;
    }
    state = other;
    other = following;
  }
  throw corrupt("a Huffman table has too many weights");
}

function huffmanTable(weights: readonly number[]): HuffmanTable {
  let sum = 0;
  for (const weight of weights) {
    if (weight > maxHuffmanLog) throw corrupt("a Huffman code is too long");
    if (weight > 0) sum += 1 << (weight - 1);
  }
  if (sum === 0 || weights.length > 255) throw corrupt("a Huffman table is wrong");
  const log = highestBit(sum) + 1;
  const rest = (1 << log) - sum;
  if (log > maxHuffmanLog || (rest & (rest - 1)) !== 0) throw corrupt("a Huffman table is wrong");
  // The last weight is not written: it makes the sum a power of two.
  const lengths = [...weights, highestBit(rest) + 1].map((weight) => (weight > 0 ? log + 1 - weight : 0));
  const symbols = new Uint8Array(1 << log);
  const bits = new Uint8Array(1 << log);
  const offsets = new Int32Array(log + 2);
  for (let length = log; length > 0; length--) {
    const count = lengths.filter((each) => each === length).length;
    offsets[length - 1] = (offsets[length] ?? 0) + count * (1 << (log - length));
  }
  lengths.forEach((length, symbol) => {
    if (length === 0) return;
    const from = offsets[length] ?? 0;
    const to = from + (1 << (log - length));
    symbols.fill(symbol, from, to);
    bits.fill(length, from, to);
    offsets[length] = to;
  });
  return { log, symbols, bits };
}

/** Decodes one Huffman stream, which must fill `[from, to)` of `out` exactly. */
export function decodeHuffman(
  block: BlockBytes,
  stream: { readonly start: number; readonly end: number },
  table: HuffmanTable,
  out: { readonly bytes: Uint8Array; readonly from: number; readonly to: number },
): void {
  const { start } = stream;
  const { view } = block;
  const { log, symbols, bits } = table;
  const mask = (1 << log) - 1;
  let { left } = new BackwardBits(block, start, stream.end);
  for (let i = out.from; i < out.to; i++) {
    const from = left - log;
    const index =
      from >= 0
        ? (view.getUint32(start + (from >> 3), true) >>> (from & 7)) & mask
        : (view.getUint32(start, true) << -from) & mask;
    out.bytes[i] = symbols[index] ?? 0;
    left -= bits[index] ?? 0;
    if (left < 0) throw corrupt("a Huffman stream is too short");
  }
  if (left !== 0) throw corrupt("a Huffman stream is too long");
}

/**
 * Sets of jobsets as bits: bit `index % 32` of word `index / 32`. Nothing changes them once they are made. Words that are
 * missing at the end are 0, so masks made before a jobset was added stay right.
 */

/** See above. While 32 jobsets are enough it is the one word, which needs no object. */
export type JobsetMask = number | readonly number[];

/** The mask without jobsets. */
export const noJobsets: JobsetMask = 0;

function wordAt(mask: JobsetMask, word: number): number {
  if (typeof mask === "number") return word === 0 ? mask : 0;
  return mask[word] ?? 0;
}

function lengthOf(mask: JobsetMask): number {
  return typeof mask === "number" ? 1 : mask.length;
}

/** The mask of these indices. */
export function maskOf(indices: Iterable<number>): JobsetMask {
  const words = [0];
  for (const index of indices) {
    const word = index >>> 5;
    while (words.length <= word) words.push(0);
    words[word] = (words[word] ?? 0) | (1 << (index & 31));
  }
  const [first = 0] = words;
  return words.length === 1 ? first : words.slice();
}

/** The jobsets of both. */
export function union(mask: JobsetMask, other: JobsetMask): JobsetMask {
  if (typeof mask === "number" && typeof other === "number") return mask | other;
  if (mask === other || includes(mask, other)) return mask;
  if (includes(other, mask)) return other;
  const [long, short] = lengthOf(mask) < lengthOf(other) ? [other, mask] : [mask, other];
  // A copy has no spare room.
  const words = typeof long === "number" ? [long] : long.slice();
  for (let word = 0; word < lengthOf(short); word++) words[word] = wordAt(long, word) | wordAt(short, word);
  return words;
}

/** The jobsets of three masks; `known` itself when these are its jobsets, so that nothing is made. */
export function unionOrKnown(known: JobsetMask, a: JobsetMask, b: JobsetMask, c: JobsetMask): JobsetMask {
  if (typeof a === "number" && typeof b === "number" && typeof c === "number") {
    const word = a | b | c;
    return typeof known === "number" || !equalMasks(known, word) ? word : known;
  }
  const length = Math.max(lengthOf(known), lengthOf(a), lengthOf(b), lengthOf(c));
  for (let word = 0; word < length; word++) {
    if ((wordAt(a, word) | wordAt(b, word) | wordAt(c, word)) === wordAt(known, word)) continue;
    return union(union(a, b), c);
  }
  return known;
}

/** All jobsets of `other` are in `mask`. */
function includes(mask: JobsetMask, other: JobsetMask): boolean {
  if (typeof mask === "object" && typeof other === "object") {
    for (let word = 0; word < other.length; word++) {
      if (((other[word] ?? 0) & ~(mask[word] ?? 0)) !== 0) return false;
    }
    return true;
  }
  for (let word = 0; word < lengthOf(other); word++) {
    if ((wordAt(other, word) & ~wordAt(mask, word)) !== 0) return false;
  }
  return true;
}

/** Some jobset is in both. */
export function intersects(mask: JobsetMask, other: JobsetMask): boolean {
  if (typeof mask === "number" && typeof other === "number") return (mask & other) !== 0;
  if (typeof mask === "object" && typeof other === "object") {
    const both = Math.min(mask.length, other.length);
    for (let word = 0; word < both; word++) if (((mask[word] ?? 0) & (other[word] ?? 0)) !== 0) return true;
    return false;
  }
  const words = Math.min(lengthOf(mask), lengthOf(other));
  for (let word = 0; word < words; word++) if ((wordAt(mask, word) & wordAt(other, word)) !== 0) return true;
  return false;
}

/** Both have the same jobsets. */
export function equalMasks(mask: JobsetMask, other: JobsetMask): boolean {
  return mask === other || (includes(mask, other) && includes(other, mask));
}

/** Calls `visit` with the index of each jobset, ascending. */
export function eachIndex(mask: JobsetMask, visit: (index: number) => void): void {
  for (let word = 0; word < lengthOf(mask); word++) {
    let bits = wordAt(mask, word);
    while (bits !== 0) {
      const lowest = bits & -bits;
      visit((word << 5) + 31 - Math.clz32(lowest));
      bits ^= lowest;
    }
  }
}

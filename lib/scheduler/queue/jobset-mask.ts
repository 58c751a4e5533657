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
  let mask = noJobsets;
  for (const index of indices) mask = union(mask, single(index));
  return mask;
}

/** The mask of one jobset. */
export function single(index: number): JobsetMask {
  const bit = 1 << (index & 31);
  if (index < 32) return bit;
  const words = Array<number>(index >>> 5).fill(0);
  words.push(bit);
  return words;
}

/** The jobsets of both. */
export function union(mask: JobsetMask, other: JobsetMask): JobsetMask {
  if (typeof mask === "number" && typeof other === "number") return mask | other;
  if (mask === other || includes(mask, other)) return mask;
  if (includes(other, mask)) return other;
  const words: number[] = [];
  for (let word = 0; word < Math.max(lengthOf(mask), lengthOf(other)); word++) {
    words.push(wordAt(mask, word) | wordAt(other, word));
  }
  return words;
}

/** All jobsets of `other` are in `mask`. */
function includes(mask: JobsetMask, other: JobsetMask): boolean {
  for (let word = 0; word < lengthOf(other); word++) {
    if ((wordAt(other, word) & ~wordAt(mask, word)) !== 0) return false;
  }
  return true;
}

/** Some jobset is in both. */
export function intersects(mask: JobsetMask, other: JobsetMask): boolean {
  if (typeof mask === "number" && typeof other === "number") return (mask & other) !== 0;
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

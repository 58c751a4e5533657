/**
 * Sets of jobsets as bits: bit `index % 32` of word `index / 32`. Words that are missing at the end are 0, so masks made
 * before a jobset was added stay right.
 */

/** See above. While 32 jobsets are enough it is the one word, which needs no object. */
export type JobsetMask = number | readonly number[];

/** A mask that may be changed in place, because nothing else refers to its words. */
export type OwnMask = number | number[];

/** The mask without jobsets. */
export const noJobsets: JobsetMask = 0;

/** The word of a jobset's bit. */
export function wordOf(index: number): number {
  return index >>> 5;
}

/** A jobset's bit in its word. */
export function bitOf(index: number): number {
  return 1 << (index & 31);
}

/** The bits of one word. */
export function wordAt(mask: JobsetMask, word: number): number {
  if (typeof mask === "number") return word === 0 ? mask : 0;
  return mask[word] ?? 0;
}

/** Words that a mask has. */
export function lengthOf(mask: JobsetMask): number {
  return typeof mask === "number" ? 1 : mask.length;
}

/** The mask of these indices. */
export function maskOf(indices: Iterable<number>): JobsetMask {
  const words = [0];
  for (const index of indices) {
    const word = wordOf(index);
    while (words.length <= word) words.push(0);
    words[word] = (words[word] ?? 0) | bitOf(index);
  }
  const [first = 0] = words;
  return words.length === 1 ? first : words.slice();
}

/** A copy that may be changed. */
export function ownMask(mask: JobsetMask): OwnMask {
  return typeof mask === "number" ? mask : mask.slice();
}

/** Adds jobsets to a mask; use the result instead of it. */
export function added(mask: OwnMask, jobsets: JobsetMask): OwnMask {
  if (typeof mask === "number" && typeof jobsets === "number") return mask | jobsets;
  const words = typeof mask === "number" ? [mask] : mask;
  const length = lengthOf(jobsets);
  while (words.length < length) words.push(0);
  for (let word = 0; word < length; word++) {
    const bits = wordAt(jobsets, word);
    if (bits !== 0) words[word] = wordAt(words, word) | bits;
  }
  return words;
}

/** The jobsets of three masks, in the room of a fourth; use the result instead of that. */
export function unionInto(room: OwnMask, a: JobsetMask, b: JobsetMask, c: JobsetMask): OwnMask {
  if (typeof a === "number" && typeof b === "number" && typeof c === "number") return a | b | c;
  const words = typeof room === "number" ? [] : room;
  const length = Math.max(lengthOf(a), lengthOf(b), lengthOf(c));
  words.length = Math.min(words.length, length);
  for (let word = 0; word < length; word++) words[word] = wordAt(a, word) | wordAt(b, word) | wordAt(c, word);
  return words;
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
  if (mask === other) return true;
  const length = Math.max(lengthOf(mask), lengthOf(other));
  for (let word = 0; word < length; word++) if (wordAt(mask, word) !== wordAt(other, word)) return false;
  return true;
}

/**
 * Sets of jobsets as bits: bit `index % 32` of word `index / 32`. Words that are missing at the end are 0, so masks made
 * before a jobset was added stay right.
 */

/** See above. Plain numbers, because nearly always one word is enough. */
export type JobsetMask = number[];

/** The mask of these indices. */
export function maskOf(indices: Iterable<number>): JobsetMask {
  const mask: JobsetMask = [];
  for (const index of indices) setBit(mask, index);
  return mask;
}

/** Adds one jobset. */
export function setBit(mask: JobsetMask, index: number): void {
  const word = index >>> 5;
  while (mask.length <= word) mask.push(0);
  mask[word] = (mask[word] ?? 0) | (1 << (index & 31));
}

/** Adds all jobsets of `other`; true when some of them were new. */
export function addMask(mask: JobsetMask, other: JobsetMask): boolean {
  let grew = false;
  for (let word = 0; word < other.length; word++) {
    const before = mask[word] ?? 0;
    const after = before | (other[word] ?? 0);
    if (word >= mask.length) mask.push(after);
    else if (after !== before) mask[word] = after;
    if (after !== before) grew = true;
  }
  return grew;
}

/** Some jobset is in both. */
export function intersects(mask: JobsetMask, other: JobsetMask): boolean {
  const words = Math.min(mask.length, other.length);
  for (let word = 0; word < words; word++) if (((mask[word] ?? 0) & (other[word] ?? 0)) !== 0) return true;
  return false;
}

/** Both have the same jobsets. */
export function equalMasks(mask: JobsetMask, other: JobsetMask): boolean {
  const words = Math.max(mask.length, other.length);
  for (let word = 0; word < words; word++) if ((mask[word] ?? 0) !== (other[word] ?? 0)) return false;
  return true;
}

/** Calls `visit` with the index of each jobset, ascending. */
export function eachIndex(mask: JobsetMask, visit: (index: number) => void): void {
  for (let word = 0; word < mask.length; word++) {
    let bits = mask[word] ?? 0;
    while (bits !== 0) {
      const lowest = bits & -bits;
      visit((word << 5) + 31 - Math.clz32(lowest));
      bits ^= lowest;
    }
  }
}

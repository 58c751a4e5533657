/** Long lists, made and sorted in slices, so that other work gets its turn between them. */
import { turn } from "../../async/index.js";

/** Items of one slice; each costs a few microseconds. */
export const sliceLength = 1_000;

/** Calls `visit` for each item. The next slice is read after other work had its turn. */
export async function forEachSliced<T>(items: Iterable<T>, visit: (item: T) => void): Promise<void> {
  let visited = 0;
  for (const item of items) {
    visit(item);
    if (++visited % sliceLength === 0) await turn();
  }
}

/** The items in order, as a new array. Stable. What is in order already costs one comparison for each item. */
export async function sortSliced<T>(items: readonly T[], compare: (a: T, b: T) => number): Promise<T[]> {
  let runs: T[][] = [];
  for (let start = 0; start < items.length; start += sliceLength) {
    if (start > 0) await turn();
    const run = items.slice(start, start + sliceLength);
    runs.push(isSorted(run, compare) ? run : run.sort(compare));
  }
  while (runs.length > 1) {
    const merged: T[][] = [];
    for (let index = 0; index < runs.length; index += 2) {
      merged.push(await merge(runs[index] ?? [], runs[index + 1] ?? [], compare));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

function isSorted<T>(items: readonly T[], compare: (a: T, b: T) => number): boolean {
  return items.every((item, index) => {
    const before = index === 0 ? undefined : items[index - 1];
    return before === undefined || compare(before, item) <= 0;
  });
}

/** Takes from `a` where both are equal. */
async function merge<T>(a: readonly T[], b: readonly T[], compare: (a: T, b: T) => number): Promise<T[]> {
  const [last, first] = [a.at(-1), b[0]];
  if (last === undefined || first === undefined || compare(last, first) <= 0) return a.concat(b);
  const merged: T[] = [];
  let [left, right] = [0, 0];
  for (;;) {
    const one = a[left];
    const other = b[right];
    if (one === undefined || other === undefined) break;
    const takesLeft = compare(one, other) <= 0;
    merged.push(takesLeft ? one : other);
    if (takesLeft) left++;
    else right++;
    if (merged.length % sliceLength === 0) await turn();
  }
  return merged.concat(a.slice(left), b.slice(right));
}

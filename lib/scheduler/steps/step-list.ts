/**
 * Lists of steps and builds that hang on a step. A queue of a million steps has millions of them, most with one or two
 * items, so they are arrays without spare room (an array that is pushed to gets room for 16 more), and all empty ones are
 * the same.
 */

/** The list without items. Made by taking an object out, so that the engine handles it as it does lists of objects. */
export const noItems: readonly never[] = [{}].filter(() => false) as never[];

/** From this length on, spare room is small in proportion. */
const long = 16;

/** The list with one more item; use the result instead of `list`. */
export function withItem<T>(list: readonly T[], item: T): readonly T[] {
  if (list.length === 0) return [item];
  if (list.length < long) return list.concat([item]);
  (list as T[]).push(item);
  return list;
}

/** The list without one item, whose place the last one takes; use the result instead of `list`. */
export function withoutItem<T>(list: readonly T[], item: T): readonly T[] {
  const index = list.indexOf(item);
  if (index < 0) return list;
  if (list.length === 1) return noItems;
  const items = list as T[];
  const last = items.pop();
  if (last !== undefined && index < items.length) items[index] = last;
  return items;
}

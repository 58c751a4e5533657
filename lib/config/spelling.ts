/** The nearest of some words, for "did you mean". */

/** Edits (insert, delete, replace, swap of neighbours) that make one text the other, case apart. */
function editDistance(left: string, right: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let i = 1; i <= left.length; i++) {
    const row = [i];
    for (let j = 1; j <= right.length; j++) {
      const replace = (last[j - 1] ?? 0) + Number(left[i - 1] !== right[j - 1]);
      let cost = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, replace);
      if (i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1]) {
        cost = Math.min(cost, (beforeLast[j - 2] ?? 0) + 1);
      }
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return last[right.length] ?? 0;
}

/** Names that no edit distance finds, such as the predecessor's keys. */
const formerNames: Readonly<Record<string, string>> = { tokenlistpath: "tokenPaths" };

/** Undefined when nothing is near. Other ways of joining words (`max_retries`, `max-retries`) are near. */
export function nearestWord(word: string, candidates: readonly string[]): string | undefined {
  const plain = (text: string): string => text.toLowerCase().replace(/[-_ ]/g, "");
  const wanted = plain(word.slice(0, 100));
  const former = formerNames[wanted];
  if (former !== undefined && candidates.includes(former)) return former;
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(wanted.length / 4)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(wanted, plain(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

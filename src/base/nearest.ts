/** "Did you mean …?": finds the known word that is nearest to a mistyped one. */

/**
 * The known word with the fewest edits from `word`; undefined if even that one is too different. Case, `_` and `-` do
 * not count, so `data_dir` equals `dataDir`.
 */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const plain = simplify(word);
  let best: string | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const other = simplify(candidate);
    const most = Math.ceil(Math.max(plain.length, other.length) * 0.4);
    // The difference in length is a lower bound for the edits, so that very long words are not compared letter by
    // letter.
    if (Math.abs(plain.length - other.length) > most) continue;
    const edits = distance(plain, other);
    if (edits < fewest && edits <= most) {
      fewest = edits;
      best = candidate;
    }
  }
  return best;
}

/**
 * True if two texts, from `start` on, differ only in one place of two letters at most: one letter more, less or
 * another,
 * or two that were swapped. Cheap enough to be asked of ten thousand.
 */
export function differInOnePlace(a: string, b: string, start = 0): boolean {
  if (Math.abs(a.length - b.length) > 2) return false;
  const shorter = Math.min(a.length, b.length);
  let head = start;
  while (head < shorter && a.charCodeAt(head) === b.charCodeAt(head)) head += 1;
  let tail = 0;
  const [endOfA, endOfB] = [a.length - 1, b.length - 1];
  while (tail < shorter - head && a.charCodeAt(endOfA - tail) === b.charCodeAt(endOfB - tail)) tail += 1;
  const differing = Math.max(a.length, b.length) - head - tail;
  const common = head - start + tail;
  return (differing <= 1 || isSwap(a, b, head, differing)) && common >= 2;
}

/** True if the two letters at this place are swapped. */
function isSwap(a: string, b: string, at: number, differing: number): boolean {
  return differing === 2 && a.length === b.length && a[at] === b[at + 1] && a[at + 1] === b[at];
}

/**
 * True if one name is likely the other one mistyped: they differ in one place, and not only in a number. `web`, `web-1`
 * and
 * `web-2` are three names.
 */
export function looksMistyped(a: string, b: string): boolean {
  const [first, second] = [a, b].map((name) => name.replaceAll(/[-_.]?\d+/g, ''));
  return first !== second && differInOnePlace(a, b);
}

function simplify(word: string): string {
  return word.toLowerCase().replaceAll(/[_-]/g, '');
}

/** The number of inserted, deleted and replaced letters (Levenshtein). */
function distance(a: string, b: string): number {
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(row[j - 1]! + 1, last[j]! + 1, replaced));
    }
    last = row;
  }
  return last[b.length]!;
}

// Full-text search over the labels of one SAE: words in any form, parts of words, or the index. Pure.

export interface Searchable {
  indices: number[];
  /** Lower case, beside `indices`. */
  texts: string[];
}

export function searchable(labels: ReadonlyMap<number, string>): Searchable {
  const indices = [...labels.keys()].sort((a, b) => a - b);
  return { indices, texts: indices.map((index) => (labels.get(index) ?? '').toLowerCase()) };
}

/** One label written or taken away (null), in place: as if prepared anew, without reading the others. */
export function amend({ indices, texts }: Searchable, index: number, label: string | null): void {
  const at = placeOf(indices, index);
  const isHere = indices[at] === index;
  if (label === null) {
    if (isHere) [indices, texts].forEach((list) => list.splice(at, 1));
    return;
  }
  if (!isHere) indices.splice(at, 0, index);
  texts.splice(at, isHere ? 1 : 0, label.toLowerCase());
}

/** Where it is in an ascending list, or where it would be put. */
export function placeOf(ascending: readonly number[], wanted: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ascending[middle] ?? 0) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** How well it fits: the words as typed at a beginning, as whole words, anywhere, or each of them in some form. */
const [isIt, exact, beginning, wholeWords, anywhere, everyWord, no] = [0, 1, 2, 3, 4, 5, 6] as const;

/** Indices of what fits, the best first, and by index where equal; the feature of that number comes before everything. */
export function searchLabels({ indices, texts }: Searchable, query: string): number[] {
  const wanted = query.trim().toLowerCase();
  if (wanted === '') return indices;
  const stems = wanted
    .split(/[\s,;.:!?"'()]+/)
    .filter((word) => word !== '')
    .map(stem);
  const number = /^\d{1,9}$/.test(wanted) ? Number(wanted) : null;
  const ranked: number[][] = [[], [], [], [], [], []];
  texts.forEach((text, position) => {
    const index = indices[position] ?? 0;
    const how = index === number ? isIt : rank(text, wanted, stems);
    ranked[how]?.push(index);
  });
  return ranked.flat();
}

function rank(text: string, wanted: string, stems: readonly string[]): number {
  const at = text.indexOf(wanted);
  if (at === 0) return text.length === wanted.length ? exact : beginning;
  if (at > 0) return isBoundary(text[at - 1]) && isBoundary(text[at + wanted.length]) ? wholeWords : anywhere;
  return stems.length > 0 && stems.every((word) => text.includes(word)) ? everyWord : no;
}

const isBoundary = (char: string | undefined) => char === undefined || !/[\p{L}\p{N}]/u.test(char);

/** What the forms of an English word have in common at their beginning: jokes, joking, joked → jok. */
export function stem(word: string): string {
  const endings: readonly [RegExp, string][] = [
    [/(?:ies|ied)$/, ''],
    [/(sh|ch|ss|x|z)es$/, '$1'],
    [/([bdfgklmnprt])\1(?:ing|ed|er)$/, '$1'],
    [/(?:ing|ed|ly)$/, ''],
    [/([^su])s$/, '$1'],
  ];
  for (const [ending, rest] of endings) {
    const shorter = word.replace(ending, rest);
    if (shorter !== word && shorter.length >= 3 && /[aeiouy]/.test(shorter)) return trimmed(shorter);
  }
  return trimmed(word);
}

const trimmed = (word: string) => (word.length > 3 ? word.replace(/[ey]$/, '') : word);

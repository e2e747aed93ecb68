/** Splits a command line into words; nothing is expanded, and no shell runs it. */

/** What only a shell understands, if it is not quoted. */
const OF_A_SHELL = /[|&;<>$`()*]/;

/** One word without quotes, or in quotes. */
const PIECE = /\s+|'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\]+)/sy;

/**
 * Words as a shell splits them: separated by blanks, quoted by ' and ", escaped by \.
 * @throws Error for open quotes, and for characters that would need a shell
 */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  PIECE.lastIndex = 0;
  while (PIECE.lastIndex < text.length) {
    const piece = PIECE.exec(text);
    if (piece === null) throw new Error('a quote is not closed');
    const [whole, single, double, escaped, plain] = piece;
    if (/^\s/.test(whole)) {
      if (word !== undefined) words.push(word);
      word = undefined;
      continue;
    }
    const special = plain === undefined ? undefined : OF_A_SHELL.exec(plain)?.[0];
    if (special !== undefined) {
      throw new Error(`${JSON.stringify(special)} needs a shell, and none runs it: quote it, or give sh -c '…'`);
    }
    word = (word ?? '') + (single ?? double?.replaceAll(/\\(["\\$`])/g, '$1') ?? escaped ?? plain!);
  }
  if (word !== undefined) words.push(word);
  return words;
}

/**
 * Words as spiffe-helper splits `cmd_args`: one record of CSV with blanks in place of commas. A word in double quotes may
 * have blanks, and a double quote in it is doubled. Two blanks have an empty word between them.
 * @throws Error for a quote in the middle of a word, and for open quotes
 */
export function splitRecord(text: string): string[] {
  const words: string[] = [];
  const word = /(?:"((?:[^"]|"")*)"|([^" ]*))( |$)/y;
  if (text === '') return words;
  for (;;) {
    const found = word.exec(text);
    if (found === null) throw new Error('a double quote is in the middle of a word, or not closed');
    words.push(found[1]?.replaceAll('""', '"') ?? found[2]!);
    if (found[3] === '') return words;
  }
}

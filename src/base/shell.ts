/** Commands that a message offers to be pasted. */

import { printable } from './printable.ts';

/** A word as a shell reads it back, quoted where it must be. */
export function shellQuote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/**
 * The words as one command line; undefined where a terminal would not show it as it is (control characters, invisible
 * ones, half a surrogate pair): what is then copied from the screen is another command.
 */
export function commandLine(words: readonly string[]): string | undefined {
  const line = words.map(shellQuote).join(' ');
  return isShownWhole(line) ? line : undefined;
}

/** True if what commands print is this very text. */
export function isShownWhole(text: string): boolean {
  return printable(text) === text && text.isWellFormed();
}

/** Shell commands for messages, to be pasted by a user. */

import { printable } from './printable.ts';

/** Quotes a word for a shell if necessary. */
export function shellQuote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/**
 * Joins the words to a command line; undefined if a terminal would not show it exactly (control characters, invisible
 * characters, half a surrogate pair), because a copy from the screen would be another command.
 */
export function commandLine(words: readonly string[]): string | undefined {
  const line = words.map(shellQuote).join(' ');
  return isShownWhole(line) ? line : undefined;
}

/** True if commands print exactly this text. */
export function isShownWhole(text: string): boolean {
  return printable(text) === text && text.isWellFormed();
}

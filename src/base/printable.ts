/** Makes text from outside safe for a terminal. Used for command output and every log line. */

/**
 * Characters that a terminal interprets or does not show: control characters (C0, DEL and C1), line breaks, characters
 * that change the reading order (UAX #9), and invisible ones, which make two names look the same.
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
/** The same without the line feed. */
const UNSEEN_IN_LINES = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

const PLAIN = /^[ -~]*$/;
const PLAIN_LINES = /^[\n -~]*$/;

/** Escapes, in JSON's form, every character that a terminal interprets or does not show. */
export function printable(text: string): string {
  // Most text is plain, and this test is much faster than the replacement.
  return PLAIN.test(text) ? text : text.replace(UNSEEN, escaped);
}

/**
 * Like {@link printable}, but keeps line feeds: for JSON text, whose values have theirs escaped, and for whole lines.
 */
export function printableLines(text: string): string {
  return PLAIN_LINES.test(text) ? text : text.replace(UNSEEN_IN_LINES, escaped);
}

/** In JSON's form, by UTF-16 units. */
function escaped(character: string): string {
  const units = character.split('').map((unit) => unit.charCodeAt(0));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}

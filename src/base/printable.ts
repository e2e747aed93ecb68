/** Text from outside, made fit for a terminal: used for what commands print and for every line of the log. */

/**
 * Characters that a terminal obeys or does not show: control characters (C0, DEL and C1), line breaks, characters that
 * change the reading order (UAX #9), and invisible ones, which make two names look the same.
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;
/** The same, but the line feed. */
const UNSEEN_IN_LINES = /[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

const PLAIN = /^[ -~]*$/;
const PLAIN_LINES = /^[\n -~]*$/;

/** Escapes, as JSON would, every character of a value that a terminal obeys or does not show. */
export function printable(text: string): string {
  // Nearly all text is plain, which is seen in a fraction of the time.
  return PLAIN.test(text) ? text : text.replace(UNSEEN, escaped);
}

/** As {@link printable}, but line feeds stay: for JSON text, whose values have theirs escaped, and for whole lines. */
export function printableLines(text: string): string {
  return PLAIN_LINES.test(text) ? text : text.replace(UNSEEN_IN_LINES, escaped);
}

/** As in JSON, by UTF-16 units. */
function escaped(character: string): string {
  const units = character.split('').map((unit) => unit.charCodeAt(0));
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('');
}

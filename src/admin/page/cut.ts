/** Texts of others (node ids, error texts, selectors) in lists: their whole length is on the page of one proxy. */

/** In UTF-16 code units. */
export const MOST_OF_TEXT = 300;

export function cut(text: string): string {
  if (text.length <= MOST_OF_TEXT) return text;
  // Half of a surrogate pair would not be UTF-8.
  return `${text.slice(0, MOST_OF_TEXT).toWellFormed()}…`;
}

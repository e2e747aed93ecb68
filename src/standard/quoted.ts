/** Quotes texts of clients in messages. */

/** Maximum length of client text that is repeated in an error message, in characters. */
const MOST_QUOTED = 200;

/** The client's text, shortened and quoted for an error message. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > MOST_QUOTED ? `${text.slice(0, MOST_QUOTED)}…` : text);
}

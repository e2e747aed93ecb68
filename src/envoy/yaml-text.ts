/** Pieces of YAML text, for files that people read: what a document's library prints can't be laid out or explained. */

/** Words that YAML 1.1, which Envoy's parser follows, takes for something else than text. */
const NOT_TEXT = /^(y|yes|n|no|true|false|on|off|null|nan|inf)$/i;

/** A text as a YAML scalar, in a block or in `{ … }`, quoted where it would be read as something else. */
export function scalar(text: string): string {
  const plain = /^[A-Za-z_/](?:[\w./-]|:(?=\/\/))*$/.test(text) && !NOT_TEXT.test(text);
  return plain || /^\d+(\.\d+){3}$/.test(text) ? text : JSON.stringify(text);
}

/** The text with every line but the first moved right, to stand where the first one begins. */
export function nest(spaces: number, text: string): string {
  return text.replaceAll(/\n(?!\n)/g, `\n${' '.repeat(spaces)}`);
}

/** Items of a list, one below the other, at the start of a line. */
export function list(items: readonly string[]): string {
  return items.map((item) => `- ${nest(2, item)}`).join('\n');
}

/** Parts one below the other, those that are empty left out. */
export function lines(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join('\n');
}

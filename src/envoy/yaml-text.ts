/** Pieces of YAML text for files that people read: a YAML library's output can't have such a layout and comments. */

/** Words that YAML 1.1, which Envoy's parser follows, does not read as text. */
const NOT_TEXT = /^(y|yes|n|no|true|false|on|off|null|nan|inf)$/i;

/** A text as a YAML scalar, in a block or in `{ … }`, quoted if it would be read as something else. */
export function scalar(text: string): string {
  const plain = /^[A-Za-z_/](?:[\w./-]|:(?=\/\/))*$/.test(text) && !NOT_TEXT.test(text);
  return plain || /^\d+(\.\d+){3}$/.test(text) ? text : JSON.stringify(text);
}

/** The text with every line except the first indented, to align with the first. */
export function nest(spaces: number, text: string): string {
  return text.replaceAll(/\n(?!\n)/g, `\n${' '.repeat(spaces)}`);
}

/** Items of a list, one per line, without indentation. */
export function list(items: readonly string[]): string {
  return items.map((item) => `- ${nest(2, item)}`).join('\n');
}

/** Joins the non-empty parts by line feeds. */
export function lines(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join('\n');
}

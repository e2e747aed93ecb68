/** Finds the lines of values in JSON text without parsing it. */

import { isSameName } from './lines.ts';

/** The lines of one text, which is JSON. */
export class JsonLines {
  readonly #text: string;
  /** Offsets of the items of the list at a place, since the same list is asked for many of its items. */
  readonly #items = new Map<number, number[]>();

  constructor(text: string) {
    this.#text = text;
  }

  /** The line (from 1) of the value at this place, or of the nearest value above it that is there. */
  lineAt(keys: readonly string[]): number {
    let at = this.#skipBlanks(0);
    let found = at;
    for (const key of keys) {
      const next = this.#text[at] === '{' ? this.#member(at, key) : this.#item(at, key);
      if (next === undefined) break;
      [found, at] = next;
    }
    return this.#lineOf(found);
  }

  /** The offsets of the member's key and value. */
  #member(object: number, name: string): [number, number] | undefined {
    for (let at = this.#skipBlanks(object + 1); this.#text[at] === '"'; ) {
      const end = this.#skipValue(at);
      const key = JSON.parse(this.#text.slice(at, end)) as string;
      const value = this.#skipBlanks(this.#skipBlanks(end) + 1);
      if (isSameName(key, name)) return [at, value];
      const comma = this.#skipBlanks(this.#skipValue(value));
      if (this.#text[comma] !== ',') return undefined;
      at = this.#skipBlanks(comma + 1);
    }
    return undefined;
  }

  #item(list: number, index: string): [number, number] | undefined {
    if (this.#text[list] !== '[') return undefined;
    let items = this.#items.get(list);
    if (items === undefined) {
      items = [];
      for (let at = this.#skipBlanks(list + 1); this.#text[at] !== ']' && at < this.#text.length; ) {
        items.push(at);
        const comma = this.#skipBlanks(this.#skipValue(at));
        if (this.#text[comma] !== ',') break;
        at = this.#skipBlanks(comma + 1);
      }
      this.#items.set(list, items);
    }
    const at = items[Number(index)];
    return at === undefined ? undefined : [at, at];
  }

  #skipBlanks(from: number): number {
    let at = from;
    while (at < this.#text.length && ' \t\n\r\uFEFF'.includes(this.#text[at]!)) at += 1;
    return at;
  }

  /** The offset after the value. */
  #skipValue(from: number): number {
    const text = this.#text;
    let depth = 0;
    for (let at = from; at < text.length; at += 1) {
      const character = text[at]!;
      if (character === '"') {
        at = endOfString(text, at) - 1;
        if (depth === 0) return at + 1;
      } else if (character === '{' || character === '[') depth += 1;
      else if (character === '}' || character === ']') {
        // The end of the object or list around a number or word.
        if (depth === 0) return at;
        depth -= 1;
        if (depth === 0) return at + 1;
      } else if (depth === 0 && character === ',') return at;
    }
    return text.length;
  }

  #lineOf(offset: number): number {
    let line = 1;
    for (let at = this.#text.indexOf('\n'); at !== -1 && at < offset; at = this.#text.indexOf('\n', at + 1)) line += 1;
    return line;
  }
}

/** The offset after the JSON string that begins here. */
export function endOfString(text: string, start: number): number {
  for (let at = start + 1; ; ) {
    const end = text.indexOf('"', at);
    if (end === -1) return text.length;
    let backslashes = 0;
    while (text[end - 1 - backslashes] === '\\') backslashes += 1;
    if (backslashes % 2 === 0) return end + 1;
    at = end + 1;
  }
}

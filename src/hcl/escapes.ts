/** Escapes in strings. */

import { HclFault } from './fault.ts';

const HCL: Readonly<Record<string, string>> = {
  ...{ a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' },
  ...{ '\\': '\\', '"': '"' },
};
const JSON_FORM = /^(?:["\\/bfnrt]|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4})/;
const CODE = /^(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))/;

/**
 * @param rest the text after the backslash, 11 characters of it at least if there are so many
 * @returns the text that the escape stands for, and its length without the backslash
 * @throws HclFault
 */
export function escaped(rest: string, isJson: boolean, line: number): { text: string; length: number } {
  const form = (isJson ? JSON_FORM : CODE).exec(rest);
  const fault = () => {
    const rule = 'use \\\\, \\", \\n, \\r, \\t or \\uXXXX';
    return new HclFault(line, `the string has ${JSON.stringify(`\\${rest.slice(0, 1)}`)}, which is no escape`, rule);
  };
  if (isJson) {
    if (form === null) throw fault();
    return { text: wellFormed(JSON.parse(`"\\${form[0]}"`), fault), length: form[0].length };
  }
  const plain = HCL[rest.slice(0, 1)];
  if (plain !== undefined) return { text: plain, length: 1 };
  if (form === null) throw fault();
  const [{ length }, byte, short, long, octal] = form;
  const point = octal === undefined ? Number.parseInt((byte ?? short ?? long)!, 16) : Number.parseInt(octal, 8);
  // In Go \x and octal escapes are bytes; those above 0x7f are no text by themselves.
  const most = byte === undefined && octal === undefined ? 0x10ffff : 0x7f;
  if (point > most) throw fault();
  return { text: wellFormed(String.fromCodePoint(point), fault), length };
}

function wellFormed(text: string, fault: () => HclFault): string {
  if (!text.isWellFormed()) throw fault();
  return text;
}

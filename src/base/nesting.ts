/** Finds JSON that is nested too deep, without parsing it. */

import { SidekeyError } from './errors.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** `[` and `{`. */
const OPENING = [0x5b, 0x7b];
/** `]` and `}`. */
const CLOSING = [0x5d, 0x7d];

/** Maximum depth of bodies; none has a meaning with more than 8. A deep body takes V8 a hundred times as long as a flat one. */
const MAX_DEPTH = 64;

/** @throws ERR_BAD_JSON */
export function refuseDeep(body: Uint8Array): void {
  if (!isNestedBeyond(body, MAX_DEPTH)) return;
  throw new SidekeyError('ERR_BAD_JSON', `lists and objects are nested more than ${MAX_DEPTH} deep`);
}

/** Whether lists and objects are nested deeper than `depth`; for text that is not JSON, any answer is right. */
export function isNestedBeyond(json: Uint8Array, depth: number): boolean {
  let level = 0;
  for (let at = 0; at < json.length; at += 1) {
    const byte = json[at]!;
    if (byte === QUOTE) at = endOfText(json, at);
    else if (OPENING[0] === byte || OPENING[1] === byte) {
      level += 1;
      if (level > depth) return true;
    } else if (CLOSING[0] === byte || CLOSING[1] === byte) level -= 1;
  }
  return false;
}

/** The position of the quote that ends the text; the end if there is none. */
function endOfText(json: Uint8Array, start: number): number {
  let at = start + 1;
  while (at < json.length && json[at] !== QUOTE) at += json[at] === BACKSLASH ? 2 : 1;
  return at;
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** A JSON text of bytes from elsewhere: UTF-8, and not deep. @throws Error; what {@link refuseDeep} throws */
export function parseBytes(bytes: Uint8Array): unknown {
  refuseDeep(bytes);
  return JSON.parse(UTF8.decode(bytes));
}

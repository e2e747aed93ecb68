/**
 * How much of an engine's answer is read. A container's labels and variables can be as many and as long as its image
 * likes, and to read JSON of very many members keeps the event loop for a second.
 */

import { SidekeyError } from '../../base/errors.ts';

/** The most bytes of one answer. One about a container has some 10 KB. */
export const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** The most members of one answer, in all of its objects and lists: a published port takes about 12 of them. */
export const MAX_MEMBERS = 20_000;

/** The most labels, variables, networks or digests, each of these by itself. */
export const MAX_ITEMS = 2_000;
/** Their most bytes, in UTF-8, names and values together. */
export const MAX_ITEM_BYTES = 262_144;

/** An answer is larger than is read. It stays so until the container changes. */
export class TooLargeError extends SidekeyError {
  /** @param what of whom it is, and the field; @param problem the number and the rule; no values */
  constructor(what: string, problem: string) {
    super('ERR_ATTESTATION_FAILED', `too much to read from the container engine: ${what} has ${problem}`);
  }
}

/**
 * Parses an answer whose members were counted before.
 * @param path what was asked for, for the error
 * @throws TooLargeError; a SyntaxError, which shows what it read, where the answer is no JSON
 */
export function parseAnswer(body: Buffer, path: string): unknown {
  checkMembers(body, path);
  return JSON.parse(body.toString('utf8'));
}

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a];
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST] = [0x7b, 0x7d, 0x5b, 0x5d];
/** The names down to here are the engine's own, as `Config.Labels`. */
const NAMED_DEPTH = 2;

function checkMembers(body: Buffer, path: string): void {
  /** By depth, where the name of the latest member begins and ends. */
  const names: [begin: number, end: number][] = [];
  let [depth, members] = [0, 0];
  for (let at = 0; at < body.length; at += 1) {
    const byte = body[at];
    if (byte === QUOTE) {
      const begin = at + 1;
      at = endOfText(body, begin);
      if (depth <= NAMED_DEPTH && body[at + 1] === COLON) names[depth] = [begin, at];
    } else if (byte === COMMA) {
      members += 1;
    } else if (byte === OPEN_OBJECT || byte === OPEN_LIST) {
      members += 1;
      depth += 1;
      if (depth <= NAMED_DEPTH) names.length = depth;
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_LIST) {
      depth = Math.max(0, depth - 1);
    }
    if (members > MAX_MEMBERS) throw tooMany(body, path, names.slice(1, depth));
  }
}

/** Where the text ends that begins at `from`: at its closing quote, or at the end of the answer. */
function endOfText(body: Buffer, from: number): number {
  let at = from;
  while (at < body.length && body[at] !== QUOTE) at += body[at] === BACKSLASH ? 2 : 1;
  return at;
}

function tooMany(body: Buffer, path: string, names: readonly (readonly [number, number])[]): TooLargeError {
  const field = names.map(([begin, end]) => body.toString('latin1', begin, Math.min(end, begin + 64))).join('.');
  const where = field === '' ? '' : `, up to its ${field},`;
  return new TooLargeError(`the answer to ${path}`, `more than ${MAX_MEMBERS} members${where} and no more are read`);
}

/**
 * Checks what there may be any number of. @param what of whom it is, and the field
 * @throws TooLargeError
 */
export function checkItems(texts: readonly string[], count: number, what: string): void {
  if (count > MAX_ITEMS) throw new TooLargeError(what, `${count} members, and at most ${MAX_ITEMS} are read`);
  let bytes = 0;
  for (const text of texts) bytes += Buffer.byteLength(text);
  if (bytes > MAX_ITEM_BYTES) throw new TooLargeError(what, `${bytes} bytes, and at most ${MAX_ITEM_BYTES} are read`);
}

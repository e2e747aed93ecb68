/**
 * Limits on an engine's answers. An image can set any number of labels and variables of any length, and parsing JSON
 * with very many members blocks the event loop for a second.
 */

import { SidekeyError } from '../../base/index.ts';

/** Maximum size of one answer, in bytes. A typical answer about a container has 10 KB. */
export const MAX_ENGINE_ANSWER_BYTES = 4 * 1024 * 1024;
/** Maximum number of members in all objects and lists of one answer. A published port takes about 12. */
export const MAX_MEMBERS = 20_000;

/** Maximum number of labels, of variables, of networks, and of digests. */
export const MAX_ITEMS = 2_000;
/** Maximum size of each of these, names and values together, in bytes of UTF-8. */
export const MAX_ITEM_BYTES = 262_144;

/** The answer exceeds a limit. Asking again gives the same answer until the container changes. */
export class TooLargeError extends SidekeyError {
  /**
   * @param what the container or request, and the field
   * @param problem the number and the limit, without values of the answer
   */
  constructor(what: string, problem: string) {
    super('ERR_ATTESTATION_FAILED', `too much to read from the container engine: ${what} has ${problem}`);
  }
}

/**
 * Counts the members of an answer, then parses it.
 * @param path the request's path, for the error
 * @throws TooLargeError; a SyntaxError, whose message contains parts of the answer, if the answer is not JSON
 */
export function parseAnswer(body: Buffer, path: string): unknown {
  checkMembers(body, path);
  return JSON.parse(body.toString('utf8'));
}

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a];
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST] = [0x7b, 0x7d, 0x5b, 0x5d];
/** Member names down to this depth are the engine's own (`Config.Labels`), so they may be shown. */
const NAMED_DEPTH = 2;

function checkMembers(body: Buffer, path: string): void {
  /** For each depth, the begin and end of the latest member's name. */
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

/** The index of the closing quote of the string that begins at `from`, or the end of the answer. */
function endOfText(body: Buffer, from: number): number {
  let at = from;
  while (at < body.length && body[at] !== QUOTE) at += body[at] === BACKSLASH ? 2 : 1;
  return at;
}

function tooMany(body: Buffer, path: string, names: readonly (readonly [number, number])[]): TooLargeError {
  const field = names.map(([begin, end]) => body.toString('latin1', begin, Math.min(end, begin + 64))).join('.');
  const where = field === '' ? '' : ` (exceeded in ${field})`;
  return new TooLargeError(`the answer to ${path}`, `more than ${MAX_MEMBERS} members, which is the limit${where}`);
}

/**
 * Checks the size of a list or map.
 * @param count the number of its members
 * @param what the container and the field
 * @throws TooLargeError
 */
export function checkItems(texts: readonly string[], count: number, what: string): void {
  if (count > MAX_ITEMS) throw new TooLargeError(what, `${count} members; the limit is ${MAX_ITEMS}`);
  let bytes = 0;
  for (const text of texts) bytes += Buffer.byteLength(text);
  if (bytes > MAX_ITEM_BYTES) throw new TooLargeError(what, `${bytes} bytes; the limit is ${MAX_ITEM_BYTES}`);
}

/** Parses a large JSON object with one long list, in slices: JSON.parse of the whole would block the event loop. */

import { SidekeyError, Slices } from '../base/index.ts';
import { endOfString } from './json-lines.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** How many elements are found between two checks of the time. */
const BATCH = 64;

/** Where the list and its elements are in the text. */
interface FoundList {
  readonly start: number;
  readonly end: number;
  readonly elements: unknown[];
}

/** Parses a piece of JSON. @throws Error */
type ParsePiece = (text: string) => unknown;

/**
 * The value of a JSON text. If it is an object whose member `name` is a list, the list's elements are parsed one by one.
 * @throws ERR_BAD_JSON; also if the member is there twice
 */
export async function parseWithList(text: string, name: string, parsePiece: ParsePiece = JSON.parse): Promise<unknown> {
  const list = await findList(text, name, parsePiece);
  if (list === undefined) return parse(text, '', parsePiece);
  const { start, end, elements } = list;
  const around = `${text.slice(0, start)}null${text.slice(end)}`;
  const rest = parse(around, `outside of ${name}: `, parsePiece) as Record<string, unknown>;
  // Another member of this name came later, or is written with an escape.
  if (rest[name] !== null) throw twice(name);
  return { ...rest, [name]: elements };
}

function parse(text: string, where: string, parsePiece: ParsePiece): unknown {
  try {
    return parsePiece(text);
  } catch (thrown) {
    throw new SidekeyError('ERR_BAD_JSON', `${where}${(thrown as Error).message}`);
  }
}

function twice(name: string): SidekeyError {
  return new SidekeyError('ERR_BAD_JSON', `the member ${name} is there twice`);
}

/** Undefined if the text is no object with such a list; it may still be JSON. */
async function findList(text: string, name: string, parsePiece: ParsePiece): Promise<FoundList | undefined> {
  const slices = new Slices();
  const nameText = JSON.stringify(name);
  let depth = 0;
  let found: FoundList | undefined;
  for (let at = 0; at < text.length; at += 1) {
    if (slices.isOver()) await slices.next();
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const end = endOfString(text, at);
      if (depth === 1 && text.slice(at, end) === nameText) {
        const start = startOfList(text, end);
        if (start !== undefined) {
          if (found !== undefined) throw twice(name);
          found = await readList(text, start, { name, parsePiece }, slices);
          at = found.end - 1;
          continue;
        }
      }
      at = end - 1;
    } else if (code === OPEN_LIST || code === OPEN_OBJECT) depth += 1;
    else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth -= 1;
  }
  return found;
}

async function readList(
  text: string,
  start: number,
  { name, parsePiece }: { readonly name: string; readonly parsePiece: ParsePiece },
  slices: Slices,
): Promise<FoundList> {
  const elements: unknown[] = [];
  for (let at = start + 1; ; ) {
    if (elements.length % BATCH === 0 && slices.isOver()) await slices.next();
    const end = endOfElement(text, at);
    const element = text.slice(at, end);
    const isLast = text.charCodeAt(end) === CLOSE_LIST;
    if (end >= text.length) throw new SidekeyError('ERR_BAD_JSON', `the list ${name} has no end`);
    const isEmpty = isLast && elements.length === 0 && element.trim() === '';
    if (!isEmpty) elements.push(parse(element, `/${name}/${elements.length}: `, parsePiece));
    if (isLast) return { start, end: end + 1, elements };
    at = end + 1;
  }
}

/** The position of the comma or bracket after the element that begins here; the end of the text if there is none. */
function endOfElement(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at) - 1;
    else if (code === OPEN_LIST || code === OPEN_OBJECT) depth += 1;
    else if (depth === 0 && (code === COMMA || code === CLOSE_LIST)) return at;
    else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth -= 1;
  }
  return text.length;
}

/** The position of the bracket if a colon and a list follow. */
function startOfList(text: string, from: number): number | undefined {
  const match = /[ \t\n\r]*:[ \t\n\r]*\[/y;
  match.lastIndex = from;
  return match.test(text) ? match.lastIndex - 1 : undefined;
}

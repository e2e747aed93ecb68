/**
 * Parses HCL 1, strictly: it takes what HashiCorp's own parser takes and has one meaning. It refuses what that parser
 * lets pass by accident: `[1,,2]`, a scalar that is set twice, integers that do not fit.
 * @see github.com/hashicorp/hcl v1, hcl/parser and json/parser
 */

import { HclFault, quoted, SHOWN } from './fault.ts';
import { Scanner, type Token, type TokenKind } from './scanner.ts';
import type { HclItem, HclList, HclNode, HclObject, HclScalar } from './tree.ts';

/** Maximum nesting of blocks and lists. SPIRE's and spiffe-helper's have 7. */
const MAX_DEPTH = 32;

const ITEM_RULE = 'a setting is name = value, a block is name { … }';

/**
 * The tree of a text in HCL, or in HCL's JSON form if its first character is `{`.
 * @throws HclFault
 */
export function parseHcl(text: string): HclObject {
  const odd = /[\0\ue123]|\p{Cs}/u.exec(text);
  const lines = text.replaceAll('\r\n', '\n');
  if (odd !== null)
    throw new HclFault(lineAt(text, odd.index), 'it has a character that no text has', 'give a text in UTF-8');
  return new Parser(lines, /^\s*\{/.test(text)).file();
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}

class Parser {
  readonly #scanner: Scanner;
  readonly #isJson: boolean;
  #token: Token;
  #depth = 0;

  constructor(text: string, isJson: boolean) {
    this.#isJson = isJson;
    this.#scanner = new Scanner(text, isJson);
    this.#token = this.#scanner.next();
  }

  file(): HclObject {
    const { line } = this.#token;
    const root = this.#isJson ? this.#block() : { kind: 'object' as const, line, items: this.#items('end') };
    if (this.#token.kind !== 'end') throw this.#unexpected('the file ends after its last }');
    return root;
  }

  /** Takes the current token if it is of this kind. */
  #take(kind: TokenKind): boolean {
    if (this.#token.kind !== kind) return false;
    this.#token = this.#scanner.next();
    return true;
  }

  #unexpected(rule: string): HclFault {
    const { kind, text, line } = this.#token;
    const shown = kind === 'end' ? 'the file ends' : `${quoted(text)} is`;
    return new HclFault(line, `${shown} where something else belongs`, rule);
  }

  /** A `{` … `}`. */
  #block(): HclObject {
    const { line } = this.#token;
    this.#take('{');
    this.#deeper(line);
    const items = this.#items('}');
    this.#depth -= 1;
    if (!this.#take('}')) throw new HclFault(line, 'this { is not closed', 'a block ends with }');
    return { kind: 'object', line, items };
  }

  #deeper(line: number): void {
    this.#depth += 1;
    if (this.#depth > MAX_DEPTH)
      throw new HclFault(line, `blocks and lists are nested more than ${MAX_DEPTH} deep`, 'nest them less');
  }

  /** The items up to this token, which is left. */
  #items(end: 'end' | '}'): HclItem[] {
    const items: HclItem[] = [];
    const seen = new Map<string, HclItem>();
    while (this.#token.kind !== end && this.#token.kind !== 'end') {
      for (const item of this.#item()) {
        refuseRepeated(item, seen.get(item.key.toLowerCase()));
        seen.set(item.key.toLowerCase(), item);
        items.push(item);
      }
      const { line } = this.#token;
      const isApart = this.#take(',');
      if (!this.#isJson) continue;
      if (isApart === (this.#token.kind === end))
        throw new HclFault(line, isApart ? 'a comma is last' : 'a comma is missing', 'JSON has commas between members');
    }
    return items;
  }

  /** One item; several where JSON has a list of blocks. */
  #item(): HclItem[] {
    const keys: Token[] = [];
    while (this.#token.kind === 'string' || (this.#token.kind === 'name' && !this.#isJson)) {
      keys.push(this.#token);
      this.#take(this.#token.kind);
      if (keys.length > MAX_DEPTH || this.#isJson) break;
    }
    const [key] = keys;
    if (key === undefined) throw this.#unexpected(ITEM_RULE);
    if (keys.length === 1 && this.#take(this.#isJson ? ':' : '=')) {
      const value = this.#value();
      const isBlocks = this.#isJson && value.kind === 'list' && value.elements.every(({ kind }) => kind === 'object');
      const values = isBlocks && value.elements.length > 0 ? value.elements : [value];
      return values.map((one) => ({ key: key.text, line: key.line, value: one }));
    }
    if (this.#token.kind !== '{' || this.#isJson) throw this.#unexpected(`${ITEM_RULE}: ${quoted(key.text)}`);
    return [nested(keys, this.#block())];
  }

  #value(): HclNode {
    const { kind, text, line } = this.#token;
    if (kind === '{') return this.#block();
    if (kind === '[') return this.#list();
    const scalar = scalarOf(kind, text, line);
    if (scalar === undefined)
      throw this.#unexpected('a value is a string in double quotes, a number, true, false, a list or a block');
    this.#take(kind);
    return scalar;
  }

  #list(): HclList {
    const { line } = this.#token;
    this.#take('[');
    this.#deeper(line);
    const elements: HclNode[] = [];
    while (!this.#take(']')) {
      if (this.#token.kind === 'end') throw new HclFault(line, 'this [ is not closed', 'a list ends with ]');
      elements.push(this.#value());
      const isLast = !this.#take(',');
      const isEnd = this.#token.kind === ']';
      if (isLast && !isEnd) throw this.#unexpected('the elements of a list are separated by commas, and ] ends it');
      if (!isLast && isEnd && this.#isJson) throw this.#unexpected('JSON has no comma after the last element');
    }
    this.#depth -= 1;
    return { kind: 'list', line, elements };
  }
}

/** `a "b" {}` is a block b in a block a. */
function nested(keys: readonly Token[], block: HclObject): HclItem {
  const [first, ...inner] = keys as [Token, ...Token[]];
  const { text: key, line } = first;
  const value = inner.length === 0 ? block : { kind: 'object' as const, line, items: [nested(inner, block)] };
  return { key, line, value };
}

/** A block may be repeated, each adds to the others; of a scalar or a list, HCL's decoder would take the last silently. */
function refuseRepeated({ key, line, value }: HclItem, earlier: HclItem | undefined): void {
  if (earlier === undefined || (value.kind === 'object' && earlier.value.kind === 'object')) return;
  throw new HclFault(line, `${quoted(key)} is set in line ${earlier.line} already`, 'set it once');
}

function scalarOf(kind: TokenKind, text: string, line: number): HclScalar | undefined {
  if (kind === 'string' || kind === 'heredoc') return { kind: 'string', line, text, value: text };
  if (kind === 'boolean') return { kind: 'boolean', line, text, value: text === 'true' };
  return kind === 'number' ? { kind: 'number', line, text, value: numberOf(text, line) } : undefined;
}

/** As Go's ParseInt with base 0, or ParseFloat. @throws HclFault */
function numberOf(text: string, line: number): number {
  const isInteger = !/[.eE]/.test(text) || /^-?0[xX]/.test(text);
  const octal = /^(-?)0(\d+)$/.exec(text);
  if (octal !== null && !/^[0-7]+$/.test(octal[2]!))
    throw new HclFault(line, `${text.slice(0, SHOWN)} is no number`, 'a number that begins with 0 is octal');
  const value =
    octal === null
      ? (text.startsWith('-') ? -1 : 1) * Number(text.replace('-', ''))
      : Number.parseInt(`${octal[1]}${octal[2]}`, 8);
  if (isInteger ? !Number.isSafeInteger(value) : !Number.isFinite(value))
    throw new HclFault(
      line,
      `the number ${text.slice(0, SHOWN)} is too large`,
      `give at most ${Number.MAX_SAFE_INTEGER}`,
    );
  return value;
}

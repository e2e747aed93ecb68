/**
 * The tokens of HCL 1, the configuration language of SPIRE and of spiffe-helper, and of its JSON form.
 * @see github.com/hashicorp/hcl v1, hcl/scanner, hcl/token and hcl/strconv
 */

import { escaped } from './escapes.ts';
import { HclFault, quoted, SHOWN } from './fault.ts';

export type TokenKind = 'end' | 'name' | 'boolean' | 'number' | 'string' | 'heredoc' | (typeof SYMBOLS)[number];

export interface Token {
  readonly kind: TokenKind;
  /** The value of a string or heredoc; else as written. */
  readonly text: string;
  readonly line: number;
}

const SYMBOLS = ['{', '}', '[', ']', ',', '=', ':'] as const;
const NAME = /[\p{L}_][\p{L}\p{Nd}_.-]*/uy;
const NUMBER = /-?(?:0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/y;
const JSON_NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const HEREDOC = /<<(-?)([\p{L}\p{Nd}_]+)\n/uy;
/** The margin of a heredoc's last line: Go's [[:space:]]. */
const MARGIN = /^[ \t\v\f\r]*/;

/** Reads one token after the other. */
export class Scanner {
  readonly #text: string;
  readonly #isJson: boolean;
  #at = 0;
  #line = 1;

  /** @param text with line feeds as line ends */
  constructor(text: string, isJson: boolean) {
    this.#text = text;
    this.#isJson = isJson;
  }

  /** @throws HclFault */
  next(): Token {
    this.#skip();
    const line = this.#line;
    const char = this.#text[this.#at];
    if (char === undefined) return { kind: 'end', text: '', line };
    const symbol = SYMBOLS.find((one) => one === char && one !== (this.#isJson ? '=' : ':'));
    if (symbol !== undefined) {
      this.#at += 1;
      return { kind: symbol, text: char, line };
    }
    if (char === '"') return { kind: 'string', text: this.#string(), line };
    if (char === '<' && !this.#isJson) return { kind: 'heredoc', text: this.#heredoc(), line };
    const name = this.#match(NAME);
    if (name !== undefined) return { kind: name === 'true' || name === 'false' ? 'boolean' : 'name', text: name, line };
    const number = this.#match(this.#isJson ? JSON_NUMBER : NUMBER);
    if (number !== undefined && !this.#isNamePart()) return { kind: 'number', text: number, line };
    const shown = number ?? String.fromCodePoint(this.#text.codePointAt(this.#at)!);
    const rule = 'a value is a string in double quotes, a number, true, false, a list or a block';
    throw new HclFault(line, `${quoted(shown)} has no meaning here`, rule);
  }

  /** White space and comments. */
  #skip(): void {
    for (;;) {
      const char = this.#text[this.#at];
      const isComment = !this.#isJson && (char === '#' || char === '/');
      if (char === '\n') this.#line += 1;
      if (char === ' ' || char === '\t' || char === '\r' || char === '\n') this.#at += 1;
      else if (!isComment || !this.#skipComment()) return;
    }
  }

  /** False if this slash begins none. */
  #skipComment(): boolean {
    const isBlock = this.#text.startsWith('/*', this.#at);
    if (!isBlock && this.#text[this.#at] === '/' && this.#text[this.#at + 1] !== '/') return false;
    const end = this.#text.indexOf(isBlock ? '*/' : '\n', this.#at + (isBlock ? 2 : 1));
    if (isBlock && end === -1) throw new HclFault(this.#line, 'this comment is not closed', 'it ends with */');
    if (isBlock) this.#advance(end + 2);
    else this.#at = end === -1 ? this.#text.length : end;
    return true;
  }

  #isNamePart(): boolean {
    return /[\p{L}\p{Nd}_.]/u.test(this.#text[this.#at] ?? '');
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  /** Goes to this offset, and counts the lines up to it. */
  #advance(to: number): void {
    for (; this.#at < to; this.#at += 1) if (this.#text[this.#at] === '\n') this.#line += 1;
  }

  /** A text in double quotes. */
  #string(): string {
    let value = '';
    let at = this.#at + 1;
    for (;;) {
      const char = this.#text[at];
      if (char === undefined || char === '\n') throw this.#unclosed();
      if (char === '"') break;
      let length = 1;
      let part = char;
      if (char === '\\') {
        const plain = escaped(this.#text.slice(at + 1, at + 12), this.#isJson, this.#line);
        length += plain.length;
        part = plain.text;
      } else if (char === '$' && this.#text[at + 1] === '{' && !this.#isJson) {
        length = this.#endOfReference(at) - at;
        part = this.#text.slice(at, at + length);
      }
      value += part;
      at += length;
    }
    this.#advance(at + 1);
    return value;
  }

  /** The end of a `${…}`, which HCL keeps as it is written, with quotes and line ends. */
  #endOfReference(start: number): number {
    let open = 0;
    for (let at = start + 1; at < this.#text.length; at += 1) {
      if (this.#text[at] === '{') open += 1;
      if (this.#text[at] === '}') open -= 1;
      if (open === 0) return at + 1;
    }
    throw this.#unclosed();
  }

  #unclosed(): HclFault {
    return new HclFault(this.#line, 'this string is not closed', 'it ends with " in the same line');
  }

  /** `<<NAME` up to a line with that name alone; `<<-NAME` takes away the indentation of that last line. */
  #heredoc(): string {
    const line = this.#line;
    HEREDOC.lastIndex = this.#at;
    const opening = HEREDOC.exec(this.#text);
    if (opening === null)
      throw new HclFault(line, 'a text over several lines begins with << and a name', 'the name ends its line: <<END');
    const [{ length }, dash, name] = opening;
    const shown = name!.slice(0, SHOWN);
    const lines: string[] = [];
    let at = this.#at + length;
    for (;;) {
      const end = this.#text.indexOf('\n', at);
      const problem = `the text after <<${dash}${shown} is not closed`;
      const rule = `it ends with a line that has ${shown} alone${dash === '' ? '' : ', indented'}`;
      if (end === -1) throw new HclFault(line, problem, rule);
      const one = this.#text.slice(at, end);
      at = end + 1;
      const margin = MARGIN.exec(one)![0];
      // HCL's own scanner finds the end of an indented text only at an indented line.
      const isEnd = one.slice(margin.length) === name && (dash === '' || margin !== '');
      if (!isEnd) {
        lines.push(one);
        continue;
      }
      if (/[\v\f\r]/.test(margin)) throw new HclFault(line, problem, rule);
      this.#advance(end);
      return dash === '' ? `${joined(lines)}${margin}` : joined(unindented(lines, margin));
    }
  }
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}

/** Without the margin of the last line, if every line has it. */
function unindented(lines: readonly string[], margin: string): readonly string[] {
  return lines.every((line) => line.startsWith(margin)) ? lines.map((line) => line.slice(margin.length)) : lines;
}

/** Faults of a YAML text in plain words, at the place where a person has to look. The parser names where it gave up. */

/** The part of the parser's errors that is used here. */
export interface ParserFault {
  readonly code: string;
  readonly message: string;
  /** Offsets in the text, from and to. */
  readonly pos: readonly [number, number?];
}

export interface PlainFault {
  /** The offset in the text. */
  readonly offset: number;
  readonly problem: string;
  readonly rule: string;
}

const INDENT_RULE = 'the lines of one entry begin in the same column, by spaces: check the indentation';
const FORM_RULE = 'the file has to be well-formed YAML or JSON';

/** @param faults those of the text, in their order; not empty */
export function plainFault(text: string, faults: readonly ParserFault[]): PlainFault {
  const first = faults.find(({ code }) => code !== 'NON_STRING_KEY') ?? faults[0]!;
  const { code, message, pos } = first;
  const [offset, end = offset] = pos;
  switch (code) {
    case 'BLOCK_AS_IMPLICIT_KEY':
    case 'MULTILINE_IMPLICIT_KEY':
      return ofKey(text, first, faults);
    case 'TAB_AS_INDENT':
      return { offset, problem: 'a tab is at the beginning of the line', rule: 'YAML is indented with spaces only' };
    case 'BAD_INDENT': {
      const open = /^Flow/.test(message) ? unclosed(text.slice(0, offset)) : undefined;
      if (open === undefined) break;
      const bracket = text[open];
      const problem = `this ${bracket} is not closed: its ${bracket === '[' ? ']' : '}'} is missing, or a line inside of it is not indented`;
      return { offset: open, problem, rule: FORM_RULE };
    }
    case 'MISSING_CHAR': {
      if (/^Sequence item/.test(message))
        return {
          offset,
          problem: 'this line belongs neither to the item above it nor to a new one (- …)',
          rule: INDENT_RULE,
        };
      const quote = /^Missing closing (["'])/.exec(message)?.[1];
      if (quote === undefined) break;
      return { offset: openQuote(text, quote), problem: `this ${quote} is not closed`, rule: FORM_RULE };
    }
    case 'BAD_SCALAR_START': {
      const problem = `a value can not begin with ${text.slice(offset, end)}`;
      return { offset, problem, rule: 'put such a value in quotes' };
    }
  }
  return { offset, problem: `it is not YAML: ${message}`, rule: FORM_RULE };
}

/** A key that cannot be one: mostly a line whose indentation differs from that of its neighbours. */
function ofKey(text: string, { code, pos }: ParserFault, faults: readonly ParserFault[]): PlainFault {
  const [offset] = pos;
  const spanning = faults.find((one) => one.code === 'MULTILINE_IMPLICIT_KEY' && (one.pos[1] ?? 0) >= offset);
  const end = spanning?.pos[1];
  const lineEnd = text.indexOf('\n', offset);
  const isSpanning = end !== undefined && lineEnd !== -1 && lineEnd < end;
  if (code === 'MULTILINE_IMPLICIT_KEY') {
    return {
      offset,
      problem: 'this line has no colon after its key, or the next line is indented too far',
      rule: INDENT_RULE,
    };
  }
  if (isSpanning) {
    // The next line was read as a part of this one's value.
    const start = text.lastIndexOf('\n', end - 1) + 1;
    const margin = /^ */.exec(text.slice(start))![0].length;
    const problem = 'this line is not indented like the lines above it that it belongs to';
    return { offset: start + margin, problem, rule: INDENT_RULE };
  }
  if (spanning !== undefined) {
    return {
      offset,
      problem: 'this line is not indented like the lines above it that it belongs to',
      rule: INDENT_RULE,
    };
  }
  return {
    offset,
    problem: 'the value has a colon and a space in it',
    rule: 'put such a value in quotes; if it is not one value, check the indentation',
  };
}

/** The offset of the last bracket that is open at the end of the text. Quotes and comments are skipped. */
function unclosed(text: string): number | undefined {
  const open: number[] = [];
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\]|\\.)*"|'[^']*'|(?<=\s)#[^\n]*|[[\]{}]/g)) {
    if (token === '[' || token === '{') open.push(index);
    else if (token === ']' || token === '}') open.pop();
  }
  return open.at(-1);
}

/** The first such quote that has no partner in its line. */
function openQuote(text: string, quote: string): number {
  let start = 0;
  for (const line of text.split('\n')) {
    const places = [...line.matchAll(quote === '"' ? /(?<!\\)"/g : /'/g)].map(({ index }) => index);
    if (places.length % 2 === 1) return start + places.at(-1)!;
    start += line.length + 1;
  }
  return 0;
}

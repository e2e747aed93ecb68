/**
 * Reads the YAML of a bootstrap as Envoy does (yaml-cpp, then JSON of protobuf), which is less strict than the YAML library
 * here. Each form was tried with Envoy 1.36.4 and 1.40.0.
 */

import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLParseError,
} from 'yaml';
import { mapsIn, Spot } from './spot.ts';

/** A fault or remark about the text itself. */
export interface TextFault {
  readonly line: number;
  readonly problem: string;
  readonly why: string;
  readonly fix: string;
}

export interface ReadFile {
  readonly root: Spot;
  /** Why the values can't be used. */
  readonly faults: readonly TextFault[];
  /** Text that Envoy may read differently from what the author meant, or that other programs do not accept. */
  readonly remarks: readonly (TextFault & { readonly rule: string })[];
}

export function readFile(text: string): ReadFile {
  const { document, lines, shown, dedented } = parseLenient(text);
  const faults: TextFault[] = [];
  const lineOf = (offset: number) => lines.linePos(offset).line;
  for (const error of document.errors) {
    if (!isHarmless(error)) faults.push({ line: lineOf(error.pos[0]), ...explain(error.code) });
  }
  const targets = aliasTargets(document, (alias, problem) => {
    faults.push({ line: lineOf(alias.range?.[0] ?? 0), problem, ...REFUSED });
  });
  const isJson = isMap(document.contents) && document.contents.flow === true;
  const root = new Spot({ text: shown, lines, targets, isJson }, document.contents ?? undefined, 1);
  const second = document.errors.find(({ code }) => code === 'MULTIPLE_DOCS');
  if (second !== undefined && (document.contents === null || isNull(document.contents))) {
    const problem = 'the first document of the file is empty';
    const why = 'Envoy reads the first document only, and does not start with an empty one';
    faults.push({ line: 1, problem, why, fix: 'remove the --- before the first value' });
  }
  if (faults.length > 0) return { root, faults, remarks: [] };
  const remarks = [
    ...(second === undefined ? [] : [secondDocument(lineOf(second.pos[0]))]),
    ...dedented.map(tooLittleIndented),
    ...overridden(root),
  ];
  return { root, faults, remarks };
}

const HARMLESS: ReadonlySet<string> = new Set(['MULTIPLE_DOCS', 'DUPLICATE_KEY', 'TAG_RESOLVE_FAILED']);
const BEFORE_COMMENT = /^Comments must be separated/;

/** True for errors that do not change the values: Envoy ignores tags, and uses the last of equal keys. */
function isHarmless({ code, message }: YAMLParseError): boolean {
  return HARMLESS.has(code) || BEFORE_COMMENT.test(message);
}

const REFUSED = {
  why: 'Envoy does not start with it; nothing else was checked',
  fix: 'correct the YAML',
};

/** Problems that Envoy's parser refuses too. */
const OF_BOTH: Readonly<Record<string, string>> = {
  BAD_DQ_ESCAPE: 'a text in double quotes has an unknown escape sequence (\\…)',
  BAD_SCALAR_START: 'a value begins with a character that YAML reserves: put it in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'there are two keys on one line, or a list item at the wrong indentation',
  BLOCK_IN_FLOW: 'inside of { } or [ ] a comma is missing, or there is a list item with a dash',
  MULTIPLE_ANCHORS: 'a value has two anchors (&name)',
  MULTIPLE_TAGS: 'a value has two tags (!name)',
};

/** Problems in a text that Envoy may accept nevertheless. */
const OF_THIS: Readonly<Record<string, string>> = {
  BAD_INDENT: 'the indentation is wrong, or a closing bracket is missing',
  MISSING_CHAR: 'a closing quote, a closing bracket or a colon is missing',
  MULTILINE_IMPLICIT_KEY: 'a key goes on in the next line, or its colon is missing',
  TAB_AS_INDENT: 'a line is indented with a tab',
  UNEXPECTED_TOKEN: 'a bracket, a quote or a text is left over',
  KEY_OVER_1024_CHARS: 'a key is longer than 1024 characters',
};

function explain(code: string): Omit<TextFault, 'line'> {
  const problem = OF_BOTH[code];
  if (problem !== undefined) return { problem, ...REFUSED };
  return {
    problem: OF_THIS[code] ?? 'this is not YAML',
    why: 'it can not be read from here on, so nothing else was checked; `envoy --mode validate` says whether Envoy reads it',
    fix: 'correct the YAML',
  };
}

function secondDocument(line: number) {
  return {
    rule: 'second-document',
    line,
    problem: 'a second YAML document begins here',
    why: 'Envoy reads the first document only, and ignores this one',
    fix: 'put everything in one document, or remove this one',
  };
}

function tooLittleIndented(line: number) {
  return {
    rule: 'yaml-indent',
    line,
    problem: 'a line inside of { } or [ ] is indented no more than what it belongs to, or with a tab',
    why: 'Envoy reads it, but YAML forbids it, and other programs refuse the file',
    fix: 'indent it with spaces, further than the key that it belongs to',
  };
}

function overridden(root: Spot) {
  return [...mapsIn(root)].flatMap((map) =>
    map.overridden.map(({ member, by }) => {
      const isSame = member.name === by.name;
      return {
        rule: 'key-twice',
        line: member.spot.line,
        problem: isSame
          ? `the key ${member.name} is given twice in one map, last on line ${by.spot.line}`
          : `one map has ${member.name} and, on line ${by.spot.line}, ${by.name}: two spellings of one field`,
        why: isSame
          ? 'Envoy uses the last one, and ignores this one'
          : 'which of the two Envoy uses differs from version to version',
        fix: 'remove one of them',
      };
    }),
  );
}

function isNull(node: Node): boolean {
  return isScalar(node) && node.value === null;
}

/** Time limit for re-indenting lines, in milliseconds; each line takes one attempt. */
const ATTEMPTS_MS = 1_000;
const IN_FLOW = /^Flow (map|sequence) in block collection must be sufficiently indented/;

interface Parsed {
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
  /** The text, with some lines re-indented. */
  readonly shown: string;
  /** The numbers of the re-indented lines. */
  readonly dedented: readonly number[];
}

/**
 * Envoy's parser ignores the indentation of lines inside of brackets. Such lines are indented further until the library
 * accepts them; their numbers, and their text after the indentation, stay the same.
 */
function parseLenient(text: string): Parsed {
  const first = parse(text);
  const all = text.split('\n');
  const dedented: number[] = [];
  const end = performance.now() + ATTEMPTS_MS;
  for (let attempt = first; performance.now() < end; ) {
    const fault = attempt.document.errors.find(({ message }) => IN_FLOW.test(message));
    if (fault === undefined) return { ...attempt, dedented };
    const { line } = attempt.lines.linePos(fault.pos[0]);
    const content = all[line - 1]?.trimStart() ?? '';
    // If a bracket is never closed, the fault is at the end of the file, or at a line that was re-indented already.
    if (content === '' || dedented.includes(line)) return { ...first, dedented: [] };
    all[line - 1] = `${' '.repeat(FAR)}${content}`;
    dedented.push(line);
    attempt = parse(all.join('\n'));
  }
  return { ...first, dedented: [] };
}

/** An indentation, in spaces, that is deeper than that of any real line. */
const FAR = 400;

function parse(text: string): Omit<Parsed, 'dedented'> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  return { document, lines, shown: text };
}

/** Resolves all aliases in one pass: yaml's own resolution needs one pass per alias. */
function aliasTargets(document: Document, lost: (alias: Node, problem: string) => void): Map<Node, Node> {
  const anchors = new Map<string, Node>();
  const targets = new Map<Node, Node>();
  visit(document, {
    Node: (_, node, path) => {
      if (isAlias(node)) {
        const target = anchors.get(node.source);
        if (target === undefined) lost(node, `*${node.source} has no anchor`);
        else if (path.includes(target)) lost(node, `*${node.source} is inside of the value that it stands for`);
        else targets.set(node, target);
      } else if (node.anchor !== undefined) anchors.set(node.anchor, node);
    },
  });
  return targets;
}

/** Parses YAML, with the line of each value and limits on what a file may contain. */

import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseAllDocuments,
  type Scalar,
} from 'yaml';
import { show } from '../registry/index.ts';
import type { Lines } from './lines.ts';

/** Maximum number of aliases: the parser compares each with all anchors. */
const MAX_ALIASES = 1_000;

export interface YamlDocument {
  readonly value: unknown;
  /** Computed when it is called: most files have no faults. */
  readonly lines: () => Lines;
}

/** A fault of the text. */
export class YamlFault extends Error {
  /** From 1. */
  readonly line: number;

  constructor(message: string, line: number) {
    super(message);
    this.line = line;
  }
}

/** The documents; those that contain only comments, as after a separator at the end, are left out. @throws YamlFault */
export function parseYaml(text: string): YamlDocument[] {
  try {
    return parse(text);
  } catch (thrown) {
    if (thrown instanceof RangeError) throw new YamlFault('it is nested too deeply', 1);
    throw thrown;
  }
}

function parse(text: string): YamlDocument[] {
  const counter = new LineCounter();
  const options = { lineCounter: counter, prettyErrors: false, stringKeys: true, uniqueKeys: false };
  // Empty text has no documents.
  const documents = [...(parseAllDocuments(text, options) as Document.Parsed[])];
  const lineOf = (offset: number) => counter.linePos(offset).line;
  const [fault = firstFault(documents)] = documents.flatMap(({ errors, warnings }) => [...errors, ...warnings]);
  if (fault !== undefined) throw new YamlFault(fault.message, lineOf(fault.pos[0]));
  const filled = documents.filter(({ contents }) => !(isScalar(contents) && contents.value === null));
  return filled.map((document) => {
    const start = lineOf(isNode(document.contents) ? document.contents.range![0] : 0);
    try {
      // A small file with many uses of one anchor could exhaust memory.
      const value: unknown = document.toJS({ maxAliasCount: 100 });
      if (containsItself(value)) throw new Error('an anchor contains itself');
      return { value, lines: () => linesOf(document, document === documents[0] ? 1 : start, lineOf) };
    } catch (thrown) {
      if (thrown instanceof RangeError) throw thrown;
      throw new YamlFault((thrown as Error).message, start);
    }
  });
}

/**
 * The first key that a map has twice, or the first alias beyond the maximum. Replaces the parser's own check of keys,
 * which compares each key with all others.
 */
function firstFault(
  documents: readonly Document.Parsed[],
): { readonly message: string; readonly pos: readonly [number] } | undefined {
  let aliases = 0;
  for (const document of documents) {
    // The list grows during the loop.
    const nodes: unknown[] = [document.contents];
    for (const node of nodes) {
      if (isAlias(node)) {
        aliases += 1;
        if (aliases > MAX_ALIASES)
          return { message: `there are more than ${MAX_ALIASES} aliases`, pos: [node.range![0]] };
      } else if (isSeq(node)) {
        for (const item of node.items) nodes.push(item);
      } else if (isMap(node)) {
        const keys = new Set<unknown>();
        for (const { key, value } of node.items as Pair<Scalar>[]) {
          if (keys.has(key.value)) return { message: `the key ${show(key.value)} occurs twice`, pos: [key.range![0]] };
          keys.add(key.value);
          nodes.push(value);
        }
      }
    }
  }
  return undefined;
}

/** Whether a list or map is in itself, which JSON cannot express. */
function containsItself(value: unknown, open = new Set<unknown>(), done = new Set<unknown>()): boolean {
  if (typeof value !== 'object' || value === null || done.has(value)) return false;
  if (open.has(value)) return true;
  open.add(value);
  for (const member of Object.values(value)) if (containsItself(member, open, done)) return true;
  open.delete(value);
  done.add(value);
  return false;
}

function linesOf(document: Document.Parsed, start: number, lineOf: (offset: number) => number): Lines {
  /** By node, so that the uses of an anchor share one. */
  const known = new Map<unknown, Omit<Lines, 'line'>>();
  const below = (given: unknown): Omit<Lines, 'line'> => {
    const node = isAlias(given) ? given.resolve(document) : given;
    const before = known.get(node);
    if (before !== undefined) return before;
    let lines: Omit<Lines, 'line'> = {};
    if (isMap(node)) {
      const members = new Map<string, Lines>();
      lines = { members };
      known.set(node, lines);
      for (const { key, value } of node.items as Pair<Scalar>[]) {
        members.set(String(key.value), { line: lineOf(key.range![0]), ...below(value) });
      }
    } else if (isSeq(node)) {
      const items: Lines[] = [];
      lines = { items };
      known.set(node, lines);
      for (const item of node.items) items.push({ line: isNode(item) ? lineOf(item.range![0]) : 1, ...below(item) });
    }
    return lines;
  };
  return { line: start, ...below(document.contents) };
}

/**
 * Parses an entries file and finds the line of each value. The file is YAML (one or more documents) or JSON with an
 * `entries` list, with the field names of the admin API or SPIRE, or the output of `spire-server entry show -output
 * json`.
 */

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
import { nearest, type Problem, SidekeyError } from '../base/index.ts';
import { PAGE_TOKEN, PAGE_TOKEN_RULE, Place, show, snakeCase } from '../registry/index.ts';
import { readJson } from './unique-json.ts';
import { plainFault } from './yaml-fault.ts';

const FILE_RULE = 'the file is YAML or JSON with a list: entries: […]';
/** Maximum size of an entries file, in bytes: about 100,000 entries in JSON. */
export const MAX_ENTRIES_BYTES = 16 * 1024 * 1024;
/**
 * Maximum length of a YAML file, in characters: the parser takes about a second for one million, which blocks the event
 * loop.
 */
const MAX_YAML = 4 * 1024 * 1024;
/** Maximum number of aliases: the parser compares each with all anchors. */
const MAX_ALIASES = 1_000;

/** Decodes UTF-8 and rejects invalid bytes; skips a byte order mark. @throws TypeError */
export function decodeText(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

export class EntriesSource {
  readonly #name: string;
  readonly #text: string;
  readonly #lines = new LineCounter();
  #documents: Document.Parsed[] | undefined;
  /** The index of each document's first entry in the whole list. */
  readonly #starts: number[] = [];
  /** The value of `entries`, all documents joined: a list, or another value if the file has one there. */
  readonly entries: unknown;

  /** @param name the file's name in messages @throws ERR_CONFIG with all problems, each with its line */
  constructor(name: string, text: string) {
    this.#name = name;
    this.#text = text;
    // The JSON parser takes a tenth of the YAML parser's time. The YAML parser then runs only if lines are needed.
    const json = readJson(text);
    if (json === undefined) this.#checkLength();
    this.entries = json === undefined ? this.#entriesOfDocuments() : this.#entriesOf(json, 0);
  }

  error(problems: readonly Problem[]): SidekeyError {
    return SidekeyError.badInput(
      problems.map((problem) => this.locate(problem)),
      'ERR_CONFIG',
    );
  }

  /** Adds file and line to a problem's path: `FILE:LINE /entries/0/…`. */
  locate(problem: Problem): Problem {
    const line = this.line(problem.path);
    const place = line === undefined ? this.#name : `${this.#name}:${line}`;
    return { ...problem, path: `${place} ${problem.path}`.trimEnd() };
  }

  /**
   * The line (from 1) of the value at a JSON pointer, or of its object if the value is missing. Undefined if the file is
   * JSON and too long for the YAML parser, which finds the lines.
   */
  line(pointer: string): number | undefined {
    if (this.#text.length > MAX_YAML) return undefined;
    const keys = pointer.split('/').slice(1);
    return this.#lineIn(...this.#place(keys));
  }

  #checkLength(): void {
    if (this.#text.length <= MAX_YAML) return;
    const problem = `it is not JSON, or an object in it has a name twice, and it has ${this.#text.length} characters`;
    const rule = `a YAML file has at most ${MAX_YAML} characters; JSON may have ${MAX_ENTRIES_BYTES} bytes`;
    throw SidekeyError.badInput([{ path: this.#name, problem, rule }], 'ERR_CONFIG');
  }

  #entriesOfDocuments(): unknown {
    const faults = this.#parsed.flatMap(({ errors, warnings }) => [...errors, ...warnings]);
    if (faults.length > 0) {
      const { offset, problem, rule } = plainFault(this.#text, faults);
      const { line, col } = this.#lines.linePos(offset);
      throw SidekeyError.badInput([{ path: `${this.#name}:${line}:${col}`, problem, rule }], 'ERR_CONFIG');
    }
    const fault = this.#firstFault();
    if (fault !== undefined) {
      const path = `${this.#name}:${this.#lines.linePos(fault.pos[0]).line}`;
      throw SidekeyError.badInput([{ path, problem: fault.message, rule: FILE_RULE }], 'ERR_CONFIG');
    }
    // Ignores documents that contain only comments, as after a separator at the end.
    const filled = this.#parsed.filter(({ contents }) => !(isScalar(contents) && contents.value === null));
    this.#documents = filled;
    const [first] = filled;
    if (filled.length <= 1) return this.#entriesOf(first && this.#valueOf(first), 0);
    const all: unknown[] = [];
    for (const [at, document] of filled.entries()) {
      const entries = this.#entriesOf(this.#valueOf(document), at);
      if (!Array.isArray(entries)) {
        const line = this.#lineIn(document, ['entries']);
        const path = `${this.#name}:${line}`;
        throw SidekeyError.badInput([{ path, problem: 'entries is not a list', rule: FILE_RULE }], 'ERR_CONFIG');
      }
      this.#starts.push(all.length);
      for (const entry of entries) all.push(entry);
    }
    return all;
  }

  /**
   * The first key that a map has twice, or the first alias beyond the maximum. Replaces the parser's own check of keys,
   * which compares each key with all others.
   */
  #firstFault(): { readonly message: string; readonly pos: readonly [number] } | undefined {
    let aliases = 0;
    for (const document of this.#parsed) {
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
            if (keys.has(key.value))
              return { message: `the key ${show(key.value)} occurs twice`, pos: [key.range![0]] };
            keys.add(key.value);
            nodes.push(value);
          }
        }
      }
    }
    return undefined;
  }

  /** The value of `entries` in a document; other fields are faults. @throws ERR_CONFIG */
  #entriesOf(value: unknown, at: number): unknown {
    const located = (problem: Problem): Problem => {
      const path = `${this.#name}:${this.#lineIn(this.#parsed[at], problem.path.split('/').slice(1))} ${problem.path}`;
      return { ...problem, path: path.trimEnd() };
    };
    const missing = { path: '', problem: 'it has no entries', rule: FILE_RULE };
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw SidekeyError.badInput([located(missing)], 'ERR_CONFIG');
    }
    const problems = problemsOf((place) => {
      for (const [key, member] of Object.entries(value)) {
        if (key === 'entries' || (snakeCase(key) === PAGE_TOKEN && member === '')) continue;
        if (snakeCase(key) === PAGE_TOKEN) {
          place.at(key).fault('it is not empty', PAGE_TOKEN_RULE);
          continue;
        }
        const meant = nearest(key, ['entries']) === undefined ? '' : '; did you mean entries?';
        place.at(key).fault(`there is no such field${meant}`, FILE_RULE);
      }
      if (!('entries' in value)) place.fault(missing.problem, missing.rule);
    });
    if (problems.length > 0) throw SidekeyError.badInput(problems.map(located), 'ERR_CONFIG');
    return (value as { entries: unknown }).entries;
  }

  /** The document as plain values. It may use aliases at most 100 times, so that a small file cannot exhaust memory. */
  #valueOf(document: Document.Parsed): unknown {
    try {
      return document.toJS({ maxAliasCount: 100 });
    } catch (thrown) {
      const path = `${this.#name}:${this.#lineIn(document, [])}`;
      throw SidekeyError.badInput([{ path, problem: (thrown as Error).message, rule: FILE_RULE }], 'ERR_CONFIG');
    }
  }

  get #parsed(): Document.Parsed[] {
    if (this.#documents === undefined) {
      const options = { lineCounter: this.#lines, prettyErrors: false, stringKeys: true, uniqueKeys: false };
      // Empty text has no documents.
      this.#documents = [...(parseAllDocuments(this.#text, options) as Document.Parsed[])];
    }
    return this.#documents;
  }

  /** The document of a JSON pointer, and the rest of the pointer inside it. */
  #place(keys: readonly string[]): [Document.Parsed | undefined, readonly string[]] {
    const [member, position, ...rest] = keys;
    if (this.#starts.length === 0 || member !== 'entries' || position === undefined) return [this.#parsed[0], keys];
    const at = this.#starts.findLastIndex((start) => start <= Number(position));
    return [this.#parsed[at], [member, String(Number(position) - this.#starts[at]!), ...rest]];
  }

  #lineIn(document: Document.Parsed | undefined, keys: readonly string[]): number {
    let node: unknown = document?.contents;
    let offset = document !== this.#parsed[0] && isNode(node) ? node.range![0] : 0;
    for (const key of keys) {
      const name = key.replaceAll('~1', '/').replaceAll('~0', '~');
      if (isAlias(node)) node = node.resolve(document!);
      if (isMap(node)) {
        const pair = node.items.find((one) => isScalar(one.key) && names(String(one.key.value), name));
        if (pair === undefined) break;
        offset = (pair.key as Scalar).range![0];
        node = pair.value;
      } else if (isSeq(node)) {
        node = node.items[Number(name)];
        if (isNode(node)) offset = node.range![0];
      }
    }
    return this.#lines.linePos(offset).line;
  }
}

/** The faults of a reader, up to the number that is reported for any input. */
function problemsOf(read: (place: Place) => void): readonly Problem[] {
  const problems: Problem[] = [];
  try {
    read(new Place('', problems));
  } catch (thrown) {
    if (thrown instanceof SidekeyError) return thrown.problems;
    throw thrown;
  }
  return problems;
}

/** Whether the key is the name in a JSON pointer, which may spell the key in snake case. */
function names(key: string, name: string): boolean {
  return key === name || snakeCase(key) === name;
}

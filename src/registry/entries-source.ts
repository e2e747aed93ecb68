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
  parseAllDocuments,
  type Scalar,
} from 'yaml';
import { type Problem, SidekeyError } from '../base/errors.ts';
import { nearest } from '../base/nearest.ts';
import { PAGE_TOKEN, PAGE_TOKEN_RULE, snakeCase } from './entry-names.ts';
import { readJson } from './unique-json.ts';

const FILE_RULE = 'the file is YAML or JSON with a list: entries: […]';

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
    // The JSON parser takes a tenth of the YAML parser's time; YAML parsing is left for finding lines.
    const json = readJson(text);
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
    return { ...problem, path: `${this.#name}:${this.line(problem.path)} ${problem.path}`.trimEnd() };
  }

  /** The line (from 1) of the value at a JSON pointer, or of its object if the value is missing. */
  line(pointer: string): number {
    const keys = pointer.split('/').slice(1);
    return this.#lineIn(...this.#place(keys));
  }

  #entriesOfDocuments(): unknown {
    const [fault] = this.#parsed.flatMap(({ errors, warnings }) => [...errors, ...warnings]);
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
    const problems: Problem[] = [];
    for (const [key, member] of Object.entries(value)) {
      if (key === 'entries' || (snakeCase(key) === PAGE_TOKEN && member === '')) continue;
      if (snakeCase(key) === PAGE_TOKEN) {
        problems.push({ path: `/${key}`, problem: 'it is not empty', rule: PAGE_TOKEN_RULE });
        continue;
      }
      const meant = nearest(key, ['entries']) === undefined ? '' : '; did you mean entries?';
      problems.push({ path: `/${key}`, problem: `there is no such field${meant}`, rule: FILE_RULE });
    }
    if (!('entries' in value)) problems.push(missing);
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
      const options = { lineCounter: this.#lines, prettyErrors: false, stringKeys: true };
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

/** True if the key is that of the JSON pointer, which may have it in snake case. */
function names(key: string, name: string): boolean {
  return key === name || snakeCase(key) === name;
}

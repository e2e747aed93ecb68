/**
 * Files of entries: YAML or JSON with an `entries` list, in the admin API's names or SPIRE's. A fault is told with the
 * file, the line and the rule.
 */

import { readFile } from 'node:fs/promises';
import { type Document, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument, type Scalar } from 'yaml';
import { type Problem, SidekeyError } from '../base/errors.ts';
import { nearest } from '../base/nearest.ts';
import { findTwins } from './entry.ts';
import { parseEntryInputs } from './entry-input.ts';
import type { EntryInput, EntryRules } from './types.ts';
import { readJson } from './unique-json.ts';

const READABLE_RULE = 'entries are in a YAML or JSON file, in UTF-8, that this user can read';
const FILE_RULE = 'the file is YAML or JSON with a list: entries: […]';

/** Reads a file of entries. @throws ERR_CONFIG with every problem; their paths are `FILE:LINE /entries/0/…` */
export async function loadEntriesFile(file: string, rules: EntryRules): Promise<EntryInput[]> {
  let text: string;
  try {
    // Refuses bytes that are no UTF-8, where a lenient reader would put another character in a selector.
    text = new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file));
  } catch (thrown) {
    const problem = `it can't be read: ${(thrown as Error).message}`;
    throw SidekeyError.badInput([{ path: file, problem, rule: READABLE_RULE }], 'ERR_CONFIG');
  }
  const source = new Source(file, text);
  const entries = source.entries();
  try {
    const inputs = parseEntryInputs(entries, {
      ...rules,
      warn: (warning) => rules.warn(source.locate(warning)),
    });
    const twins = findTwins(inputs);
    if (twins === undefined) return inputs;
    throw SidekeyError.badInput([
      {
        path: `/entries/${twins[1]}`,
        problem: `it is the same as the entry on line ${source.line(`/entries/${twins[0]}`)}`,
        rule: 'no two entries have one id, or the same SPIFFE ID, selectors and parent',
      },
    ]);
  } catch (thrown) {
    if (!(thrown instanceof SidekeyError)) throw thrown;
    throw source.error(thrown.problems);
  }
}

/** A file's text as values. JSON is read as such, in a tenth of the time, and as the YAML it is where a line is asked for. */
class Source {
  readonly #file: string;
  readonly #text: string;
  readonly #json: unknown;
  readonly #lines = new LineCounter();
  #yaml: Document.Parsed | undefined;

  constructor(file: string, text: string) {
    this.#file = file;
    this.#text = text;
    this.#json = readJson(text);
    if (this.#json !== undefined) return;
    const [fault] = [...this.#document.errors, ...this.#document.warnings];
    if (fault === undefined) return;
    const path = `${file}:${this.#lines.linePos(fault.pos[0]).line}`;
    throw SidekeyError.badInput([{ path, problem: fault.message, rule: FILE_RULE }], 'ERR_CONFIG');
  }

  get #document(): Document.Parsed {
    this.#yaml ??= parseDocument(this.#text, { lineCounter: this.#lines, prettyErrors: false, stringKeys: true });
    return this.#yaml;
  }

  /** What stands under `entries`, which must be all there is. @throws ERR_CONFIG */
  entries(): unknown {
    const value = this.#value();
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw this.error([{ path: '', problem: 'it has no entries', rule: FILE_RULE }]);
    }
    const problems: Problem[] = [];
    for (const key of Object.keys(value)) {
      if (key === 'entries') continue;
      const meant = nearest(key, ['entries']) === undefined ? '' : '; did you mean entries?';
      problems.push({ path: `/${key}`, problem: `there is no such field${meant}`, rule: FILE_RULE });
    }
    if (!('entries' in value)) problems.push({ path: '', problem: 'it has no entries', rule: FILE_RULE });
    if (problems.length > 0) throw this.error(problems);
    return (value as { entries: unknown }).entries;
  }

  /** The text as plain values. An alias may not be used more than 100 times: that is how a small file fills a memory. */
  #value(): unknown {
    if (this.#json !== undefined) return this.#json;
    try {
      return this.#document.toJS({ maxAliasCount: 100 });
    } catch (thrown) {
      throw this.error([{ path: '', problem: (thrown as Error).message, rule: FILE_RULE }]);
    }
  }

  error(problems: readonly Problem[]): SidekeyError {
    return SidekeyError.badInput(
      problems.map((problem) => this.locate(problem)),
      'ERR_CONFIG',
    );
  }

  locate(problem: Problem): Problem {
    return { ...problem, path: `${this.#file}:${this.line(problem.path)} ${problem.path}`.trimEnd() };
  }

  /** The line, from 1, of the member or element that a JSON pointer names; of what it would stand in where it is missing. */
  line(pointer: string): number {
    let node: unknown = this.#document.contents;
    let offset = 0;
    for (const key of pointer.split('/').slice(1)) {
      const name = key.replaceAll('~1', '/').replaceAll('~0', '~');
      if (isAlias(node)) node = node.resolve(this.#document);
      if (isMap(node)) {
        const pair = node.items.find((one) => isScalar(one.key) && String(one.key.value) === name);
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

/**
 * Entries as users write them: in one or more texts, each YAML (one or more documents) or JSON. A document has an `entries`
 * list, with the field names of the admin API or of SPIRE (also as `spire-server entry show -output json` prints it), or is
 * a manifest of spire-controller-manager.
 */

import { nearest, type Problem, SidekeyError } from '../base/index.ts';
import { PAGE_TOKEN, PAGE_TOKEN_RULE, Place, show, snakeCase } from '../registry/index.ts';
import type { Collected } from './collected.ts';
import { FILE_RULE, fileFault, readDocuments, type TextDocument } from './documents.ts';
import { isManifest, readManifest } from './manifest.ts';
import { RELATIONSHIPS_MEMBER, readFederationFile } from './relationships.ts';

/** Decodes UTF-8 and rejects invalid bytes; skips a byte order mark. @throws TypeError */
export function decodeText(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

export interface NamedText {
  /** In messages. */
  readonly name: string;
  readonly text: string;
}

/** An entry and its place. */
interface Item {
  readonly value: unknown;
  readonly name: string;
  readonly document: TextDocument;
  readonly keys: readonly string[];
  /** Its JSON pointer in messages: its position in the whole file, whose documents are joined. */
  readonly shown: string;
}

/** Maximum number of notes. */
const MOST_NOTES = 20;

export class EntriesSource {
  readonly #items: readonly Item[];
  readonly #relationships: readonly Item[];
  /** Things that were accepted, but have no effect; located. */
  readonly notes: readonly Problem[];
  /** What the texts have, in their order. */
  readonly entries: readonly unknown[];

  /** Federation relationships, in the form of federation.json. */
  readonly relationships: readonly unknown[];

  private constructor(items: readonly Item[], relationships: readonly Item[], notes: readonly Problem[]) {
    this.#items = items;
    this.#relationships = relationships;
    this.relationships = relationships.map(({ value }) => value);
    this.entries = items.map(({ value }) => value);
    this.notes = notes;
  }

  /**
   * @param apart whether long YAML is parsed in a thread of its own
   * @throws ERR_CONFIG with all problems of the texts' forms, each with its line; the entries are not checked
   */
  static async read(texts: readonly NamedText[], apart = false): Promise<EntriesSource> {
    const items: Item[] = [];
    const relationships: Item[] = [];
    const notes = new Map<string, Problem>();
    const problems: Problem[] = [];
    for (const { name, text } of texts) {
      try {
        const one = new TextReader(name, await readDocuments(name, text, apart));
        for (const item of one.items) items.push(item);
        relationships.push(...one.relationships);
        for (const note of one.notes)
          if (notes.size < MOST_NOTES && !notes.has(note.problem)) notes.set(note.problem, note);
      } catch (thrown) {
        if (!(thrown instanceof SidekeyError)) throw thrown;
        problems.push(...thrown.problems);
      }
    }
    if (problems.length > 0) throw SidekeyError.badInput(problems, 'ERR_CONFIG');
    return new EntriesSource(items, relationships, [...notes.values()]);
  }

  error(problems: readonly Problem[]): SidekeyError {
    return SidekeyError.badInput(
      problems.map((problem) => this.locate(problem)),
      'ERR_CONFIG',
    );
  }

  /**
   * The problem with file and line in its path: `FILE:LINE /entries/0/…` for `/entries/…`, counted over all texts. Another
   * entry that the problem names gets its file and line too.
   */
  locate(problem: Problem): Problem {
    const [, index, rest = ''] = /^\/entries\/(\d+)(\/.*)?$/.exec(problem.path) ?? [];
    const item = index === undefined ? undefined : this.#items[Number(index)];
    const named = problem.problem.replace(/the same as \/entries\/(\d+)$/, (words, other: string) => {
      const { name, line } = this.placeOf(Number(other)) ?? {};
      return name === undefined
        ? words
        : `the same as the entry ${name === item?.name ? '' : `in ${name} `}on line ${line}`;
    });
    if (item === undefined)
      return { ...problem, problem: named, path: `${this.#items[0]?.name ?? ''} ${problem.path}`.trim() };
    const line = item.document.lineAt([...item.keys, ...keysOf(rest)]);
    return { ...problem, problem: named, path: `${item.name}:${line} ${item.shown}${rest}` };
  }

  /** The same for a problem of the relationship at this position, whose path begins below that. */
  locateRelationship(problem: Problem, index: number): Problem {
    const { name, document, keys, shown } = this.#relationships[index]!;
    return {
      ...problem,
      path: `${name}:${document.lineAt([...keys, ...keysOf(problem.path)])} ${shown}${problem.path}`,
    };
  }

  /** File and line of the entry at this position. */
  placeOf(index: number): { readonly name: string; readonly line: number } | undefined {
    const item = this.#items[index];
    return item && { name: item.name, line: item.document.lineAt(item.keys) };
  }
}

function keysOf(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** Finds the entries in the documents of one text. */
class TextReader implements Collected {
  readonly #name: string;
  #document: TextDocument;
  readonly items: Item[] = [];
  readonly relationships: Item[] = [];
  readonly notes: Problem[] = [];

  /** @throws ERR_CONFIG with all problems */
  constructor(name: string, documents: readonly TextDocument[]) {
    this.#name = name;
    const [first] = documents;
    if (first === undefined) throw fileFault(`${name}:1`, 'it has no entries', FILE_RULE);
    this.#document = first;
    const problems: Problem[] = [];
    for (const document of documents) {
      this.#document = document;
      problems.push(...problemsOf((place) => this.#read(document.value, place)).map((one) => this.#located(one)));
    }
    if (problems.length > 0) throw SidekeyError.badInput(problems, 'ERR_CONFIG');
  }

  entry(value: unknown, keys: readonly string[], shown = `/${keys.join('/')}`): void {
    this.items.push({ value, name: this.#name, document: this.#document, keys, shown });
  }

  relationship(value: unknown, keys: readonly string[]): void {
    const shown = `/${keys.join('/')}`;
    this.relationships.push({ value, name: this.#name, document: this.#document, keys, shown });
  }

  note(keys: readonly string[], problem: string, rule: string): void {
    this.notes.push({ path: `${this.#name}:${this.#document.lineAt(keys)}`, problem, rule });
  }

  #located(problem: Problem): Problem {
    const path = `${this.#name}:${this.#document.lineAt(keysOf(problem.path))} ${problem.path}`;
    return { ...problem, path: path.trimEnd() };
  }

  #read(value: unknown, place: Place): void {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      place.fault('it has no entries', FILE_RULE);
    } else if (isManifest(value)) readManifest(value, [], place, this);
    else if (RELATIONSHIPS_MEMBER in value) readFederationFile(value, place, this);
    else this.#readEntries(value, place);
  }

  #readEntries(value: object, place: Place): void {
    for (const [key, member] of Object.entries(value)) {
      if (key === 'entries') continue;
      if (snakeCase(key) === PAGE_TOKEN) {
        if (member !== '') place.at(key).fault('it is not empty', PAGE_TOKEN_RULE);
        continue;
      }
      const meant = nearest(key, ['entries']) === undefined ? '' : '; did you mean entries?';
      place.at(key).fault(`there is no such field${meant}`, FILE_RULE);
    }
    if (!('entries' in value)) place.fault('it has no entries', FILE_RULE);
    else if (!Array.isArray(value.entries)) {
      place.at('entries').fault(`it is ${show(value.entries)}, not a list`, FILE_RULE);
    } else {
      for (const [at, entry] of value.entries.entries()) {
        this.entry(entry, ['entries', String(at)], `/entries/${this.items.length}`);
      }
    }
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

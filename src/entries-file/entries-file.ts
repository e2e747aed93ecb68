/** Reads entries files. Each problem has the file, the line and the rule. */

import { type Problem, readInputFile, SidekeyError } from '../base/index.ts';
import { type EntryInput, type EntryRules, findTwins, parseEntryInputs } from '../registry/index.ts';
import { decodeText, EntriesSource, MAX_ENTRIES_BYTES } from './entries-source.ts';

const READABLE_RULE = 'entries are in a YAML or JSON file, in UTF-8, that this user can read';

/** The entries of a file. */
export interface DeclaredEntries {
  readonly file: string;
  readonly inputs: readonly EntryInput[];
  /** Adds file and line to a problem's path: `FILE:LINE /entries/0/…`. */
  locate(problem: Problem): Problem;
  /** The line of the entry at this position, from 1; undefined in a JSON file that is too long. */
  lineOf(index: number): number | undefined;
}

/** Reads an entries file. @throws ERR_CONFIG with all problems; their paths are `FILE:LINE /entries/0/…` */
export async function loadEntriesFile(
  file: string,
  rules: EntryRules,
  maxBytes: number = MAX_ENTRIES_BYTES,
): Promise<DeclaredEntries> {
  let text: string;
  try {
    text = decodeText(await readInputFile(file, maxBytes));
  } catch (thrown) {
    const problem = `it can't be read: ${(thrown as Error).message}`;
    throw SidekeyError.badInput([{ path: file, problem, rule: READABLE_RULE }], 'ERR_CONFIG');
  }
  const source = new EntriesSource(file, text);
  try {
    const inputs = parseEntryInputs(source.entries, rules);
    const twins = findTwins(inputs);
    if (twins === undefined) {
      return {
        file,
        inputs,
        locate: (problem) => source.locate(problem),
        lineOf: (at) => source.line(`/entries/${at}`),
      };
    }
    throw SidekeyError.badInput([
      {
        path: `/entries/${twins[1]}`,
        problem: `it is the same as ${nameOf(twins[0], source)}`,
        rule: 'no two entries have one id, or the same SPIFFE ID, selectors and parent',
      },
    ]);
  } catch (thrown) {
    if (!(thrown instanceof SidekeyError)) throw thrown;
    throw source.error(thrown.problems);
  }
}

function nameOf(index: number, source: EntriesSource): string {
  const pointer = `/entries/${index}`;
  const line = source.line(pointer);
  return line === undefined ? pointer : `the entry on line ${line}`;
}

/** Reads files of entries. Each problem has the file, the line and the rule. */

import { type Problem, SidekeyError } from '../base/index.ts';
import { type EntryInput, type EntryRules, readEntryInputs, TwinFinder, twinProblem } from '../registry/index.ts';
import { EntriesSource } from './entries-source.ts';
import { readInputTexts } from './input-texts.ts';

/** The entries of a file or of a folder's files. */
export interface DeclaredEntries {
  /** The file or folder. */
  readonly file: string;
  /** See {@link readInputTexts}. */
  readonly version: string;
  readonly inputs: readonly EntryInput[];
  /** Things that were accepted, but have no effect; located. */
  readonly notes: readonly Problem[];
  /** Adds file and line to a problem's path: `FILE:LINE /entries/0/…`. */
  locate(problem: Problem): Problem;
  /** File and line (from 1) of the entry at this position. */
  placeOf(index: number): { readonly name: string; readonly line: number } | undefined;
}

export interface LoadOptions {
  /** Maximum size of a file, in bytes. */
  readonly maxBytes?: number;
  /** Whether long YAML is parsed in a thread of its own, since the event loop has other work. */
  readonly apart?: boolean;
}

/**
 * Reads a file of entries, or all files of a folder.
 * @throws ERR_CONFIG with all problems; their paths are `FILE:LINE /entries/0/…`
 */
export async function loadEntriesFile(
  file: string,
  rules: EntryRules,
  { maxBytes, apart = false }: LoadOptions = {},
): Promise<DeclaredEntries> {
  const { texts, version } = await readInputTexts(file, maxBytes);
  const source = await EntriesSource.read(texts, apart);
  try {
    const inputs = await readEntryInputs(source.entries, rules);
    const finder = new TwinFinder();
    const problems: Problem[] = [];
    for (const [index, input] of inputs.entries()) {
      const earlier = finder.add(input, index);
      if (earlier !== undefined) problems.push(twinProblem(earlier, index));
    }
    if (problems.length > 0) throw SidekeyError.badInput(problems.slice(0, MOST_TWINS));
    return {
      ...{ file, version, inputs, notes: [...source.notes, ...leftOut(source, file)] },
      locate: (problem) => source.locate(problem),
      placeOf: (index) => source.placeOf(index),
    };
  } catch (thrown) {
    if (!(thrown instanceof SidekeyError)) throw thrown;
    throw source.error(thrown.problems);
  }
}

/** The server takes entries from its file; whom it trusts is decided by the admin role alone. */
function leftOut({ relationships }: EntriesSource, file: string): Problem[] {
  if (relationships.length === 0) return [];
  const problem = `${relationships.length === 1 ? 'a federation relationship is' : `${relationships.length} federation relationships are`} left out`;
  return [{ path: file, problem, rule: 'make relationships with sidekey apply or sidekey federation create' }];
}

/** Maximum number of reported duplicates. */
const MOST_TWINS = 100;

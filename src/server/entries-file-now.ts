/** Compares the entries file, as it is now, with the entries in use. */

import { stat } from 'node:fs/promises';
import type { DoctorJson } from '../admin/index.ts';
import { FILE_SOURCE, SidekeyError } from '../base/index.ts';
import type { EntryRules, Registry } from '../registry/index.ts';
import { readDeclared } from './declared-entries.ts';

/** Larger files are not compared, in bytes: parsing blocks the event loop. */
const MAX_BYTES = 256 * 1024;
/** Maximum number of problems in the answer. */
const SHOWN = 5;

/** What a reload of the file would do. Changes nothing. */
export async function entriesFileNow(
  file: string,
  rules: EntryRules,
  registry: Registry,
): Promise<NonNullable<DoctorJson['entries_file']>> {
  const answer = { path: file, problems: [], pending: 0, unchecked: null };
  const stats = await stat(file).catch(() => undefined);
  // Reading a pipe would take its content away from the next reload.
  if (stats?.isFile() === false) return { ...answer, unchecked: 'it is not a regular file' };
  if (stats !== undefined && stats.size > MAX_BYTES) return { ...answer, unchecked: `it has ${stats.size} bytes` };
  try {
    const { inputs } = await readDeclared(file, rules, MAX_BYTES);
    const { created, changed, deleted } = await registry.replaceSource(FILE_SOURCE, inputs, { dryRun: true });
    return { ...answer, pending: created.length + changed.length + deleted.length };
  } catch (thrown) {
    const { problems, message } = SidekeyError.from(thrown);
    const list = problems.length === 0 ? [{ path: file, problem: message, rule: '' }] : problems;
    return { ...answer, problems: list.slice(0, SHOWN).map(({ path, problem, rule }) => ({ path, problem, rule })) };
  }
}

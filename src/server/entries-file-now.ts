/** Compares the entries file, as it is now, with the entries in use. */

import { stat } from 'node:fs/promises';
import type { DoctorJson } from '../admin/index.ts';
import { FILE_SOURCE, SidekeyError } from '../base/index.ts';
import type { EntryRules, Registry } from '../registry/index.ts';
import { readDeclared } from './declared-entries.ts';

/** Larger files are not compared, in bytes: parsing blocks the event loop. */
const MAX_BYTES = 256 * 1024;
/** Folders with more files are not compared. */
const MAX_FILES = 100;
/** Maximum number of problems in the answer. */
const SHOWN = 5;

/** What a reload of the file would do. Changes nothing. */
export async function entriesFileNow(
  file: string,
  rules: EntryRules,
  registry: Registry,
): Promise<NonNullable<DoctorJson['entries_file']>> {
  const answer = { path: file, problems: [], pending: 0, unchecked: null };
  const unchecked = await whyUnchecked(file);
  if (unchecked !== undefined) return { ...answer, unchecked };
  try {
    const { inputs } = await readDeclared(file, rules, true);
    const { created, changed, deleted } = await registry.replaceSource(FILE_SOURCE, inputs, { dryRun: true });
    return { ...answer, pending: created.length + changed.length + deleted.length };
  } catch (thrown) {
    const { problems, message } = SidekeyError.from(thrown);
    const list = problems.length === 0 ? [{ path: file, problem: message, rule: '' }] : problems;
    return { ...answer, problems: list.slice(0, SHOWN).map(({ path, problem, rule }) => ({ path, problem, rule })) };
  }
}

/** Undefined also for a file that can not be read, which its reader reports. */
async function whyUnchecked(place: string): Promise<string | undefined> {
  const stats = await stat(place).catch(() => undefined);
  if (stats === undefined) return undefined;
  // Reading a pipe would take its content away from the next reload.
  if (!stats.isFile() && !stats.isDirectory()) return 'it is neither a regular file nor a folder';
  let { size } = stats;
  if (stats.isDirectory()) {
    const { filesIn } = await import('../entries-file/index.ts');
    const files = await filesIn(place).catch(() => []);
    const sizes = await Promise.all(
      files.slice(0, MAX_FILES).map((file) =>
        stat(file).then(
          (one) => one.size,
          () => 0,
        ),
      ),
    );
    size = files.length > MAX_FILES ? Number.POSITIVE_INFINITY : sizes.reduce((sum, one) => sum + one, 0);
  }
  return size > MAX_BYTES ? `it has more than ${MAX_BYTES} bytes` : undefined;
}

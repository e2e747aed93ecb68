/** Reports entries for programs that are not on this machine. */

import { missingPrograms } from '../attest/index.ts';
import { changeEntry, type DeclaredAt, type Finding } from '../base/index.ts';
import type { Selector } from '../spiffe/index.ts';

/** An entry as the admin API shows it. */
interface ListedEntry {
  readonly id: string;
  readonly spiffe_id: string;
  readonly selectors: readonly Pick<Selector, 'type' | 'value' | 'negated'>[];
  readonly allow_contained: boolean;
}

/**
 * @param placeOf where an entry is declared
 * @param server its pid
 */
export async function judgePrograms<E extends ListedEntry>(
  entries: readonly E[],
  placeOf: (entry: E) => DeclaredAt,
  server: number,
): Promise<Finding[]> {
  const missing = await missingPrograms(
    entries.map(({ selectors, allow_contained: allowContained }) => ({ selectors, allowContained })),
  );
  return missing.map(({ index, file }): Finding => {
    const entry = entries[index]!;
    const what = 'if the path is wrong, correct it, and keep the other selectors';
    return {
      rule: 'entry-program',
      severity: 'info',
      place: `entry ${entry.id}`,
      problem: `the entry of ${entry.spiffe_id} is for the program ${file}, and this machine has no such file`,
      why: 'a caller must have all selectors of an entry, and only a process that runs this file has this one',
      fix: `install the program there; or, ${changeEntry(placeOf(entry), what, `sidekey entry update ${entry.id} --selector …`, server)}; sidekey explain --pid PID shows the path of a process`,
    };
  });
}

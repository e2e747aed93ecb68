/** Deletes several objects one after the other. */

import { report } from './errors.ts';
import { type OutputFormat, printTable, printView } from './output.ts';

/**
 * Deletes the objects; goes on after one that can't be deleted.
 * @param more further parts of the output
 * @throws the error itself if there is one object; for several, Error (exit status 1) after printing each reason
 */
export async function deleteAll(
  names: readonly string[],
  format: OutputFormat,
  deleteOne: (name: string) => Promise<void>,
  more: { readonly value: () => object; readonly table: (wide: boolean) => void } = NO_MORE,
): Promise<void> {
  const deleted: string[] = [];
  const [only, ...others] = names;
  if (others.length === 0) {
    await deleteOne(only!);
    deleted.push(only!);
  } else {
    for (const name of names) {
      try {
        await deleteOne(name);
        deleted.push(name);
      } catch (thrown) {
        report(thrown);
      }
    }
  }
  await printView(format, {
    value: { deleted: others.length === 0 ? only : deleted, ...more.value() },
    names: deleted,
    table: (wide) => {
      for (const name of deleted) printTable([`deleted ${name}`], []);
      more.table(wide);
    },
  });
  if (deleted.length < names.length) throw new Error(`deleted ${deleted.length} of ${names.length}`);
}

const NO_MORE = { value: () => ({}), table: () => undefined };

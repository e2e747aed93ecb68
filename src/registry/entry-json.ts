/** Writes an entry in the form of the admin API, command line output and files. */

import { ENTRY_FIELD_LIST, type Entry, type EntryJson } from './entry-fields.ts';

export type { EntryJson } from './entry-fields.ts';

export function entryToJson(entry: Entry): EntryJson {
  const json: Record<string, unknown> = {};
  for (const [key, { name, show }] of ENTRY_FIELD_LIST) json[name] = show(entry[key] as never);
  return json as EntryJson;
}

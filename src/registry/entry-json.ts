/** Writes an entry in the form of the admin API, command line output and files, and reads what another Sidekey wrote so. */

import { isDeepStrictEqual } from 'node:util';
import { ENTRY_FIELD_LIST, type Entry, type EntryJson } from './entry-fields.ts';
import type { EntryRules } from './entry-rules.ts';
import { parseRfc3339 } from './instant.ts';
import { collect, Place, readObject, readText, show } from './place.ts';

export type { EntryJson } from './entry-fields.ts';

export function entryToJson(entry: Entry): EntryJson {
  const json: Record<string, unknown> = {};
  for (const [key, { name, show }] of ENTRY_FIELD_LIST) json[name] = show(entry[key] as never);
  return json as EntryJson;
}

const WRITTEN_RULE = 'it has the form in which this version of Sidekey writes entries';

/**
 * Reads an entry exactly as {@link entryToJson} writes it, with its id, times, revision and source. An entry with a field that
 * this version does not know is refused, because it could grant less than it seems. @throws ERR_BAD_INPUT with all problems
 */
export function entryFromJson(value: unknown, rules: EntryRules): Entry {
  return collect((problems) => {
    const place = new Place('', problems);
    const object = readObject(value, place, WRITTEN_RULE);
    if (object === undefined) return undefined;
    const entry: Record<string, unknown> = {};
    for (const name of Object.keys(object)) {
      if (!NAMES.has(name)) place.at(name).fault('there is no such field', WRITTEN_RULE);
    }
    for (const [key, { name, read }] of ENTRY_FIELD_LIST) {
      const at = place.at(name);
      if (!Object.hasOwn(object, name)) at.fault('it is missing', WRITTEN_RULE);
      else entry[key] = read === undefined ? readOwn(key, object[name], at) : read(object[name], at, rules);
    }
    if (problems.length > 0) return undefined;
    // Readers accept several forms of a value, and only one of them is written.
    const again = entryToJson(entry as Entry);
    for (const [, { name }] of ENTRY_FIELD_LIST) {
      if (!isDeepStrictEqual(again[name], object[name])) place.at(name).fault('it is in another form', WRITTEN_RULE);
    }
    return entry as Entry;
  });
}

const NAMES: ReadonlySet<string> = new Set(ENTRY_FIELD_LIST.map(([, { name }]) => name));

/** A field that the registry sets. */
function readOwn(key: keyof Entry, value: unknown, place: Place): unknown {
  if (key === 'source') return readText(value, place, 'it is the name of a source');
  if (key === 'revisionNumber') {
    const isCount = typeof value === 'number' && Number.isSafeInteger(value) && value >= 1;
    return isCount ? value : place.fault(`it is ${show(value)}`, 'it is a whole number from 1');
  }
  const instant = typeof value === 'string' ? parseRfc3339(value) : undefined;
  return instant ?? place.fault(`it is ${show(value)}`, 'it is an RFC 3339 time');
}

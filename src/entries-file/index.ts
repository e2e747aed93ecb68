/** Files of entries, in YAML or JSON: reads them, finds the line of each entry, and follows their changes. */

export { type DeclaredEntry, type DeclaredPlace, declaredLines } from './declared-lines.ts';
export { type DeclaredEntries, loadEntriesFile } from './entries-file.ts';
export { decodeText, EntriesSource } from './entries-source.ts';
export { filesIn, readInputTexts } from './input-texts.ts';
export { parseWithList } from './json-list.ts';
export { watchInputs } from './watch.ts';

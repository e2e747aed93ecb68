/** Entries files, in YAML or JSON: reads them, and finds the line of each entry. */

export { type DeclaredEntry, declaredLines } from './declared-lines.ts';
export { type DeclaredEntries, loadEntriesFile } from './entries-file.ts';
export { decodeText, EntriesSource } from './entries-source.ts';

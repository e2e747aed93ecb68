/** Writes schema/entries.schema.json, with which editors check entries files. */

import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { entriesFileSchema } from '../src/registry/entry-schema.ts';

export function writeEntriesSchema(root: string): void {
  const folder = path.join(root, 'schema');
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'entries.schema.json'), `${JSON.stringify(entriesFileSchema(), undefined, 2)}\n`);
}

/** The table in docs/metrics.md, made of the families. `scripts/node test/metrics/document.ts --write` writes it. */

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { FAMILIES } from '../../src/metrics/families.ts';

export const DOCUMENT = path.resolve(import.meta.dirname, '../../docs/metrics.md');
const [BEGIN, END] = ['<!-- table -->\n', '<!-- end of the table -->\n'];

export function table(): string {
  const rows = Object.entries(FAMILIES).map(([name, { type, unit, labels, meaning }]) => {
    const shown = labels.map((label) => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${type} | ${unit || '–'} | ${shown || '–'} | ${meaning} |`;
  });
  return ['| name | type | unit | labels | meaning |', '|---|---|---|---|---|', ...rows, ''].join('\n');
}

/** The document with this table in the place of its own. */
export function withTable(document: string, rows: string): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin === -1 || end === -1) throw new Error(`docs/metrics.md needs the lines ${BEGIN}and ${END}`);
  return `${document.slice(0, begin + BEGIN.length)}${rows}${document.slice(end)}`;
}

if (process.argv[1] === import.meta.filename && process.argv.includes('--write')) {
  writeFileSync(DOCUMENT, withTable(readFileSync(DOCUMENT, 'utf8'), table()));
}

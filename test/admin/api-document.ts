/** The table of routes in docs/api.md, from the OpenAPI document; `--write` puts it there. */

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { adminDocument } from '../../scripts/admin-document.ts';

const FILE = path.resolve(import.meta.dirname, '../../docs/api.md');
const PLACE = /(?<=<!-- routes -->\n).*?(?=<!-- end of routes -->)/s;

/** The text of the file as it is, and as it should be. */
export async function routesDocument(): Promise<{ readonly now: string; readonly due: string }> {
  const { paths } = await adminDocument('');
  const rows = Object.entries(paths).flatMap(([url, methods]) =>
    Object.entries(methods).map(([method, { summary, operationId, 'x-role': role }]) => {
      const needs = role === 'open' ? '–' : `\`${role}\``;
      return `| \`${method.toUpperCase()} ${url}\` | ${needs} | \`${operationId}\` | ${summary} |`;
    }),
  );
  const table = ['| method and path | role | function of the client | does |', '|---|---|---|---|', ...rows, ''];
  const now = readFileSync(FILE, 'utf8');
  return { now, due: now.replace(PLACE, () => table.join('\n')) };
}

if (process.argv.includes('--write')) writeFileSync(FILE, (await routesDocument()).due);

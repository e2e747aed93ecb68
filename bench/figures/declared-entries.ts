/** Many declared entries: applied by `sidekey apply`, listed by page, and loaded at a start. */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { makePlace, ROOT, type Served, serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile, round } from '../figure.ts';

const APPLIED = 10_000;
const STORED = 100_000;
const PAGES = 200;
const RUNS = 5;

/** Entries of 20 users, each with a program of its own. */
function entries(from: number, to: number) {
  return Array.from({ length: to - from }, (_, at) => {
    const n = from + at;
    const selectors = [`unix:uid:${n % 20}`, `unix:path:/srv/app-${n}/bin`];
    return { spiffe_id: `spiffe://${TRUST_DOMAIN}/bench/${n}`, selectors };
  });
}

export async function applyEntries(cleanup: Cleanup): Promise<Figure[]> {
  const first: number[] = [];
  const again: number[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    await cleanup.within(async (inner) => {
      const server = await serve(inner, { logLevel: 'info' });
      const file = path.join(server.directory, 'entries.json');
      writeFileSync(file, JSON.stringify({ entries: entries(0, APPLIED) }));
      first.push(apply(server, file, `${APPLIED} created`));
      again.push(apply(server, file, `${APPLIED} unchanged`));
    });
  }
  const how = `median of ${RUNS} runs of bin/sidekey apply -f on a JSON file of ${APPLIED} entries with two selectors, from its start to its end`;
  return [
    { name: 'apply-10000', value: percentile(first, 0.5), unit: 'ms', compared_with: { reach: 2_000 }, how },
    {
      name: 'apply-10000-unchanged',
      value: percentile(again, 0.5),
      unit: 'ms',
      compared_with: { reach: 600 },
      how: `${how}, when the server has them`,
    },
  ];
}

function apply(server: Served, file: string, says: string): number {
  const begun = performance.now();
  const args = ['apply', '-f', file, '--admin-socket', server.adminSocket];
  const { stdout, stderr } = spawnSync(path.join(ROOT, 'bin/sidekey'), args, { encoding: 'utf8' });
  const took = performance.now() - begun;
  if (!stdout.includes(says)) throw new Error(`sidekey apply: ${stdout.slice(0, 200)} ${stderr}`);
  return took;
}

export async function manyEntries(cleanup: Cleanup): Promise<Figure[]> {
  const place = makePlace(cleanup);
  const server = await serve(cleanup, { place, logLevel: 'info' });
  for (let at = 0; at < STORED; at += APPLIED) {
    const body = { source: `part-${at}`, entries: entries(at, at + APPLIED) };
    const { status } = await server.request('PUT', '/v1/entries', body);
    if (status !== 200) throw new Error(`PUT /v1/entries answered ${status}`);
  }
  const pages: number[] = [];
  let cursor = '';
  for (let page = 0; page < PAGES; page += 1) {
    const begun = performance.now();
    const { body } = await server.request('GET', `/v1/entries?limit=100${cursor && `&cursor=${cursor}`}`);
    pages.push(performance.now() - begun);
    if (body.entries.length !== 100) throw new Error(`a page has ${body.entries.length} entries`);
    cursor = body.next_cursor;
  }
  await server.stop();
  const starts: number[] = [];
  for (let run = 0; run < RUNS; run += 1) {
    await cleanup.within(async (inner) => {
      const begun = performance.now();
      const started = await serve(inner, { place, logLevel: 'info' });
      starts.push(performance.now() - begun);
      await started.stop();
    });
  }
  return [
    {
      name: 'list-page',
      value: percentile(pages, 0.5),
      unit: 'ms',
      compared_with: { reach: 5, p99: percentile(pages, 0.99), longest: round(Math.max(...pages)) },
      how: `p50 of ${PAGES} pages of 100 out of ${STORED} entries, each with the cursor of the page before, over the Unix socket`,
    },
    {
      name: 'start-100000',
      value: percentile(starts, 0.5),
      unit: 'ms',
      compared_with: { reach: 1_500 },
      how: `median of ${RUNS} starts of bin/sidekey serve with ${STORED} stored entries, from the start of the process to its line that it serves`,
    },
  ];
}

/** A data directory of which one half is missing: the database, or the authorities. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { makePlace, type Place, serve, spawnServe, TRUST_DOMAIN } from '../support/serve.ts';

/** A place that a server has used: one entry, and the authorities. */
async function used(t: TestContext): Promise<Place> {
  const place = makePlace(t);
  const server = await serve(t, { place });
  const { status } = await server.request('POST', '/v1/entries', {
    spiffe_id: `spiffe://${TRUST_DOMAIN}/web`,
    selectors: ['unix:uid:4000000'],
  });
  assert.equal(status, 201);
  await server.stop();
  return place;
}

async function refusal(place: Place, flags: readonly string[] = []): Promise<string> {
  const child = spawnServe(place, flags);
  let stderr = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdout!.resume();
  const [code] = await once(child, 'close');
  assert.equal(code, 1, stderr);
  return stderr;
}

test('a database in use without its authorities is refused, and --new-root makes a new root', async (t) => {
  const place = await used(t);
  const ca = path.join(place.dataDir, 'ca');
  const away = path.join(place.directory, 'ca-away');
  renameSync(ca, away);
  const stderr = await refusal(place);
  assert.match(stderr, /ERR_DATA_DIR/);
  assert.ok(stderr.includes(path.join(place.dataDir, 'sidekey.db')) && stderr.includes(ca), stderr);
  assert.match(stderr, /--new-root/);
  assert.equal(existsSync(ca), false, 'nothing was made');

  const server = await serve(t, { place, flags: ['--new-root'] });
  await server.logged('the authorities are missing: creating a new root because of --new-root');
  await server.stop();
  rmSync(ca, { recursive: true });
  renameSync(away, ca);
  await serve(t, { place });
});

test('authorities without their database are refused, and --new-root begins with no entries', async (t) => {
  const place = await used(t);
  for (const file of ['sidekey.db', 'sidekey.db-wal', 'sidekey.db-shm']) {
    rmSync(path.join(place.dataDir, file), { force: true });
  }
  const stderr = await refusal(place);
  assert.match(stderr, /ERR_DATA_DIR/);
  assert.ok(stderr.includes('sidekey.db') && stderr.includes(path.join(place.dataDir, 'ca')), stderr);
  assert.equal(existsSync(path.join(place.dataDir, 'sidekey.db')), false, 'nothing was made');
  const server = await serve(t, { place, flags: ['--new-root'] });
  assert.deepEqual((await server.request('GET', '/v1/entries')).body.entries, []);
});

test('a first start that ended between the two halves goes on', async (t) => {
  const place = makePlace(t);
  await (await serve(t, { place })).stop();
  rmSync(path.join(place.dataDir, 'ca'), { recursive: true });
  await serve(t, { place });
});

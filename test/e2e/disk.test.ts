/** A disk that is full or read-only, under a real server: what it answers, what it keeps, and how it heals. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import Sqlite from 'better-sqlite3';
import { chainOf, namesOf, SdsClient, type SdsStream, secretOf } from '../support/sds-client.ts';
import { type Answer, makePlace, type Place, type Served, serve, spawnServe, TRUST_DOMAIN } from '../support/serve.ts';
import { makeSmallDisk, type SmallDisk, whyNoSmallDisk } from '../support/small-disk.ts';

const MINE = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
const skip = whyNoSmallDisk() ?? false;

const entry = (name: string) => ({ spiffe_id: `spiffe://${TRUST_DOMAIN}/${name}`, selectors: MINE });

function placeOn(t: TestContext, kib: number): Place & { disk: SmallDisk } {
  const disk = makeSmallDisk(t, kib);
  return { ...makePlace(t), disk, dataDir: path.join(disk.directory, 'data') };
}

function assertFull({ status, headers, body }: Answer): void {
  assert.equal(status, 500);
  assert.match(headers['content-type']!, /^application\/problem\+json/);
  assert.equal(body.code, 'ERR_STORE');
  assert.match(body.detail, /sidekey\.db could not be written: database or disk is full$/);
}

/** What the server lists, by name, with the hint of each. */
async function listed(server: Served): Promise<string[]> {
  const names: string[] = [];
  let cursor = '';
  do {
    const { body } = await server.request('GET', `/v1/entries?limit=1000&cursor=${cursor}`);
    for (const { spiffe_id, hint } of body.entries) names.push(`${path.basename(spiffe_id)} ${hint}`);
    cursor = body.next_cursor;
  } while (cursor !== '');
  return names.sort();
}

function openStream(t: TestContext, server: Served, name: string): SdsStream {
  const client = new SdsClient(server.socket);
  t.after(() => client.close());
  const stream = client.stream();
  stream.ask(`spiffe://${TRUST_DOMAIN}/${name}`);
  return stream;
}

/** Runs a server until it serves or ends; the status and stderr of one that ended. */
async function tryServe(t: TestContext, place: Place): Promise<{ code: number | null; stderr: string } | 'serves'> {
  const child = spawnServe(place, []);
  t.after(() => child.kill('SIGKILL'));
  const ended = once(child, 'close');
  let stderr = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const serves = await new Promise<boolean>((resolve) => {
    child.stdout!.on('data', (text: Buffer) => text.includes('"serving"') && resolve(true));
    void ended.then(() => resolve(false));
  });
  child.kill();
  const [code] = (await ended) as [number | null];
  return serves ? 'serves' : { code, stderr };
}

describe('on a disk that is full', { skip, concurrency: 2, timeout: 60_000 }, () => {
  it('every write is refused and changes nothing, and all is well when there is space again', async (t) => {
    const place = placeOn(t, 2048);
    const server = await serve(t, { place });
    const { body: made } = await server.request('POST', '/v1/entries', entry('first'));
    place.disk.fill();
    const batch = { entries: Array.from({ length: 50 }, (_, n) => entry(`batch-${n}`)) };
    assertFull(await server.request('POST', '/v1/entries', entry('second')));
    assertFull(await server.request('POST', '/v1/entries', batch));
    assertFull(await server.request('PATCH', `/v1/entries/${made.id}`, { hint: 'changed' }));
    assertFull(await server.request('PUT', '/v1/entries', { source: 'tool', entries: batch.entries }));
    assertFull(await server.request('DELETE', `/v1/entries/${made.id}`));
    assert.deepEqual(await listed(server), ['first ']);
    assert.equal((await server.request('GET', '/readyz')).status, 200);
    place.disk.free();
    assert.equal((await server.request('PATCH', `/v1/entries/${made.id}`, { hint: 'changed' })).status, 200);
    assert.equal((await server.request('POST', '/v1/entries', batch)).status, 201);
    const there = await listed(server);
    assert.equal(there.length, 51);
    await server.stop('SIGKILL');
    assert.deepEqual(await listed(await serve(t, { place })), there);
  });

  it('no SVID leaves that is not on record; a stream that waits has it soon after there is space', async (t) => {
    const place = placeOn(t, 2048);
    const server = await serve(t, { place });
    await server.request('POST', '/v1/entries', entry('web'));
    place.disk.fill();
    const stream = openStream(t, server, 'web');
    assert.equal((await server.logged('name held')).reason, 'issuance-failed');
    const fetcher = new SdsClient(server.socket);
    t.after(() => fetcher.close());
    await assert.rejects(fetcher.fetch({ resourceNames: [`spiffe://${TRUST_DOMAIN}/web`] }), { code: 14 });
    assert.equal(stream.received, 0);
    place.disk.free();
    const response = await stream.next();
    const [name] = namesOf(response);
    const serial = chainOf(secretOf(response, name!))[0]!.serialNumber.toLowerCase();
    const db = new Sqlite(path.join(place.dataDir, 'sidekey.db'), { readonly: true });
    t.after(() => db.close());
    assert.deepEqual(db.prepare('SELECT serial FROM issuances').pluck().all(), [serial]);
  });

  it('of batches until it is full, those that were answered are there after a crash, whole, and no other', async (t) => {
    const place = placeOn(t, 1536);
    const server = await serve(t, { place });
    const expected: string[] = [];
    let answer: Answer;
    let batches = 0;
    for (;;) {
      const names = Array.from({ length: 200 }, (_, n) => `b${batches}-${n}`);
      answer = await server.request('POST', '/v1/entries', { entries: names.map(entry) });
      if (answer.status !== 201) break;
      batches += 1;
      expected.push(...names.map((name) => `${name} `));
    }
    assertFull(answer);
    assert.ok(batches > 1, `${batches} batches`);
    assert.deepEqual(await listed(server), expected.sort());
    await server.stop('SIGKILL');
    spawnSync('mount', ['-o', 'remount,size=8m', place.disk.directory]);
    assert.deepEqual(await listed(await serve(t, { place })), expected);
  });

  it('a start fails with what is wrong, wherever it runs out of space, and leaves nothing that keeps the next one from it', async (t) => {
    const place = placeOn(t, 512);
    const failed: string[] = [];
    // The database takes the first 80 KiB and more, then come the authorities and the token with a page or two each.
    for (let kib = 0; ; kib += kib < 80 ? 40 : 4) {
      rmSync(place.dataDir, { recursive: true, force: true });
      place.disk.free();
      place.disk.fill(kib * 1024);
      const outcome = await tryServe(t, place);
      if (outcome === 'serves') break;
      assert.equal(outcome.code, 1, outcome.stderr);
      assert.match(outcome.stderr, /ENOSPC|disk is full|SQLITE_IOERR/, `${kib} KiB: ${outcome.stderr}`);
      failed.push(outcome.stderr);
      if (outcome.stderr.includes('admin.token')) break;
    }
    for (const what of [/sidekey\.db could not be opened/, /the authorities could not be created/, /admin\.token/]) {
      assert.match(failed.join(''), what);
    }
    place.disk.free();
    assert.equal(await tryServe(t, place), 'serves', 'on what the last one left');
    assert.deepEqual(
      readdirSync(path.join(place.dataDir, 'ca')).filter((name) => name.endsWith('.new')),
      [],
    );
  });
});

it('a start on a read-only file system says so', { skip }, async (t) => {
  const place = placeOn(t, 1024);
  await (await serve(t, { place })).stop();
  spawnSync('mount', ['-o', 'remount,ro', place.disk.directory]);
  const outcome = await tryServe(t, place);
  assert.ok(outcome !== 'serves');
  assert.equal(outcome.code, 1);
  assert.match(outcome.stderr, /read-only file system/);
});

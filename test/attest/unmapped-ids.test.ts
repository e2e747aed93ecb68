/** A server in a user namespace that leaves users of the host out: they all read as uid 65534. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chownSync } from 'node:fs';
import { test } from 'node:test';
import type { CallingProcess } from '../../src/attest/types.ts';
import { createUnixAttestor } from '../../src/attest/unix/attestor.ts';
import { readUnmappedIds, type UnmappedIds } from '../../src/base/unmapped-ids.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { sidekey } from '../cli/support.ts';
import { type Caller, startCaller } from '../support/caller.ts';
import { makePlace, serve } from '../support/serve.ts';

const NAMESPACE = ['unshare', '--user', '--map-root-user'];
const can = process.getuid!() === 0 && spawnSync('unshare', [...NAMESPACE.slice(1), 'true']).status === 0;
const skip = can ? false : 'no user namespace can be made here by root, who is needed to become other users';
const OVERFLOW = 65_534;

const withIds = async (ids: Partial<CallingProcess>, unmapped: UnmappedIds) => {
  const attestor = createUnixAttestor({ log: createLog('silent'), wantSha256: () => false, unmapped });
  const found = await attestor.attest({ pid: process.pid, uid: 1, gid: 2, groups: [], ...ids });
  return found.map(({ value }) => value).filter((value) => /^(uid|gid|supplementary_gid):/.test(value));
};

test('where every id is mapped 65534 is a user and a group like others', async () => {
  const ids = { uid: OVERFLOW, gid: OVERFLOW, groups: [OVERFLOW] };
  const expected = [`uid:${OVERFLOW}`, `gid:${OVERFLOW}`, `supplementary_gid:${OVERFLOW}`];
  assert.deepEqual(await withIds(ids, { uid: undefined, gid: undefined }), expected);
});

test('where ids are left out, a user without one is not known, and such groups are no facts', async () => {
  const unmapped = { uid: OVERFLOW, gid: OVERFLOW };
  assert.deepEqual(await withIds({ gid: OVERFLOW, groups: [4, OVERFLOW] }, unmapped), ['uid:1', 'supplementary_gid:4']);
  await assert.rejects(withIds({ uid: OVERFLOW }, unmapped), {
    code: 'ERR_ATTESTATION_FAILED',
    message: /Sidekey's user namespace, where all unmapped users appear as 65534/,
  });
});

test('the map of a user namespace says whether ids are left out', { skip }, () => {
  const url = JSON.stringify(new URL('../../src/base/unmapped-ids.ts', import.meta.url).href);
  const code = `import { readUnmappedIds } from ${url}; console.log(JSON.stringify(readUnmappedIds()))`;
  const inside = (...flags: string[]) => {
    const args = [...flags, process.execPath, '--no-warnings', '--input-type=module', '-e', code];
    return JSON.parse(spawnSync('unshare', args, { encoding: 'utf8' }).stdout);
  };
  assert.deepEqual(inside('--user', '--map-root-user'), { uid: OVERFLOW, gid: OVERFLOW });
  assert.deepEqual(inside('--user'), { uid: OVERFLOW, gid: OVERFLOW });
  assert.deepEqual(inside('--mount'), JSON.parse(JSON.stringify(readUnmappedIds())));
});

async function startAs(t: Parameters<typeof startCaller>[0], uid: number): Promise<Caller> {
  const caller = startCaller(t);
  await caller.tell('setgroups', []);
  await caller.tell('setgid', uid);
  await caller.tell('setuid', uid);
  return caller;
}

test('users of the host are not taken for uid 65534, no entry for it is proposed, and doctor says why', {
  skip,
}, async (t) => {
  const server = await serve(t, { launcher: NAMESPACE, flags: ['--socket-mode', '0666', '--allow-unpinned-peers'] });
  const spiffeId = 'spiffe://ilinux.io/nobody';
  for (const value of [`uid:${OVERFLOW}`, 'user:nobody', `gid:${OVERFLOW}`]) {
    const entry = { spiffe_id: `${spiffeId}/${value.replace(':', '-')}`, selectors: [{ type: 'unix', value }] };
    assert.equal((await server.request('POST', '/v1/entries', entry)).status, 201);
  }
  const stranger = await startAs(t, 12_001);
  const { body } = await server.request('GET', `/v1/explain?pid=${stranger.pid}&spiffe_id=${spiffeId}`);
  assert.deepEqual([body.identities, body.fixes], [[], []]);
  assert.match(body.attestors[0].error, /Sidekey's user namespace/);

  const { stdout } = await sidekey(['doctor', '--admin-socket', server.adminSocket]);
  assert.match(stdout, /\[unmapped-users\]/);
  const { body: known } = await server.request('GET', '/v1/doctor');
  assert.equal(known.entries.unproducible.count, 3, 'nobody ever has what they ask for');
  assert.match(known.entries.unproducible.sample[0].detail, /shows every unmapped user as 65534/);

  // This process is root of the host, which the namespace maps, and in the groups of root, of which it maps one.
  const { body: own } = await server.request('GET', `/v1/explain?pid=${process.pid}`);
  const facts: string[] = own.attestors[0].facts.map(({ selector }: { selector: string }) => selector);
  assert.ok(facts.includes('unix:uid:0') && facts.every((fact) => !fact.endsWith(`:${OVERFLOW}`)), `${facts}`);
});

test('a server whose own user is not mapped does not start: it would take strangers for its owner', {
  skip,
}, async (t) => {
  // Root of the host reads as 65534 there, as the server itself does.
  const launcher = ['setpriv', '--reuid=12001', '--regid=12001', '--clear-groups', 'unshare', '--user'];
  const probe = spawnSync(launcher[0]!, [...launcher.slice(1), 'true']);
  if (probe.status !== 0) return t.skip('users without privileges can not make user namespaces here');

  const place = makePlace(t);
  chownSync(place.directory, 12_001, 12_001);
  const started = serve(t, { place, launcher, flags: ['--allow-unpinned-peers'] });
  await assert.rejects(started, /the user of this process has no number in its user namespace/);
});

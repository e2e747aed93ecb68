/** Callers that choose their name so that /proc/PID/status would say something else about them. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createUnixAttestor } from '../../src/attest/unix/attestor.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { type Caller, startCaller } from '../support/caller.ts';
import { startPipe } from '../support/pipe.ts';
import { serve } from '../support/serve.ts';

const skip = process.getuid!() === 0 ? false : 'only root can become another user';
const UID = 12_001;

const HOSTILE = [
  '\rGroups:27',
  '\rGroups:\t27 ',
  '\u2028Groups:\t27',
  '\u2029Uid:\t0\t0\t0',
  '\rUid:\t0\t0\t0\t0',
  '\nUid:\t0\t0\t0\t',
  '\nGroups:\t27 ',
  'Name:\tx',
  'x\nGid:\t0\t0\t0\t',
  '\\nUid:\t0\t0\t0',
  ') R 1 1 1 0 -1',
  'a\n0::/x',
  '',
].map((name) => Buffer.from(name));
/** The kernel keeps 15 bytes. */
const SHORT = Array.from({ length: 255 }, (_, at) => Buffer.from([at + 1]));
const AROUND = SHORT.map((byte) => Buffer.concat([byte, Buffer.from('Groups:\t27 ')]));

/** A process of no privilege and no group, which may not be looked at more closely than any other. */
async function startStranger(t: TestContext): Promise<Caller> {
  const caller = startCaller(t);
  await caller.tell('setgroups', []);
  await caller.tell('setgid', UID);
  await caller.tell('setuid', UID);
  return caller;
}

test('whatever a process is called, its facts stay what they are', { skip }, async (t) => {
  const attestor = createUnixAttestor({ log: createLog('silent'), wantSha256: () => false });
  const pipe = await startPipe(t, { attestors: [attestor] });
  const caller = await startStranger(t);
  await caller.tell('connect', pipe.path);
  const { peer } = await pipe.next();
  const ids = (keys: ReadonlySet<string>) => [...keys].filter((key) => !/^unix:(path|user|group):/.test(key));
  const expected = [`unix:gid:${UID}`, `unix:uid:${UID}`];
  assert.deepEqual(ids((await peer.attest()).keys), expected);
  for (const name of [...HOSTILE, ...SHORT, ...AROUND]) {
    await caller.tell('name', name.toString('hex'));
    assert.deepEqual(ids((await peer.attest()).keys), expected, JSON.stringify(name.toString('latin1')));
  }
});

test('explain does not take a name for facts either', { skip }, async (t) => {
  const server = await serve(t);
  const caller = await startStranger(t);
  for (const name of HOSTILE) {
    await caller.tell('name', name.toString('hex'));
    const { status, body } = await server.request('GET', `/v1/explain?pid=${caller.pid}`);
    assert.equal(status, 200);
    const { reach, ...who } = body.process;
    assert.deepEqual(who, { pid: caller.pid, uid: UID, gid: UID, contained: null, connections: 0 });
    assert.match(reach.detail, new RegExp(`it is uid ${UID}, gid ${UID}, in no other group`));
    const facts: string[] = body.attestors[0].facts.map(({ selector }: { selector: string }) => selector);
    assert.ok(
      facts.every((fact) => !fact.includes('supplementary')),
      `${facts}`,
    );
  }
});

test('an entry for a group is not had by a name', { skip }, async (t) => {
  const server = await serve(t);
  const selectors = [
    { type: 'unix', value: 'supplementary_gid:27' },
    { type: 'unix', value: `uid:${UID}` },
  ];
  const entry = { spiffe_id: 'spiffe://ilinux.io/group', selectors };
  assert.equal((await server.request('POST', '/v1/entries', entry)).status, 201);
  const caller = await startStranger(t);
  await caller.tell('name', Buffer.from('\rGroups:27').toString('hex'));
  const { body } = await server.request('GET', `/v1/explain?pid=${caller.pid}&spiffe_id=${entry.spiffe_id}`);
  assert.equal(body.asked.given, false);
  assert.deepEqual(body.near[0].lacks[0].selector, 'unix:supplementary_gid:27');
});

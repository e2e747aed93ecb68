import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { createOwnerOf, placeOf } from '../../src/attest/owner-of.ts';
import { createSubordinateIds, parseRanges } from '../../src/attest/subordinate-ids.ts';
import { Owners } from '../../src/limits/owner.ts';
import { tempDir } from '../support/temp-dir.ts';

const ID = 'a1'.repeat(32);
const POD = '0f6c1b0e-33f1-4a2b-9a55-9c1d2e3f4a5b';
const POD_ = POD.replaceAll('-', '_');
const v2 = (text: string) => [{ hierarchy: '', path: text }];

test('callers are counted for their container, or for the user whose slice they are in', () => {
  const own = new Map([['', '/system.slice/sidekey.service']]);
  const cases: [string, ReturnType<typeof placeOf>][] = [
    ['/', { user: undefined, container: undefined }],
    ['/system.slice/envoy.service', { user: undefined, container: undefined }],
    [`/system.slice/docker-${ID}.scope`, { user: undefined, container: `/system.slice/docker-${ID}.scope` }],
    [`/docker/${ID}/init.scope`, { user: undefined, container: `/docker/${ID}` }],
    ['/kubepods.slice/x/y', { user: undefined, container: '/kubepods.slice' }],
    [`/kubepods/pod${POD}/${ID}`, { user: undefined, container: `/kubepods/pod${POD}` }],
    [`/kubepods/burstable/pod${POD}/${ID}/x`, { user: undefined, container: `/kubepods/burstable/pod${POD}` }],
    [
      `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${POD_}.slice/cri-containerd-${ID}.scope`,
      {
        user: undefined,
        container: `/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${POD_}.slice`,
      },
    ],
    ['/user.slice/user-1000.slice/session-1.scope', { user: 1000, container: undefined }],
    // What a user calls a cgroup of its own makes no new owner.
    [`/user.slice/user-1000.slice/user@1000.service/docker-${ID}.scope`, { user: 1000, container: undefined }],
    // Nor does a container become a user of the host by what it calls its cgroups, as systemd does in LXC.
    [`/docker/${ID}/user.slice/user-1000.slice/x.scope`, { user: undefined, container: `/docker/${ID}` }],
    ['/lxc.payload.web/user.slice/user-1000.slice/x', { user: undefined, container: '/lxc.payload.web' }],
    [
      '/machine.slice/machine-web.scope/payload/user.slice/user-0.slice/x',
      { user: undefined, container: '/machine.slice/machine-web.scope' },
    ],
    [
      `/user.slice/user-x.slice/docker-${ID}.scope`,
      { user: undefined, container: `/user.slice/user-x.slice/docker-${ID}.scope` },
    ],
  ];
  for (const [text, expected] of cases) assert.deepEqual(placeOf(v2(text), own), expected, text);
});

test("callers in Sidekey's own container are counted for their users", () => {
  const own = new Map([['', `/docker/${ID}`]]);
  assert.deepEqual(placeOf(v2(`/docker/${ID}`), own), { user: undefined, container: undefined });
  assert.deepEqual(placeOf(v2(`/docker/${'b2'.repeat(32)}`), own), {
    user: undefined,
    container: `/docker/${'b2'.repeat(32)}`,
  });
});

test('a process that is remembered has the account that is counted now, though its owner was forgotten meanwhile', () => {
  const owners = new Owners();
  const ownerOf = createOwnerOf(owners, { ownerOf: (uid) => uid });
  const caller = { pid: process.pid, uid: 7, gid: 7 };
  ownerOf(caller);
  for (let uid = 1_000; uid < 3_000; uid += 1) owners.user(uid);
  const [account] = ownerOf(caller).accounts;
  assert.ok([...owners.accounts()].includes(account));
});

test('ranges of subordinate ids are their users, by name or number; other lines say nothing', () => {
  const uidOf = (name: string) => ({ ann: 1000, bob: 1001 })[name];
  const text = 'ann:100000:65536\n1002:165536:65536\nstranger:300000:10\n# comment\nann:x:10\nbob:400000\nbob:500000:1';
  assert.deepEqual(parseRanges(text, uidOf), [
    { start: 100_000, count: 65_536, owner: 1000 },
    { start: 165_536, count: 65_536, owner: 1002 },
    { start: 500_000, count: 1, owner: 1001 },
  ]);
});

test('a uid in a range is its user, before the first and after the last it is itself', (t) => {
  const file = path.join(tempDir(t), 'subuid');
  fs.writeFileSync(file, 'ann:100000:65536\n');
  const ids = createSubordinateIds(() => 1000, file);
  assert.deepEqual([99_999, 100_000, 165_535, 165_536].map(ids.ownerOf), [99_999, 1000, 1000, 165_536]);
  assert.equal(createSubordinateIds(() => 1000, `${file}.none`).ownerOf(100_000), 100_000);
});

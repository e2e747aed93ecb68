/** What attestors say for negative selectors and templates: what a caller is known to lack, and its values. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { createAccounts } from '../../src/attest/accounts.ts';
import { collectSelectors } from '../../src/attest/attestation.ts';
import { createDockerAttestor } from '../../src/attest/docker/attestor.ts';
import { placeholderOf } from '../../src/attest/placeholders.ts';
import { createSystemdAttestor } from '../../src/attest/systemd/attestor.ts';
import type { AskedSelectors, Attestation, Attestor, CallingProcess } from '../../src/attest/types.ts';
import { createUnixAttestor } from '../../src/attest/unix/attestor.ts';
import { formatSelector, splitSelector } from '../../src/spiffe/selector.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { endAfter } from '../support/caller.ts';
import { makeCgroup, makeUnitCgroup, whyNoCgroup } from '../support/cgroup.ts';
import { TestClock } from '../support/clock.ts';
import { containerJson, IMAGE_ID, runningAs, StandInEngine } from '../support/stand-in-engine.ts';
import { tempDir } from '../support/temp-dir.ts';

const log = createLog('silent');
const skip = whyNoCgroup() ?? false;
const ID = 'ab'.repeat(32);

/** Entries that ask for these negative selectors and placeholders. */
function asking(negatives: readonly string[], placeholders: readonly string[] = []): AskedSelectors {
  const all = negatives.map((text) => splitSelector(text)!);
  return {
    asksFor: () => true,
    askers: () => 0,
    askedRevision: 1,
    negatives: (type) => all.filter((one) => one.type === type),
    placeholders: (type) => placeholders.map((name) => placeholderOf(name)!).filter((one) => one.type === type),
  };
}

function attest(
  attestor: Attestor,
  asked: AskedSelectors,
  caller: Partial<CallingProcess> & { readonly pid: number },
  contained?: string,
): Promise<Attestation> {
  const options = {
    attestors: [attestor],
    clock: new TestClock(),
    whyContained: () => contained,
    attestTimeoutMs: 5_000,
  };
  return collectSelectors({ uid: 1000, gid: 1000, groups: [], ...caller }, contained, { ...options, asked });
}

const negativesOf = ({ keys }: Attestation) => [...keys].filter((key) => key.startsWith('!')).sort();
const valuesOf = ({ values }: Attestation) =>
  Object.fromEntries([...values].map(([name, found]) => [name, 'value' in found ? found.value : { why: found.why }]));

const PASSWD = 'root:x:0:0::/:\nalice:x:1000:1000::/:\nbob:x:1001:1001::/:\nalias:x:1000:1000::/:\n';
const GROUP = 'root:x:0:\nstaff:x:1000:\nadm:x:4:\nsecond:x:4:\nnogroup:x:65534:\n';

test('of users and groups only those are excluded that the files have as others', async (t) => {
  const [passwd, group] = ['passwd', 'group'].map((name) => path.join(tempDir(t), name)) as [string, string];
  writeFileSync(passwd, PASSWD);
  writeFileSync(group, GROUP);
  const accounts = createAccounts(passwd, group);
  const unmapped = { uid: 65_534, gid: 65_534 };
  const attestor = createUnixAttestor({ log, accounts, unmapped, wantSha256: () => false });
  const known = [
    'uid:0',
    'user:root',
    'user:bob',
    'gid:4',
    'group:adm',
    'supplementary_gid:0',
    'supplementary_group:root',
  ];
  const unknown = ['uid:1000', 'user:alice', 'user:alias', 'user:ldap', 'group:staff', 'group:second', 'gid:65534'];
  const both = [...known, ...unknown].map((value) => `!unix:${value}`);
  const asked = asking(both, ['unix.uid', 'unix.user', 'unix.gid', 'unix.group']);
  const caller = { pid: process.pid, uid: 1000, gid: 1000, groups: [4] };
  const found = await attest(attestor, asked, caller);
  assert.deepEqual(negativesOf(found), known.map((value) => `!unix:${value}`).sort());
  assert.deepEqual(valuesOf(found), {
    'unix.uid': '1000',
    'unix.user': 'alice',
    'unix.gid': '1000',
    'unix.group': 'staff',
  });
  assert.ok(
    found.selectors.every(({ negated }) => negated === undefined),
    'they are no facts',
  );

  const odd = await attest(attestor, asked, { ...caller, uid: 1002, gid: 65_534, groups: [4, 65_534] });
  const ofGroups = negativesOf(odd).filter((key) => /gid|group/.test(key));
  assert.deepEqual(ofGroups, [], 'groups that are not mapped may be any');
  const values = valuesOf(odd);
  assert.equal(values['unix.uid'], '1002');
  assert.match((values['unix.user'] as { why: string }).why, /\/etc\/passwd has no name for uid 1002/);
  assert.match((values['unix.gid'] as { why: string }).why, /is not mapped/);

  const none = createAccounts(path.join(tempDir(t), 'none'), path.join(tempDir(t), 'none'));
  const blind = await attest(
    createUnixAttestor({ log, accounts: none, unmapped, wantSha256: () => false }),
    asked,
    caller,
  );
  assert.deepEqual(
    negativesOf(blind),
    ['!unix:gid:4', '!unix:supplementary_gid:0', '!unix:uid:0'],
    'without the files',
  );
});

test('program and hash are excluded only if they could be read', async () => {
  const asked = asking([`!unix:sha256:${'0'.repeat(64)}`, '!unix:path:/bin/other', `!unix:path:${process.execPath}`]);
  const of = (wantSha256: boolean) => createUnixAttestor({ log, wantSha256: () => wantSha256 });
  assert.deepEqual(negativesOf(await attest(of(false), asked, { pid: process.pid })), ['!unix:path:/bin/other']);
  assert.deepEqual(negativesOf(await attest(of(true), asked, { pid: process.pid })).length, 2);
});

test('units are excluded and rendered only of callers in a unit', { skip }, async (t) => {
  const { pid } = startSleeper(t);
  makeUnitCgroup(t, 'web.service').join(pid);
  const asked = asking(['!systemd:id:db.service', '!systemd:id:web.service'], ['systemd.id']);
  const attestor = createSystemdAttestor({ wantUnit: () => true, blind: undefined });
  const found = await attest(attestor, asked, { pid });
  assert.deepEqual(
    [negativesOf(found), valuesOf(found)],
    [['!systemd:id:db.service'], { 'systemd.id': 'web.service' }],
  );
  const blind = await attest(createSystemdAttestor({ wantUnit: () => true, blind: 'it is blind' }), asked, { pid });
  assert.deepEqual(
    [negativesOf(blind), valuesOf(blind)],
    [[], { 'systemd.id': { why: 'it is not known of this caller' } }],
  );
});

function startSleeper(t: TestContext): { readonly pid: number } {
  const child = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
  endAfter(t, child);
  return { pid: child.pid! };
}

interface Described {
  readonly labels?: Readonly<Record<string, string>>;
  readonly env?: readonly string[];
  readonly network?: string;
  /** The image's labels; a number: the status of the engine's answer. */
  readonly image?: Readonly<Record<string, string>> | number;
}

async function attestContainer(
  t: TestContext,
  asked: AskedSelectors,
  { labels = {}, env = [], network, image = {} }: Described,
) {
  const engine = new StandInEngine(t);
  await engine.start();
  const asksFor = () => true;
  const attestor = createDockerAttestor({ socketPath: engine.socketPath, clock: new TestClock(), log, asksFor, asked });
  t.after(() => attestor.close());
  const { pid } = startSleeper(t);
  makeCgroup(t, ID).join(pid);
  const json = containerJson(ID, {
    State: runningAs(pid),
    Config: { Image: 'x', Labels: labels, Env: env },
    ...(network === undefined ? {} : { HostConfig: { NetworkMode: network } }),
  });
  engine.answer = (response, request) => {
    if (request.url!.includes('/top?')) response.end(JSON.stringify({ Titles: ['PID'], Processes: [[String(pid)]] }));
    else if (!request.url!.startsWith('/images/')) response.end(JSON.stringify(json));
    else if (typeof image === 'number') response.writeHead(image).end('{}');
    else response.end(JSON.stringify({ Id: IMAGE_ID, RepoDigests: null, Config: { Labels: image } }));
  };
  return attest(attestor, asked, { pid, uid: 0, gid: 0 });
}

test('facts of a container are excluded unless the answer leaves open whether it has them', { skip }, async (t) => {
  const lacked = [
    'label:tier:canary',
    'label:app:web2',
    'env:MODE=test',
    'name:other',
    'network:back',
    'compose_service:api',
  ];
  const kept = [
    'label:app:web',
    'label:role:admin:prod',
    'env:TWICE=3',
    'name:web-1',
    'network:front',
    'compose_service:web',
  ];
  const asked = asking([...lacked, ...kept].map((value) => `!docker:${value}`));
  const labels = { app: 'web', 'role:admin': 'prod', 'com.docker.compose.service': 'web' };
  const found = await attestContainer(t, asked, { labels, env: ['TWICE=1', 'TWICE=2'], network: 'front' });
  assert.deepEqual(negativesOf(found), lacked.map((value) => `!docker:${value}`).sort());
});

test('of a container in the network of another one it is not known in which networks it is', { skip }, async (t) => {
  const found = await attestContainer(t, asking(['!docker:network:back']), { network: `container:${'cd'.repeat(32)}` });
  assert.deepEqual(negativesOf(found), []);
});

const SERVICE = 'com.docker.compose.service';
const BY_COMPOSE = 'com.docker.compose.image';

/** Labels of the container and of its image, and the value of {docker.compose_service} or why there is none. */
const LABELS: Readonly<Record<string, readonly [Described, string | RegExp]>> = {
  'set at its start': [{ labels: { [SERVICE]: 'web' } }, 'web'],
  missing: [{}, /the container has no label com\.docker\.compose\.service/],
  'of the image': [
    { labels: { [SERVICE]: 'web' }, image: { [SERVICE]: 'web' } },
    /the image itself has the label .* with this value, and any image could/,
  ],
  'of the image, which says who made it': [
    {
      labels: { [SERVICE]: 'web', [BY_COMPOSE]: `sha256:${'2e'.repeat(32)}` },
      image: { [SERVICE]: 'web', [BY_COMPOSE]: `sha256:${'2e'.repeat(32)}` },
    },
    /the image itself has the label/,
  ],
  'other than that of the image': [{ labels: { [SERVICE]: 'web' }, image: { [SERVICE]: 'api' } }, 'web'],
  'of an image that Compose built and started': [
    { labels: { [SERVICE]: 'web', [BY_COMPOSE]: IMAGE_ID }, image: { [SERVICE]: 'web' } },
    'web',
  ],
  'of an image that was deleted': [
    { labels: { [SERVICE]: 'web' }, image: 404 },
    /its image was deleted, so it is not known whether/,
  ],
  empty: [{ labels: { [SERVICE]: '' } }, ''],
};

for (const [what, [described, expected]] of Object.entries(LABELS)) {
  test(`a label that is ${what} fills a placeholder, or says why not`, { skip }, async (t) => {
    const found = await attestContainer(t, asking([], ['docker.compose_service']), described);
    const { 'docker.compose_service': value } = valuesOf(found);
    if (typeof expected === 'string') assert.equal(value, expected);
    else assert.match((value as { why: string }).why, expected);
  });
}

test('an image that is said to carry what only Compose sets does not speak for other labels', { skip }, async (t) => {
  const labels = { app: 'web', [BY_COMPOSE]: IMAGE_ID };
  const found = await attestContainer(t, asking([], ['docker.label.app', 'docker.name', 'docker.container_id']), {
    labels,
    image: { app: 'web' },
  });
  const values = valuesOf(found);
  assert.match((values['docker.label.app'] as { why: string }).why, /the image itself has the label app/);
  assert.deepEqual([values['docker.name'], values['docker.container_id']], ['web-1', ID]);
});

test('an engine that fails about the image fails the attestation', { skip }, async (t) => {
  const failing = attestContainer(t, asking([], ['docker.label.app']), { labels: { app: 'web' }, image: 500 });
  await assert.rejects(failing, { code: 'ERR_ATTESTATION_FAILED', message: /status 500/ });
});

test('a caller outside of containers lacks all their facts; one in an unknown container may have any', async (t) => {
  const engine = new StandInEngine(t);
  const asked = asking(['!docker:label:tier:canary'], ['docker.name']);
  const asksFor = () => true;
  const attestor = createDockerAttestor({ socketPath: engine.socketPath, clock: new TestClock(), log, asksFor, asked });
  t.after(() => attestor.close());
  const outside = await attest(attestor, asked, { pid: process.pid });
  assert.deepEqual(negativesOf(outside), ['!docker:label:tier:canary']);
  assert.deepEqual(valuesOf(outside), { 'docker.name': { why: 'the caller is in no container' } });
  const inside = await attest(attestor, asked, { pid: process.pid }, 'its pid namespace is below that of Sidekey');
  assert.deepEqual(negativesOf(inside), []);
});

test('an attestor that says nothing further satisfies no negative selector', async () => {
  const silent: Attestor = { name: 'docker', attest: async () => [{ type: 'docker', value: 'name:a' }] };
  const found = await attest(silent, asking(['!docker:label:a:b'], ['docker.name']), { pid: 1 });
  assert.deepEqual([negativesOf(found), found.selectors.map(formatSelector)], [[], ['docker:name:a']]);
  assert.deepEqual(valuesOf(found), { 'docker.name': { why: 'it is not known of this caller' } });
});

test('attestations with other negatives or values are not the same', async () => {
  const of = (value: string, lacks: boolean): Attestor => ({
    name: 'docker',
    attest: async (_caller, _everything, _remark, tell) => {
      tell!({ lacks: () => lacks, valueFor: () => ({ value }) });
      return [];
    },
  });
  const asked = asking(['!docker:label:a:b'], ['docker.name']);
  const keys = await Promise.all(
    [of('a', true), of('a', false), of('b', true), of('a', true)].map(
      async (one) => (await attest(one, asked, { pid: 1 })).key,
    ),
  );
  assert.deepEqual([new Set(keys).size, keys[0] === keys[3]], [3, true]);
});

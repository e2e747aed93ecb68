/**
 * Units of the system manager, as a server sees them, in cgroups that the test makes as the manager would. An attacker is a
 * user to whom a subtree was delegated, a container in a unit's cgroup, or a process of the container that Sidekey is in.
 */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { makeUnitCgroup, whyNoCgroup } from '../support/cgroup.ts';
import { type Ran, run } from '../support/run.ts';
import { namesOf, SdsClient } from '../support/sds-client.ts';
import { makePlace, ROOT, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const SIDEKEY = path.join(ROOT, 'bin/sidekey');
const WEB = `spiffe://${TRUST_DOMAIN}/web`;
const ID = 'cd'.repeat(32);
/** A user that nobody is. */
const USER = 31_337;

const AS_USER = ['setpriv', '--reuid', String(USER), '--regid', String(USER), '--clear-groups'];
const NEW_PIDS = ['unshare', '--pid', '--fork', '--kill-child'];
/** Waits until its stdin ends, and then becomes the command. */
const LATER = ['sh', '-c', 'cat >/dev/null; exec "$@"', 'sh'];

function whyNot(): string | undefined {
  if (process.getuid!() !== 0) return 'only root can start processes as other users and in pid namespaces';
  const other = spawnSync('setpriv', [...AS_USER.slice(1), SIDEKEY, '--version'], { cwd: '/' });
  if (other.status !== 0) return 'another user can read neither this checkout nor its Node, or there is no setpriv';
  for (const kind of ['--pid', '--cgroup']) {
    if (spawnSync('unshare', [kind, '--fork', 'true']).status !== 0) return `no namespace can be made here (${kind})`;
  }
  return whyNoCgroup();
}

const fetch = ({ socket }: Served) => [SIDEKEY, 'fetch', '--socket', socket, '--spiffe-id', WEB];

async function open(t: TestContext, flags: readonly string[] = [], launcher: readonly string[] = []): Promise<Served> {
  const place = makePlace(t);
  chmodSync(place.directory, 0o711);
  return serve(t, { place, flags: ['--socket-mode', '0666', ...flags], launcher });
}

async function create(server: Served, more = {}): Promise<void> {
  const entry = { spiffe_id: WEB, selectors: ['systemd:id:web.service'], ...more };
  const answer = await server.request('POST', '/v1/entries', entry);
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
}

/** The decision that a refused caller was told of. */
async function decisionOf(server: Served, { status, stdout, stderr }: Ran) {
  assert.equal(status, 1, stdout);
  const decision = /decision (d-[0-9a-f]{12})/.exec(stderr)![1]!;
  return (await server.request('GET', `/v1/decisions/${decision}`)).body;
}

describe('an entry for a unit', { skip: whyNot() ?? false, timeout: 120_000 }, () => {
  it('is for the processes of that unit, and no others', async (t) => {
    const server = await open(t);
    await create(server);
    const [web, api] = [makeUnitCgroup(t, 'web.service'), makeUnitCgroup(t, 'api.service')];
    const given = await run([...AS_USER, ...LATER, ...fetch(server)], web.join);
    assert.equal(given.status, 0, given.stderr);
    const refused = await decisionOf(server, await run([...AS_USER, ...LATER, ...fetch(server)], api.join));
    assert.deepEqual(refused.candidates[0].lacks, ['systemd:id:web.service']);
    assert.ok(refused.facts.some(({ selector }: { selector: string }) => selector === 'systemd:id:api.service'));
    await decisionOf(server, await run([...AS_USER, ...fetch(server)]));
  });

  it('is told of by explain, with the source of the fact', async (t) => {
    const server = await open(t);
    await create(server);
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    t.after(() => child.kill());
    makeUnitCgroup(t, 'wbe.service').join(child.pid!);
    const flags = ['--pid', String(child.pid), '--spiffe-id', WEB, '--admin-socket', server.adminSocket];
    const { stdout } = await run([SIDEKEY, 'explain', ...flags]);
    assert.match(stdout, /^ {2}systemd:id:wbe\.service +the kernel: \/proc\/PID\/cgroup$/m);
    assert.match(stdout, /needs systemd:id:web\.service, has systemd:id:wbe\.service: mistyped\?/);
  });

  it('reaches a caller that waits for it, from the moment that it is made', async (t) => {
    const server = await open(t);
    // The test itself waits.
    makeUnitCgroup(t, 'web.service').join(process.pid);
    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    const stream = client.stream();
    stream.ask(WEB);
    assert.equal((await server.logged('name held')).reason, 'no-entry');
    await create(server);
    assert.deepEqual(namesOf(await stream.next()), [WEB]);
  });

  it('is not for a user who calls a cgroup so in the subtree that was delegated to them', async (t) => {
    const server = await open(t);
    await create(server);
    const web = makeUnitCgroup(t, 'web.service');
    const own = makeUnitCgroup(t, `user@${USER}.service`);
    for (const file of ['', 'cgroup.procs']) chownSync(path.join(own.folder, file), USER, USER);
    const evil = path.join(own.folder, 'system.slice', 'web.service');
    const move = 'cat >/dev/null; mkdir -p "$1" && echo $$ >"$1/cgroup.procs" || exit 9; shift; exec "$@"';
    const renamed = await run([...AS_USER, 'sh', '-c', move, 'sh', evil, ...fetch(server)], own.join);
    const { facts } = await decisionOf(server, renamed);
    const units = facts.filter(({ selector }: { selector: string }) => selector.startsWith('systemd:'));
    assert.deepEqual(units, [{ selector: `systemd:id:user@${USER}.service`, source: 'the kernel: /proc/PID/cgroup' }]);
    const moved = await run([...AS_USER, 'sh', '-c', move, 'sh', web.folder, ...fetch(server)], own.join);
    assert.equal(moved.status, 9, 'into the cgroup of the unit itself it may not go');
  });

  it('is not for a container in the cgroup of the unit, unless it says so and the cgroup is not a container', async (t) => {
    const server = await open(t);
    await create(server);
    const web = makeUnitCgroup(t, 'web.service');
    const contained = await run([...LATER, ...NEW_PIDS, ...fetch(server)], web.join);
    assert.equal((await decisionOf(server, contained)).reason, 'contained');

    const lenient = await open(t, ['--allow-contained']);
    await create(lenient);
    assert.equal((await run([...LATER, ...NEW_PIDS, ...fetch(lenient)], web.join)).status, 0);
    const inside = makeUnitCgroup(t, `web.service/${ID}`);
    const { facts } = await decisionOf(lenient, await run([...LATER, ...fetch(lenient)], inside.join));
    assert.doesNotMatch(JSON.stringify(facts), /systemd:/);
  });

  it('is for nobody where Sidekey is in a cgroup namespace of its own, and doctor says why', async (t) => {
    const own = makeUnitCgroup(t, 'sidekey.service');
    const inside = path.join(own.folder, 'web.service');
    mkdirSync(inside);
    const enter = 'echo $$ >"$0/cgroup.procs" && exec unshare --cgroup "$@"';
    const server = await open(t, [], ['sh', '-c', enter, own.folder]);
    await create(server);
    const join = 'echo $$ >"$0/cgroup.procs" && exec "$@"';
    const { facts } = await decisionOf(server, await run(['sh', '-c', join, inside, ...fetch(server)]));
    assert.doesNotMatch(JSON.stringify(facts), /systemd:/);
    const { body } = await server.request('GET', '/v1/doctor');
    assert.match(
      body.entries.unproducible.sample[0].detail,
      /systemd:id:web.service: Sidekey is in its own cgroup namespace/,
    );
  });
});

/**
 * Callers in containers, as a server sees them: in pid and user namespaces and in cgroups that the test makes. Each has
 * the selectors of an entry, and gets it only if the entry is for callers in containers.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { makeCgroup, whyNoCgroup } from '../support/cgroup.ts';
import { type Ran, run } from '../support/run.ts';
import { SdsClient, secretsOf } from '../support/sds-client.ts';
import { makePlace, type Place, ROOT, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';
import { answering, containerJson, IMAGE_ID, runningAs, StandInEngine } from '../support/stand-in-engine.ts';

const SIDEKEY = path.join(ROOT, 'bin/sidekey');
const ID = 'cd'.repeat(32);
/** A user that nobody is. */
const USER = 31_337;

const as = (uid: number) => ['setpriv', '--reuid', String(uid), '--regid', String(uid), '--clear-groups'];
const NEW_PIDS = ['unshare', '--pid', '--fork', '--kill-child'];
const NEW_USERS = ['unshare', '--user', '--map-root-user'];
/** Waits until its stdin ends, and then becomes the command. */
const LATER = ['sh', '-c', 'cat >/dev/null; exec "$@"', 'sh'];

/** Why these can't run here; undefined where they can. */
function whyNot(): string | undefined {
  if (process.getuid!() !== 0) return 'only root can start processes as other users and in pid namespaces';
  const other = spawnSync('setpriv', [...as(USER).slice(1), SIDEKEY, '--version'], { cwd: '/' });
  if (other.status !== 0) return 'another user can read neither this checkout nor its Node, or there is no setpriv';
  for (const words of [NEW_PIDS, [...as(USER), ...NEW_USERS, '--pid', '--fork', '--mount-proc']]) {
    if (spawnSync(words[0]!, [...words.slice(1), 'true'], { cwd: '/' }).status !== 0) {
      return `no namespaces can be made here (${words.join(' ')})`;
    }
  }
  return whyNoCgroup();
}

const skip = whyNot() ?? false;

const idOf = (name: string) => `spiffe://${TRUST_DOMAIN}/${name}`;
const fetch = ({ socket }: Place, name: string) => [SIDEKEY, 'fetch', '--socket', socket, '--spiffe-id', idOf(name)];

/** A place whose pipe anybody may use. */
function openPlace(t: Pick<TestContext, 'after'>): Place {
  const place = makePlace(t);
  chmodSync(place.directory, 0o711);
  return place;
}

function open(t: Pick<TestContext, 'after'>, flags: readonly string[] = [], place = openPlace(t)): Promise<Served> {
  return serve(t, { place, flags: ['--socket-mode', '0666', ...flags] });
}

async function create(server: Served, name: string, selectors: readonly string[], more = {}): Promise<string> {
  const answer = await server.request('POST', '/v1/entries', { spiffe_id: idOf(name), selectors, ...more });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body.id;
}

/** Fetches what `name` stands for in a container-like cgroup. */
function inCgroup(t: TestContext, server: Served, name: string, who: readonly string[], cgroup = ID): Promise<Ran> {
  const place = makeCgroup(t, cgroup);
  return run([...who, ...LATER, ...fetch(server, name)], (pid) => place.join(pid));
}

describe('a caller in a container', { skip, timeout: 120_000 }, () => {
  const cleanup: (() => unknown)[] = [];
  let server: Served;

  before(async () => {
    server = await open({ after: (step) => void cleanup.push(step as () => unknown) });
    for (const [name, uid] of [
      ['root', 0],
      ['user', USER],
    ] as const) {
      await create(server, name, [`unix:uid:${uid}`, `unix:gid:${uid}`]);
      await create(server, `${name}-allowed`, [`unix:uid:${uid}`, `unix:gid:${uid}`], { allow_contained: true });
    }
  });
  after(async () => {
    for (const step of cleanup.reverse()) await step();
  });

  const SIGNS: readonly [title: string, name: string, how: (t: TestContext, name: string) => Promise<Ran>, RegExp][] = [
    [
      'a pid namespace',
      'root',
      (_t, name) => run([...NEW_PIDS, ...fetch(server, name)]),
      /its pid namespace is below that of Sidekey/,
    ],
    [
      'a user namespace, as root there',
      'user',
      (_t, name) => run([...as(USER), ...NEW_USERS, ...fetch(server, name)]),
      /its user namespace maps other ids/,
    ],
    [
      'a cgroup of a runtime',
      'user',
      (t, name) => inCgroup(t, server, name, as(USER)),
      /its cgroup was made by a container runtime/,
    ],
    [
      'a pod',
      'user',
      (t, name) => inCgroup(t, server, name, as(USER), 'kubepods-besteffort-pod1.slice'),
      /its cgroup was made by a container runtime/,
    ],
  ];

  for (const [title, name, how, why] of SIGNS) {
    it(`by ${title} alone gets no entry of unix selectors, and one that is for such`, async (t) => {
      const refused = await how(t, name);
      assert.equal(refused.status, 1, refused.stdout);
      const decision = /decision (d-[0-9a-f]{12})/.exec(refused.stderr)![1]!;
      const { body } = await server.request('GET', `/v1/decisions/${decision}`);
      assert.equal(body.reason, 'contained');
      assert.match(body.detail, why);
      assert.match(body.contained, why);
      assert.doesNotMatch(refused.stderr, /docker:|allow_contained/, 'what is amiss is for the admin');
      const given = await how(t, `${name}-allowed`);
      assert.equal(given.status, 0, given.stderr);
      assert.match(given.stdout, new RegExp(idOf(`${name}-allowed`)));
    });
  }

  it('has by the name default, and of bundles, what such a caller may have', async (t) => {
    const place = makeCgroup(t, `docker-${ID}.scope`);
    const only = await open(t);
    await create(only, 'web', [`unix:uid:${USER}`]);
    const get = (name: string) =>
      run([...as(USER), ...LATER, SIDEKEY, 'fetch', '--socket', only.socket, '--spiffe-id', name], (pid) =>
        place.join(pid),
      );
    for (const name of ['default', `spiffe://${TRUST_DOMAIN}`, 'ROOTCA']) {
      const { status, stderr } = await get(name);
      assert.equal(status, 1, name);
      const { body } = await only.request('GET', `/v1/decisions/${/d-[0-9a-f]{12}/.exec(stderr)![0]}`);
      assert.equal(body.reason, 'contained', name);
    }
    const nothing = await run([...as(USER), ...LATER, SIDEKEY, 'fetch', '--socket', only.socket], (pid) =>
      place.join(pid),
    );
    assert.equal(nothing.status, 1);
  });

  it('outside of one is served as ever', async () => {
    for (const [name, who] of [
      ['root', []],
      ['user', as(USER)],
    ] as const) {
      const { status, stderr } = await run([...who, ...fetch(server, name)]);
      assert.equal(status, 0, stderr);
    }
    // A mount namespace, as hardened units and snaps have, is no container; nor is a cgroup of a unit.
    assert.equal((await run(['unshare', '--mount', ...fetch(server, 'root')])).status, 0);
  });

  it('may not use the admin socket as its root, whatever it could connect to', async (t) => {
    const list = [SIDEKEY, 'entry', 'list', '--admin-socket', server.adminSocket];
    const place = makeCgroup(t, ID);
    assert.equal((await run(list)).status, 0);
    for (const refused of [
      await run([...NEW_PIDS, ...list]),
      await run([...LATER, ...list], (pid) => place.join(pid)),
      await run(['unshare', '--user', '--map-root-user', ...list]),
    ]) {
      assert.equal(refused.status, 1, refused.stdout);
      assert.match(
        refused.stderr,
        /in a container \(its .*\), and root there is not root of this host.*\(ERR_FORBIDDEN\)/,
      );
    }
  });

  it('is treated as any other with --allow-contained, on both sockets', async (t) => {
    const lenient = await open(t, ['--allow-contained']);
    await create(lenient, 'user', [`unix:uid:${USER}`]);
    const given = await inCgroup(t, lenient, 'user', as(USER));
    assert.equal(given.status, 0, given.stderr);
    const listed = await run([...NEW_PIDS, SIDEKEY, 'entry', 'list', '--admin-socket', lenient.adminSocket]);
    assert.equal(listed.status, 0, listed.stderr);
  });

  it('is not one in the container of Sidekey itself', async (t) => {
    const place = makePlace(t);
    chownSync(place.directory, USER, USER);
    const script = path.join(place.directory, 'inside.sh');
    const lines = [
      `"${SIDEKEY}" serve --trust-domain ${TRUST_DOMAIN} --data-dir "$1/data" --socket "$1/run/agent.sock" >"$1/log" &`,
      'export SIDEKEY_DATA_DIR="$1/data" SIDEKEY_SOCKET="$1/run/agent.sock"',
      `i=0; until "${SIDEKEY}" healthcheck >/dev/null 2>&1; do i=$((i+1)); [ $i -lt 100 ] || exit 9; sleep 0.1; done`,
      `"${SIDEKEY}" entry create --spiffe-id ${idOf('inside')} --selector unix:uid:0 --selector unix:gid:0 >/dev/null || exit 8`,
      `"${SIDEKEY}" fetch --spiffe-id ${idOf('inside')} || exit 7`,
      // A container within: one more user namespace.
      `unshare --user "${SIDEKEY}" fetch --spiffe-id ${idOf('inside')} && exit 6`,
      `unshare --user --map-root-user "${SIDEKEY}" entry list && exit 5`,
      'exit 0',
    ];
    writeFileSync(script, lines.join('\n'));
    const cgroup = makeCgroup(t, ID);
    const inside = [...as(USER), ...LATER, ...NEW_USERS, '--pid', '--fork', '--kill-child', '--mount-proc'];
    const { status, stdout, stderr } = await run([...inside, 'sh', script, place.directory], (pid) => cgroup.join(pid));
    assert.equal(status, 0, `${stderr}\n${readFileSync(path.join(place.directory, 'log'), 'utf8')}`);
    assert.match(stdout, /inside/);
    assert.match(stderr, /ERR_FORBIDDEN/);
  });
});

describe('an entry that callers in containers are refused', { skip, timeout: 120_000 }, () => {
  it('is told by explain with both fixes, by doctor and at the next start, and pushed once it is for them', async (t) => {
    const engine = new StandInEngine(t);
    await engine.start();
    engine.answer = answering(containerJson(ID, { State: runningAs(process.pid) }));
    const place = openPlace(t);
    const flags = ['--docker-socket', engine.socketPath];
    const server = await open(t, flags, place);
    const id = await create(server, 'web', ['unix:uid:0']);
    const admin = ['--admin-socket', server.adminSocket];
    // Whoever waits is the test itself, from here on.
    const cgroup = makeCgroup(t, ID);
    cgroup.join(process.pid);
    // Of the admin, which is outside.
    const outside = (...words: readonly string[]) =>
      run([...LATER, SIDEKEY, ...words, ...admin], (pid) => cgroup.leave(pid));

    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    const stream = client.stream();
    stream.ask(idOf('web'));
    const held = await server.logged('name held');
    assert.equal(held.reason, 'contained');

    const explained = await outside('explain', '--pid', String(process.pid), '--spiffe-id', idOf('web'), '-o', 'json');
    const { process: subject, asked, near, fixes, note } = JSON.parse(explained.stdout);
    assert.equal(subject.contained, 'its cgroup was made by a container runtime');
    assert.deepEqual([asked.given, asked.reason], [false, 'contained']);
    assert.deepEqual([near[0].entry_id, near[0].withheld, near[0].lacks], [id, true, []]);
    // By the path that it is called by here.
    const make = `${SIDEKEY} entry create --spiffe-id ${idOf('web')} --selector docker:image_config_digest:${IMAGE_ID}`;
    assert.deepEqual(fixes, [`${make} --selector docker:name:web-1 --admin-socket ${server.adminSocket}`]);
    assert.ok(
      note.includes(`sidekey entry update ${id} --allow-contained would give the identity to every container`),
      note,
    );
    const words = (await outside('explain', '--pid', String(process.pid), '--spiffe-id', idOf('web'))).stdout;
    assert.match(words, /, in a container \(its cgroup was made by a container runtime\)\n/);
    assert.match(
      words,
      /it is not for callers in containers\n +note: \S*sidekey entry update .* --allow-contained would/,
    );
    const decision = await outside('explain', String(held.decision));
    assert.match(decision.stdout, new RegExp(`entry ${id} is not for callers in containers`));
    assert.match(decision.stdout, /the result for the same facts now\n.* is not given: contained:/);

    const doctor = async () =>
      JSON.parse((await outside('doctor', '-o', 'json')).stdout).findings.find(
        ({ rule }: { rule: string }) => rule === 'entry-withheld',
      );
    const found = await doctor();
    assert.equal(found.place, `entry ${id}`);
    assert.match(found.problem, new RegExp(`1 connection now \\(pid ${process.pid}: its cgroup`));
    assert.match(found.fix, /sidekey explain --pid \d+ .*--allow-contained/);

    assert.equal((await outside('entry', 'update', id, '--allow-contained')).status, 0);
    assert.equal(secretsOf(await stream.next())[0]!.name, idOf('web'));
    assert.equal(await doctor(), undefined);
    assert.equal((await outside('entry', 'update', id, '--no-allow-contained')).status, 0);
    await server.stop();

    cgroup.leave(process.pid);
    const again = await open(t, flags, place);
    const warned = await again.logged(
      'callers in containers do not get these entries, which have no container selector; sidekey doctor shows details',
    );
    assert.deepEqual(warned.entries, [{ id, spiffe_id: idOf('web') }]);
  });
});

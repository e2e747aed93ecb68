/** `sidekey explain` against a real server and real processes; what it says to run is run, and helps. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import type { ExplanationJson } from '../../src/admin/explain-schema.ts';
import { type Ran, sidekey } from '../cli/support.ts';
import { endAfter } from '../support/caller.ts';
import { makeCgroup, whyNoCgroup } from '../support/cgroup.ts';
import { ROOT, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';
import { answering, containerJson, runningAs, StandInEngine } from '../support/stand-in-engine.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;
const MINE = `unix:uid:${process.getuid!()}`;
const ID = 'ab'.repeat(32);

function process1(t: TestContext): number {
  const child = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
  endAfter(t, child);
  return child.pid!;
}

function run(server: Served, ...args: readonly string[]): Promise<Ran> {
  return sidekey(args, { env: { SIDEKEY_ADMIN_SOCKET: server.adminSocket } });
}

async function explain(server: Served, ...args: readonly string[]): Promise<ExplanationJson> {
  const { status, stdout, stderr } = await run(server, 'explain', '-o', 'json', ...args);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

/** Runs a command that Sidekey says to run. */
async function obey(server: Served, command: string): Promise<void> {
  const [program, ...args] = command.split(' ');
  assert.equal(program, 'sidekey');
  const { status, stderr } = await run(server, ...args);
  assert.equal(status, 0, stderr);
}

async function create(server: Served, spiffeId: string, selectors: readonly string[], more: object = {}) {
  const { body } = await server.request('POST', '/v1/entries', { spiffe_id: spiffeId, selectors, ...more });
  return body.id as string;
}

describe('sidekey explain', { concurrency: 2, timeout: 120_000 }, () => {
  it('says who a process is, by whose word, what it gets, and what it lacks; its fix helps', async (t) => {
    const server = await serve(t);
    const pid = process1(t);
    const id = await create(server, WEB, ['unix:user:nobody-here', MINE]);
    const before = await explain(server, '--pid', String(pid), '--spiffe-id', WEB);
    const { reach, ...who } = before.process!;
    assert.deepEqual(who, { pid, uid: process.getuid!(), gid: process.getgid!(), contained: null, connections: 0 });
    assert.deepEqual([reach.verdict, reach.seen_as, reach.fix], ['yes', server.socket, null]);
    const [unix] = before.attestors;
    assert.deepEqual([unix!.name, unix!.error, unix!.remark], ['unix', null, null]);
    assert.ok(unix!.facts.some(({ selector, source }) => selector === MINE && source.includes('SO_PEERCRED')));
    const { given, reason, alike } = before.asked!;
    assert.deepEqual([given, reason, alike], [false, 'lacks-selectors', null]);
    const told = (await run(server, 'explain', '--pid', String(pid))).stdout;
    assert.match(told, /\nit is not connected to the pipe now; it may connect to /);
    assert.doesNotMatch(told, /fix/, 'without a name that it lacks, nothing is to be mended');
    assert.match(told, /\nfacts by unix, asked at \d{4}-.*Z, which took [\d.]+ ms\n/);
    const user = unix!.facts.map(({ selector }) => selector).filter((one) => one.startsWith('unix:user:'));
    assert.deepEqual(before.near[0]!.lacks, [{ selector: 'unix:user:nobody-here', has: user, alike: null }]);
    assert.deepEqual([before.identities, before.bundles], [[], []]);

    await obey(server, before.fixes[0]!);
    const after = await explain(server, '--pid', String(pid), '--spiffe-id', WEB);
    const [identity] = after.identities;
    assert.equal(identity!.spiffe_id, WEB);
    assert.notEqual(identity!.entry_id, id, 'the entry of somebody else stays as it is');
    assert.deepEqual([after.asked!.given, after.bundles, after.fixes], [true, [`spiffe://${TRUST_DOMAIN}`], []]);
  });

  it('names the SPIFFE ID that was likely meant, and the selector that was likely mistyped', async (t) => {
    const server = await serve(t);
    await create(server, WEB, ['unix:user:envy']);
    const caller = ['--selector', 'unix:user:envoy', '--selector', MINE, '--selector', 'unix:path:/usr/bin/envoy'];
    const args = [...caller, '--spiffe-id', `spiffe://${TRUST_DOMAIN}/wbe`];
    const { asked, near, fixes, note } = await explain(server, ...args);
    assert.deepEqual([asked!.reason, asked!.alike], ['no-entry', WEB]);
    assert.ok(note!.startsWith(`if ${WEB} is meant, correct the requested name`), note!);
    assert.equal(near[0]!.lacks[0]!.alike, 'unix:user:envoy');
    await obey(server, fixes[0]!);
    assert.equal((await explain(server, ...args)).asked!.given, true);
    const shown = await run(server, 'explain', ...caller, '--spiffe-id', WEB);
    assert.match(shown.stdout, /needs unix:user:envy, has unix:user:envoy: mistyped\?/);
  });

  it('finds an expired entry, a bundle that nobody has set, and says whose entry it is', async (t) => {
    const server = await serve(t);
    const entries = [{ spiffe_id: WEB, selectors: [MINE], federates_with: ['other.example'], expires_at: 1 }];
    await server.request('PUT', '/v1/entries', { source: 'team', entries });
    const before = await explain(server, '--selector', MINE, '--spiffe-id', WEB);
    assert.equal(before.asked!.reason, 'expired');
    assert.equal(before.near[0]!.expired_at, '1970-01-01T00:00:01.000Z');
    assert.match(before.near[0]!.note!, /change the entry where the source team has it: give it a later expires_at/);
    assert.deepEqual(before.fixes, [], 'the next PUT of the source would undo it');
    await server.request('PUT', '/v1/entries', { source: 'team', entries: [{ ...entries[0], expires_at: 0 }] });
    const { unset_bundles, fixes } = await explain(server, '--selector', MINE);
    assert.deepEqual(unset_bundles, ['other.example']);
    assert.deepEqual(fixes, [
      'sidekey bundle set other.example --file BUNDLE',
      'sidekey federation create other.example --bundle-endpoint-url URL --bundle-endpoint-profile PROFILE',
    ]);
  });

  it('explains what is on record under a decision id', async (t) => {
    const server = await serve(t);
    const fetched = await sidekey(['fetch', '--socket', server.socket, '--spiffe-id', WEB]);
    const id = /d-[0-9a-f]{12}/.exec(fetched.stderr)![0];
    const { stdout } = await run(server, 'explain', id);
    assert.match(stdout, new RegExp(`^${id}: fetch-nothing ${WEB} at `));
    assert.match(stdout, /\nno-entry: no entry gives /);
    assert.match(stdout, /\nfacts\n {2}unix:gid:\d+ +the kernel: SO_PEERCRED\n/);
    const command = /\n {2}(sidekey entry create .*)\n$/.exec(stdout)![1]!;
    const elsewhere = await sidekey(['explain', id, '--admin-socket', server.adminSocket]);
    assert.ok(elsewhere.stdout.endsWith(`\n  ${command} --admin-socket ${server.adminSocket}\n`), elsewhere.stdout);
    await obey(server, command);
    assert.equal((await sidekey(['fetch', '--socket', server.socket, '--spiffe-id', WEB])).status, 0);
    assert.match((await run(server, 'explain', id)).stdout, /is given: entry/);
  });

  it('explains a decision about somebody in a container without the values of its environment', {
    skip: whyNoCgroup() ?? false,
  }, async (t) => {
    const engine = new StandInEngine(t);
    await engine.start();
    const server = await serve(t, { flags: ['--docker-socket', engine.socketPath] });
    const id = await create(server, WEB, ['docker:label:app:web', 'docker:env:TOKEN=0ther']);
    const fetch = [path.join(ROOT, 'src/cli/main.ts'), 'fetch', '--socket', server.socket, '--spiffe-id', WEB];
    const child = spawn('/bin/sh', ['-c', 'read go; exec "$@"', 'sh', process.execPath, ...fetch]);
    endAfter(t, child);
    makeCgroup(t, `docker-${ID}.scope`).join(child.pid!);
    const config = { Image: 'envoy:v1', Labels: { app: 'web' }, Env: ['TOKEN=s3cret'] };
    engine.answer = answering(containerJson(ID, { State: runningAs(child.pid!), Config: config }));
    child.stdin.end('\n');
    const said = await text(child.stderr);
    const decision = /d-[0-9a-f]{12}/.exec(said)![0];
    const shown = await run(server, 'explain', decision);
    assert.equal(shown.status, 0, shown.stderr);
    assert.match(shown.stdout, /\nthe result for the same facts now\nvalues of docker:env are not recorded/);
    const command = `sidekey explain --pid ${child.pid} --spiffe-id ${WEB}`;
    assert.ok(shown.stdout.includes(`ask about the process itself: ${command}\n`), shown.stdout);
    assert.match(shown.stdout, new RegExp(`by entry ${id}: has 1 of 2\n`));
    assert.ok(shown.stdout.includes('needs docker:env:TOKEN=[redacted], has docker:env:TOKEN=[redacted]\n'));
    const json = await run(server, 'explain', decision, '-o', 'json');
    const { now, remark } = JSON.parse(json.stdout);
    assert.deepEqual([now.asked.given, typeof remark], [false, 'string']);
    assert.deepEqual(now.fixes, [], 'a label says nothing of who set it, and the digest is not on record');
    assert.match(now.note, /its image digest .*sidekey explain --pid/);
    const everything = [said, shown.stdout, json.stdout, JSON.stringify(server.log)].join('\n');
    assert.doesNotMatch(everything, /s3cret|0ther/);
    for (const file of readdirSync(server.dataDir)) {
      if (!file.startsWith('sidekey.db')) continue;
      assert.equal(readFileSync(path.join(server.dataDir, file)).includes('s3cret'), false, file);
    }
  });

  it('fails for what is not there', async (t) => {
    const server = await serve(t);
    const cases: readonly [string[], RegExp][] = [
      [['--pid', '4194303'], /there is no process 4194303/],
      [['--container', 'web'], /the server asks no container engine/],
      [['d-000000000000'], /there is no decision d-000000000000/],
      [['--selector', MINE, '--spiffe-id', 'x'], /--spiffe-id/],
    ];
    for (const [args, problem] of cases) {
      const { status, stderr } = await run(server, 'explain', ...args);
      assert.equal(status, 1);
      assert.match(stderr, problem);
    }
  });

  it('finds a container by its name, says what the engine says, and shows no environment', {
    skip: whyNoCgroup() ?? false,
  }, async (t) => {
    const engine = new StandInEngine(t);
    await engine.start();
    const server = await serve(t, { flags: ['--docker-socket', engine.socketPath] });
    const pid = process1(t);
    makeCgroup(t, `docker-${ID}.scope`).join(pid);
    const config = { Image: 'envoy:v1', Labels: { app: 'web' }, Env: ['TOKEN=s3cret'] };
    engine.answer = answering(containerJson(ID, { State: runningAs(pid), Config: config }));
    await create(server, WEB, ['docker:label:app:api', 'docker:env:TOKEN=0ther']);
    const explained = await explain(server, '--container', 'web-1', '--spiffe-id', WEB);
    assert.equal(explained.process!.pid, pid);
    const facts = explained.attestors.flatMap((one) => one.facts.map(({ selector }) => selector));
    assert.ok(facts.includes('docker:label:app:web') && facts.includes('docker:env:TOKEN=[redacted]'));
    assert.deepEqual(explained.near[0]!.lacks, [
      { selector: 'docker:env:TOKEN=[redacted]', has: ['docker:env:TOKEN=[redacted]'], alike: null },
      { selector: 'docker:label:app:api', has: ['docker:label:app:web'], alike: null },
    ]);
    assert.doesNotMatch(JSON.stringify(explained), /s3cret|0ther/);
    assert.equal(explained.near[0]!.fix, null);
    await obey(server, explained.fixes[0]!);
    assert.equal((await explain(server, '--container', 'web-1', '--spiffe-id', WEB)).asked!.given, true);

    // The container ends, and starts again, while its main process is examined.
    const [then, now] = [pid, process1(t)].map((main) =>
      answering(containerJson(ID, { State: runningAs(main), Config: config })),
    );
    const before = engine.asked.length;
    engine.answer = (response, request) => {
      const isFirst = engine.asked.slice(before).filter((url) => url.includes('/web-1/')).length <= 1;
      (isFirst ? then : now)!(response, request);
    };
    const changed = await run(server, 'explain', '--container', 'web-1');
    assert.equal(changed.status, 1, changed.stdout);
    assert.match(changed.stderr, /container web-1 was started again while .* was examined; ask again/);
    engine.answer = then!;

    await engine.stop();
    const broken = await explain(server, '--pid', String(pid), '--spiffe-id', WEB);
    assert.match(broken.attestors[1]!.error!, /the docker attestor failed: the container engine at .* fails: ENOENT/);
    assert.deepEqual([broken.identities, broken.fixes], [[], []]);
    assert.match(broken.note!, /sidekey doctor shows what to do$/);
  });
});

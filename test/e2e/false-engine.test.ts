/** Engines that are not the engine: run by another user, or where other users could put one of theirs. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, renameSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import type { Finding } from '../../src/base/finding.ts';
import { sidekey } from '../cli/support.ts';
import { endAfter } from '../support/caller.ts';
import { makeCgroup, whyNoCgroup } from '../support/cgroup.ts';
import { NOBODY, runChild, whyNotNobody } from '../support/child.ts';
import { makePlace, ROOT, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const ID = 'ab'.repeat(32);
const NAME = `spiffe://${TRUST_DOMAIN}/web`;
const PROGRAM = path.join(import.meta.dirname, '../support/false-engine-program.ts');
const skip = whyNoCgroup() ?? whyNotNobody() ?? false;
const STRANGER = 12_001;

interface Asker {
  readonly pid: number;
  /** Asks for the container's identity. */
  ask(): Promise<{ code: number | null; stderr: string }>;
}

/** A process in a cgroup with the name of the container, which will ask. */
function startAsker(t: TestContext, socket: string): Asker {
  const fetch = [path.join(ROOT, 'bin/sidekey'), 'fetch', '--socket', socket, '--spiffe-id', NAME];
  const child = spawn('/bin/sh', ['-c', 'read go; exec "$@"', 'sh', ...fetch], { stdio: 'pipe' });
  endAfter(t, child);
  makeCgroup(t, ID).join(child.pid!);
  const said = text(child.stderr);
  child.stdout.resume();
  return {
    pid: child.pid!,
    async ask() {
      const ended = once(child, 'close');
      child.stdin.end('\n');
      const [code] = (await ended) as [number | null];
      return { code, stderr: await said };
    },
  };
}

/** An engine of this user, which listens in a directory of theirs until its socket is moved. */
async function startEngine(t: TestContext, uid: number, main: number, socket: string): Promise<ChildProcess> {
  const own = makePlace(t).directory;
  chownSync(own, uid, uid);
  const made = path.join(own, 'e.sock');
  const child = spawn(process.execPath, [PROGRAM, made, ID, String(main)], {
    uid,
    gid: uid,
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  endAfter(t, child);
  await once(child.stdout!, 'data');
  renameSync(made, socket);
  return child;
}

async function start(
  t: TestContext,
  engine: (directory: string) => string,
): Promise<{ server: Served; asker: Asker; socket: string }> {
  const place = makePlace(t);
  chmodSync(place.directory, 0o755);
  mkdirSync(path.join(place.directory, 'home/engine'), { recursive: true });
  const socket = engine(path.join(place.directory, 'home/engine'));
  const server = await serve(t, { place, flags: ['--docker-socket', socket, '--socket-mode', '0666'] });
  const body = { spiffe_id: NAME, selectors: ['docker:label:app:web'] };
  assert.equal((await server.request('POST', '/v1/entries', body)).status, 201);
  return { server, asker: startAsker(t, server.socket), socket };
}

async function doctor(server: Served): Promise<Finding[]> {
  const { stdout } = await sidekey(['doctor', '--admin-socket', server.adminSocket, '--output', 'json']);
  return (JSON.parse(stdout) as { findings: Finding[] }).findings.filter(({ rule }) => /engine|docker/.test(rule));
}

const DISBELIEVED = 'the container engine is not trusted: callers in containers get no identity';

describe('an engine that could be anybody', { skip, timeout: 180_000 }, () => {
  it('is believed where root runs it and nobody else could take its place, by a symbolic link too', async (t) => {
    const { server, asker, socket } = await start(t, (directory) => {
      symlinkSync(directory, `${directory}-link`);
      return path.join(`${directory}-link`, 'e.sock');
    });
    await startEngine(t, 0, asker.pid, socket);
    const { code, stderr } = await asker.ask();
    assert.equal(code, 0, stderr);
    assert.deepEqual(await doctor(server), []);
    assert.ok(!server.log.some(({ msg }) => msg === DISBELIEVED));
  });

  it('is not believed where another user runs it', async (t) => {
    const { server, asker, socket } = await start(t, (directory) => path.join(directory, 'e.sock'));
    await startEngine(t, NOBODY, asker.pid, socket);
    const { code, stderr } = await asker.ask();
    assert.equal(code, 1, 'it has an identity');
    const reason =
      /is not trusted: a process of uid 65534 listens on its socket; the engine must run as root or as the user of Sidekey \(uid 0\)/;
    assert.match(stderr, reason);
    const found = await doctor(server);
    assert.deepEqual(found.map(({ rule, severity }) => [rule, severity]).sort(), [
      ['attestor-docker', 'error'],
      ['engine-user', 'error'],
    ]);
    assert.ok(found.every(({ command }) => command === undefined));
    const lines = () =>
      JSON.stringify(server.log.filter(({ msg }) => /event stream of the container engine is down/.test(String(msg))));
    assert.match(lines(), /ENOENT|is not trusted/);
  });

  it('is looked at anew on each connection: one that takes its place later is not believed', async (t) => {
    const { server, asker, socket } = await start(t, (directory) => path.join(directory, 'e.sock'));
    const real = await startEngine(t, 0, 1, socket);
    await server.logged('the event stream of the container engine is back');
    real.kill('SIGKILL');
    await startEngine(t, NOBODY, asker.pid, socket);
    const { code, stderr } = await asker.ask();
    assert.equal(code, 1, 'it has an identity');
    assert.match(stderr, /is not trusted/);
    const line = await server.loggedLike(/event stream of the container engine is down/);
    assert.ok(line !== undefined);
  });

  for (const [what, loosen, problem] of [
    [
      'everybody may write',
      (directory: string) => chmodSync(directory, 0o777),
      /engine \(uid 0, mode 0777\) can be written by everybody/,
    ],
    [
      'everybody may make files',
      (directory: string) => chmodSync(directory, 0o1777),
      /everybody may make files in .*engine \(uid 0, mode 01777\)/,
    ],
    [
      'a group may write',
      (directory: string) => chmodSync(directory, 0o775),
      /engine \(uid 0, mode 0775\) can be written by its group/,
    ],
    [
      'a user has',
      (directory: string) => chownSync(path.dirname(directory), STRANGER, STRANGER),
      /\(uid 12001, mode 0755\) belongs to another user/,
    ],
  ] as const) {
    it(`is not believed in a directory that ${what}`, async (t) => {
      const { server, asker, socket } = await start(t, (directory) => path.join(directory, 'e.sock'));
      await startEngine(t, 0, asker.pid, socket);
      await server.logged('the event stream of the container engine is back');
      loosen(path.dirname(socket));
      // The connection of before is still there: what it takes to have another one is a question at the same time.
      await server.stop();
      const again = await serve(t, { place: server, flags: ['--docker-socket', socket, '--socket-mode', '0666'] });
      const { code, stderr } = await asker.ask();
      assert.equal(code, 1, 'it has an identity');
      assert.match(stderr, problem);
      assert.match(stderr, /every directory from \/ down must belong to root or uid 0/);
      assert.match(JSON.stringify(await again.logged(DISBELIEVED)), problem);
      const found = await doctor(again);
      assert.deepEqual(found.map(({ rule }) => rule).sort(), ['attestor-docker', 'engine-directory']);
      assert.match(found.find(({ rule }) => rule === 'engine-directory')!.problem, problem);
    });
  }

  it('of the own user is believed, as of a rootless engine', async (t) => {
    const place = makePlace(t);
    chmodSync(place.directory, 0o755);
    const found: Record<string, string> = {};
    for (const uid of [STRANGER, 0, NOBODY]) {
      const socket = path.join(place.directory, `${uid}.sock`);
      await startEngine(t, uid, 1, socket);
      const code = `
        import { createEngine } from 'src/attest/docker/engine.ts';
        const engine = createEngine('${socket}');
        const said = await engine.get('/version', new AbortController().signal).then(() => 'believed', (error) => error.message);
        console.log(said);
        engine.close();
      `;
      found[uid] = await runChild(t, code, STRANGER).firstLine;
    }
    assert.deepEqual([found[STRANGER], found[0]], ['believed', 'believed']);
    assert.match(found[NOBODY]!, /a process of uid 65534 listens on its socket.* \(uid 12001\)$/);
  });
});

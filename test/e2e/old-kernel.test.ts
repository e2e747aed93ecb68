/** A server on a kernel that lacks something, or under a seccomp profile that forbids it. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { sidekey } from '../cli/support.ts';
import { makeCgroup, whyNoCgroup } from '../support/cgroup.ts';
import { SdsClient } from '../support/sds-client.ts';
import { makePlace, ROOT, type Served, serve, spawnServe } from '../support/serve.ts';
import { answering, containerJson, StandInEngine } from '../support/stand-in-engine.ts';

const ID = 'ab'.repeat(32);
const PROGRAM = path.join(ROOT, 'test/support/old-kernel-program.ts');
const NO_PEERPIDFD = 'peerpidfd:ENOPROTOOPT';
const lacking = (...calls: string[]) => [process.execPath, '--no-warnings', PROGRAM, calls.join(',')];
const ALLOWED = ['--allow-unpinned-peers'];

/** What a start that is refused says. */
async function refused(t: TestContext, calls: string[], flags: string[], env = {}): Promise<string> {
  const child = spawnServe(makePlace(t), flags, env, { launcher: lacking(...calls) });
  let [stderr, stdout] = ['', ''];
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  const [status] = await once(child, 'close');
  assert.equal(status, 1, stdout + stderr);
  assert.ok(!stdout.includes('serving'), stdout);
  assert.match(stderr, /\(ERR_KERNEL\)\n$/);
  assert.doesNotMatch(stderr, /\n\s+at /, 'a stack');
  return stderr;
}

async function gives(server: Served): Promise<void> {
  const entry = {
    spiffe_id: 'spiffe://ilinux.io/web',
    selectors: [{ type: 'unix', value: `uid:${process.getuid!()}` }],
  };
  assert.equal((await server.request('POST', '/v1/entries', entry)).status, 201);
  const { status, stderr } = await sidekey(['fetch', '--socket', server.socket]);
  assert.equal(status, 0, stderr);
}

describe('on a kernel without', { concurrency: 2 }, () => {
  it('SO_PEERPIDFD the start is refused, and the message says what would be open and how to accept it', async (t) => {
    const message = await refused(t, [NO_PEERPIDFD], []);
    assert.match(message, /SO_PEERPIDFD.* since 6\.5.*another process of the same user.*--allow-unpinned-peers/);
  });

  it('SO_PEERPIDFD it serves who accepts that, and says so at the start and in doctor', async (t) => {
    for (const [flags, env] of [
      [ALLOWED, {}],
      [[], { SIDEKEY_ALLOW_UNPINNED_PEERS: 'true' }],
    ] as const) {
      const server = await serve(t, { flags, env, launcher: lacking(NO_PEERPIDFD) });
      const warning = server.log.find(({ setting }) => setting === 'allowUnpinnedPeers');
      assert.match(String(warning?.msg), /no SO_PEERPIDFD .*another process of the same user/);
      await gives(server);
      const { stdout } = await sidekey(['doctor', '--admin-socket', server.adminSocket]);
      assert.match(stdout, /\[unpinned-peers\]/);
    }
  });

  it('SO_PEERPIDFD and pidfd_open it does not start at all', async (t) => {
    for (const error of ['EPERM', 'ENOSYS']) {
      const message = await refused(t, [NO_PEERPIDFD, `pidfd_open:${error}`], ALLOWED);
      assert.match(message, new RegExp(`SO_PEERPIDFD\\) fails with ENOPROTOOPT and pidfd_open with ${error}`));
      assert.match(message, /since 6\.5, the second since 5\.3.*seccomp/);
    }
  });

  it('another call it does not start either, and the call is named', async (t) => {
    assert.match(await refused(t, ['statx:EPERM'], ALLOWED), /statx fails with EPERM.*Linux 4\.11/);
    assert.match(await refused(t, ['peergroups:EPERM'], ALLOWED), /SO_PEERGROUPS\) fails with EPERM/);
  });

  it('pidfd_open alone callers are attested, and explain says what it lacks', async (t) => {
    const server = await serve(t, { launcher: lacking('pidfd_open:EPERM') });
    await gives(server);
    assert.deepEqual(
      server.log.filter((line) => JSON.stringify(line).includes('    at ')),
      [],
    );
    const { status, body } = await server.request('GET', `/v1/explain?pid=${process.pid}`);
    assert.deepEqual([status, body.code], [500, 'ERR_KERNEL']);
    assert.match(body.detail, /pidfd_open: EPERM/);
    const { stdout } = await sidekey(['doctor', '--admin-socket', server.adminSocket]);
    assert.match(stdout, /\[no-pidfd-open\]/);
  });

  it('pidfd_open no caller in a container is attested, which the start and doctor say', {
    skip: whyNoCgroup() ?? false,
  }, async (t) => {
    const engine = new StandInEngine(t);
    engine.answer = answering(containerJson(ID));
    await engine.start();
    const flags = ['--docker-socket', engine.socketPath];
    const server = await serve(t, { launcher: lacking('pidfd_open:EPERM'), flags });
    await server.loggedLike(/^sidekey explain --pid does not work here, and no caller in a container is attested$/);
    await gives(server);
    const { stdout } = await sidekey(['doctor', '--admin-socket', server.adminSocket]);
    assert.match(stdout, /pidfd_open: EPERM.*\[attestor-docker\]\n.*\n.*seccomp/);
    const spiffe_id = 'spiffe://ilinux.io/container';
    await server.request('POST', '/v1/entries', { spiffe_id, selectors: ['docker:label:app:web'] });
    // From then on the test may not use the admin socket.
    makeCgroup(t, ID).join(process.pid);
    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    const stream = client.stream();
    stream.ask(spiffe_id);
    const { code, details } = await stream.status;
    assert.equal(code, 14);
    assert.match(details, /pidfd_open: EPERM: the main process of a container cannot be distinguished/);
  });

  it('SO_PEERGROUPS the groups are those of /proc', async (t) => {
    await gives(await serve(t, { launcher: lacking('peergroups:ENOPROTOOPT') }));
  });
});

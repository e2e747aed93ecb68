/** What a server tells the service manager that has started it: sd_notify(3). No systemd runs here, but its socket does. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { makeCa } from '../ca/upstream/pki.ts';
import { openNotifySocket } from '../support/notify-socket.ts';
import { makePlace, ROOT, serve, serveArguments } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const DAY = 86_400_000;
/** CLOCK_MONOTONIC in microseconds. */
const monotonic = () => process.hrtime.bigint() / 1_000n;

describe('NOTIFY_SOCKET', { timeout: 60_000, concurrency: 2 }, () => {
  for (const isAbstract of [false, true]) {
    it(`is told when the server is ready, reloads and stops (${isAbstract ? 'abstract' : 'a path'})`, async (t) => {
      const manager = openNotifySocket(t, isAbstract);
      const entries = path.join(tempDir(t), 'entries.yaml');
      const write = (text: string) => writeFileSync(entries, text);
      write('entries: []\n');
      const server = await serve(t, { flags: ['--entries', entries], env: { NOTIFY_SOCKET: manager.name } });
      assert.equal(await manager.next(/READY=1/), 'READY=1\nSTATUS=serving ilinux.io: 0 entries');
      assert.equal((await server.request('GET', '/readyz')).status, 200);
      assert.deepEqual(manager.messages.slice(0, -1), ['STATUS=starting']);

      write('entries:\n- spiffe_id: spiffe://ilinux.io/web\n  selectors: [unix:uid:7]\n');
      let from = manager.messages.length;
      const before = monotonic();
      process.kill(server.pid, 'SIGHUP');
      const reloading = await manager.next(/RELOADING=1/, from);
      const [, time] = /^RELOADING=1\nMONOTONIC_USEC=(\d+)\nSTATUS=reloading$/.exec(reloading)!;
      assert.ok(BigInt(time!) >= before && BigInt(time!) <= monotonic(), time);
      assert.equal(await manager.next(/READY=1/, from), 'READY=1\nSTATUS=serving ilinux.io: 1 entry');

      write('entries: [nonsense]\n');
      from = manager.messages.length;
      process.kill(server.pid, 'SIGHUP');
      const failed = 'READY=1\nSTATUS=serving ilinux.io: 1 entry; the last reload did not apply: entries';
      assert.equal(await manager.next(/READY=1/, from), failed);

      const created = { spiffe_id: 'spiffe://ilinux.io/db', selectors: ['unix:uid:8'] };
      assert.equal((await server.request('POST', '/v1/entries', created)).status, 201);
      await manager.next(/^STATUS=serving ilinux.io: 2 entries;/);

      assert.deepEqual(await server.stop(), { code: 0, signal: null });
      assert.equal(await manager.next(/STOPPING/), 'STOPPING=1\nSTATUS=stopping');
      assert.equal(manager.messages.at(-1), 'STOPPING=1\nSTATUS=stopping');
      assert.ok(!manager.messages.some((message) => message.includes('WATCHDOG')), 'nobody asked for it');
    });
  }

  it('is told what a server waits for, and READY=1 comes only when /readyz answers 200', async (t) => {
    const manager = openNotifySocket(t);
    const folder = tempDir(t);
    const root = await makeCa({ notBefore: Date.now() - DAY, notAfter: Date.now() + 30 * DAY, name: 'root' });
    const [cert, key] = ['ca.crt', 'ca.key'].map((name) => path.join(folder, name)) as [string, string];
    writeFileSync(cert, root.certificate.toString(), { mode: 0o600 });
    const flags = ['--upstream', 'disk', '--upstream-cert-file', cert, '--upstream-key-file', key];
    const server = await serve(t, { flags, env: { NOTIFY_SOCKET: manager.name } });
    const status = await manager.next(/STATUS=waiting/);
    assert.match(status, /^STATUS=waiting for authority: no intermediate can sign: .*ca\.key/);
    assert.equal((await server.request('GET', '/readyz')).status, 503);
    process.kill(server.pid, 'SIGHUP');
    await server.logged('nothing to reload: there is no entries file (--entries)');
    assert.ok(!manager.messages.some((message) => /READY|RELOADING/.test(message)), 'a reload does not end the start');
    writeFileSync(key, root.privateKey.export({ format: 'pem', type: 'pkcs8' }), { mode: 0o600 });
    await manager.next(/^READY=1\nSTATUS=serving/);
    assert.equal((await server.request('GET', '/readyz')).status, 200);
  });

  it('gets signs of life twice in the time of the watchdog, and none while the event loop stands still', async (t) => {
    const manager = openNotifySocket(t);
    const env = { NOTIFY_SOCKET: manager.name, WATCHDOG_USEC: '400000' };
    const server = await serve(t, { env });
    const lives = () => manager.messages.filter((message) => message === 'WATCHDOG=1').length;
    const begun = performance.now();
    while (lives() < 4) await manager.next(/WATCHDOG=1/, manager.messages.length);
    const took = performance.now() - begun;
    assert.ok(took > 500, `${took} ms`);
    process.kill(server.pid, 'SIGSTOP');
    const alive = lives();
    await pause(700);
    manager.read();
    assert.ok(lives() <= alive + 1, 'one may have been on its way');
    process.kill(server.pid, 'SIGCONT');
    await manager.next(/WATCHDOG/, manager.messages.length);
  });

  it('gets no signs of life for another process', async (t) => {
    const manager = openNotifySocket(t);
    const env = { NOTIFY_SOCKET: manager.name, WATCHDOG_USEC: '20000', WATCHDOG_PID: '1' };
    const server = await serve(t, { env });
    await server.stop();
    await manager.next(/STOPPING/);
    assert.ok(!manager.messages.some((message) => message.includes('WATCHDOG')));
  });

  it('is told why a start has failed', async (t) => {
    const manager = openNotifySocket(t);
    const place = makePlace(t);
    const args = serveArguments(place, ['--entries', path.join(place.directory, 'missing.yaml')]);
    const env = { ...process.env, NOTIFY_SOCKET: manager.name };
    const { status } = spawnSync(path.join(ROOT, 'bin/sidekey'), args, { env, encoding: 'utf8' });
    assert.notEqual(status, 0);
    assert.match(await manager.next(/failed/), /^STATUS=the start failed: .*missing\.yaml.* \(ERR_CONFIG\)$/);
    assert.ok(!manager.messages.some((message) => message.includes('READY')));
  });

  for (const [what, name] of [
    ['is no absolute path', 'run/notify'],
    ['is of another kind', 'vsock:2:1234'],
    ['is too long', `/${'x'.repeat(107)}`],
  ] as const) {
    it(`is ignored with a warning where it ${what}`, async (t) => {
      const server = await serve(t, { env: { NOTIFY_SOCKET: name } });
      const { problem } = await server.logged('a variable of the service manager is ignored');
      assert.match(String(problem), /^NOTIFY_SOCKET is ".*", but must be an absolute path, or @ and a name/);
    });
  }

  it('keeps no server from starting where nobody listens', async (t) => {
    const place = makePlace(t);
    const server = await serve(t, { place, env: { NOTIFY_SOCKET: path.join(place.directory, 'nobody') } });
    assert.equal((await server.request('GET', '/readyz')).status, 200);
    const { error } = await server.logged('the service manager could not be told of the state of the server');
    assert.equal(error, 'ENOENT');
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });

  it('is not in the environment of programs that the server runs', async (t) => {
    const manager = openNotifySocket(t);
    const folder = tempDir(t);
    const seen = path.join(folder, 'environment');
    const program = path.join(folder, 'sign');
    writeFileSync(program, `#!/bin/sh\nenv >'${seen}.new'; mv '${seen}.new' '${seen}'; exit 1\n`, { mode: 0o700 });
    const root = await makeCa({ notBefore: Date.now() - DAY, notAfter: Date.now() + 30 * DAY, name: 'root' });
    writeFileSync(path.join(folder, 'root.pem'), root.certificate.toString(), { mode: 0o600 });
    const env = { NOTIFY_SOCKET: manager.name, WATCHDOG_USEC: '1000000' };
    const flags = ['--upstream', 'command', '--upstream-command', program];
    const server = await serve(t, { flags, env });
    await manager.next(/waiting for authority/);
    assert.doesNotMatch(readFileSync(seen, 'utf8'), /NOTIFY|WATCHDOG/);
    await server.stop();
  });
});

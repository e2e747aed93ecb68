import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { hasEnded } from '../../src/attest/libc.ts';
import { openPeerPidfdByPid, openPidfdByPid, peerCredentials } from '../../src/attest/socket-peer.ts';
import { endAfter, startCaller } from '../support/caller.ts';
import { tempDir } from '../support/temp-dir.ts';

async function listen(t: TestContext): Promise<{ socketPath: string; accepted: () => Promise<net.Socket> }> {
  const socketPath = path.join(tempDir(t), 'socket');
  const server = net.createServer().listen(socketPath);
  await once(server, 'listening');
  t.after(() => server.close());
  return {
    socketPath,
    accepted: async () => {
      const [socket] = (await once(server, 'connection')) as [net.Socket];
      t.after(() => socket.destroy());
      return socket;
    },
  };
}

test('a socket that Node accepted has a descriptor behind _handle.fd, and the kernel knows who connected', async (t) => {
  const { socketPath, accepted } = await listen(t);
  const caller = startCaller(t);
  const [socket] = await Promise.all([accepted(), caller.tell('connect', socketPath)]);
  assert.deepEqual(peerCredentials(socket), { pid: caller.pid, uid: process.geteuid!(), gid: process.getegid!() });

  const pidfd = openPeerPidfdByPid(socket)!;
  assert.equal(hasEnded(pidfd), false);
  caller.tellLast('exit');
  await caller.ended;
  assert.equal(hasEnded(pidfd), true);
  fs.closeSync(pidfd);
});

test('a socket that is closed has no peer', async (t) => {
  const { socketPath, accepted } = await listen(t);
  const client = net.connect(socketPath);
  const socket = await accepted();
  client.destroy();
  socket.destroy();
  assert.throws(() => peerCredentials(socket), /no descriptor/);
});

test('a TCP socket has no process behind it', async (t) => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [net.Socket];
  t.after(() => {
    client.destroy();
    socket.destroy();
    server.close();
  });
  // TCP has no credentials: the kernel says pid 0, or nothing.
  assert.equal(peerCredentials(socket).pid, 0);
});

test('by its pid, as before Linux 6.5, a process is pinned as well', async (t) => {
  const child = spawn('/bin/sleep', ['1000'], { stdio: 'ignore' });
  endAfter(t, child);
  const pidfd = openPidfdByPid(child.pid!)!;
  assert.equal(hasEnded(pidfd), false);
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.equal(hasEnded(pidfd), true);
  fs.closeSync(pidfd);
  assert.equal(openPidfdByPid(child.pid!), undefined);
});

test('signals that arrive while a process is looked at do not make it fail', async (t) => {
  let signals = 0;
  const heard = () => {
    signals += 1;
  };
  process.on('SIGWINCH', heard);
  t.after(() => process.off('SIGWINCH', heard));
  const flood = spawn(process.execPath, ['-e', `for (;;) process.kill(${process.pid}, 'SIGWINCH')`], {
    stdio: 'ignore',
  });
  await once(flood, 'spawn');
  const pidfd = openPidfdByPid(flood.pid!)!;
  try {
    // Each look may take a thousand times as long as alone.
    const end = performance.now() + 1_000;
    while (performance.now() < end) assert.equal(hasEnded(pidfd), false);
  } finally {
    // libuv's queue of signals may be full, and lose the one that tells of the end: it is told again until it is heard.
    const exit = once(flood, 'exit').then(() => true);
    flood.kill('SIGKILL');
    while (!(await Promise.race([exit, setTimeout(10, false)]))) process.kill(process.pid, 'SIGCHLD');
    fs.closeSync(pidfd);
  }
  assert.ok(signals > 0);
});

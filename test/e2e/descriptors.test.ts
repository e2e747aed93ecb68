/** Few descriptors: who takes all that there are to get on one listener leaves the others theirs. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { whyNotNobody } from '../support/child.ts';
import { descriptorsOf } from '../support/process-state.ts';
import { namesOf, SdsClient } from '../support/sds-client.ts';
import { makePlace, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;

function limited(descriptors: number): readonly string[] {
  return ['sh', '-c', `ulimit -n ${descriptors}; exec "$@"`, 'sh'];
}

/** A server that may have so many descriptors, with an entry for this user, and the port of its admin API on TCP. */
async function start(t: TestContext, descriptors: number): Promise<Served & { port: number }> {
  const flags = ['--admin-listen', '127.0.0.1:0', '--socket-mode', '0666'];
  const place = makePlace(t);
  chmodSync(place.directory, 0o755);
  const server = await serve(t, { place, flags, launcher: limited(descriptors), logLevel: 'info' });
  const { port } = (await server.logged('admin API listens on TCP')) as { port: number };
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  const made = await server.request('POST', '/v1/entries', { spiffe_id: WEB, selectors });
  assert.equal(made.status, 201);
  return { ...server, port };
}

/** Connects so often and says nothing. */
async function occupy(t: TestContext, to: net.NetConnectOpts, count: number): Promise<net.Socket[]> {
  const sockets: net.Socket[] = [];
  for (let i = 0; i < count; i += 1) {
    const socket = net.connect(to);
    socket.on('error', () => undefined);
    sockets.push(socket);
    if (i % 100 === 99) await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
  }
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  return sockets;
}

async function fetches(server: Served): Promise<void> {
  const client = new SdsClient(server.socket);
  try {
    assert.deepEqual(namesOf(await client.fetch({ resourceNames: [WEB] })), [WEB]);
  } finally {
    client.close();
  }
}

async function overTcp({ port, dataDir }: Served & { port: number }): Promise<number> {
  const token = readFileSync(path.join(dataDir, 'admin.token'), 'utf8').trim();
  const headers = { authorization: `Bearer ${token}` };
  const asked = http.request({ host: '127.0.0.1', port, path: '/v1/entries', headers, agent: false }).end();
  const [response] = (await once(asked, 'response')) as [http.IncomingMessage];
  response.resume();
  return response.statusCode!;
}

describe('few descriptors', { concurrency: 2, timeout: 120_000 }, () => {
  it('thousands of idle connections to the admin API on TCP leave the pipe and the Unix socket theirs', async (t) => {
    const server = await start(t, 512);
    await occupy(t, { host: '127.0.0.1', port: server.port }, 3_000);
    await fetches(server);
    assert.equal((await server.request('GET', '/v1/entries')).status, 200);
    assert.equal(await overTcp(server), 200);
    await server.logged(
      'connections to the admin API on TCP reached adminMaxConnections: the oldest ones without an authorized request are closed',
    );
    assert.ok((await descriptorsOf(server)) < 400);
    // Those that are left are cut too, soon.
    const before = await descriptorsOf(server);
    while ((await descriptorsOf(server)) > before - 50) await sleep(100);
  });

  it('requests without a token, and without an end, are answered and cut', async (t) => {
    const server = await start(t, 512);
    const sockets = await occupy(t, { host: '127.0.0.1', port: server.port }, 40);
    const head =
      'POST /v1/entries HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n';
    const closed = sockets.map((socket) => {
      socket.resume();
      socket.write(`${head}{`);
      return once(socket, 'close');
    });
    const begun = performance.now();
    await Promise.all(closed);
    assert.ok(performance.now() - begun < 25_000, 'before the timeout of a request');
  });

  it('one uid that takes all connections of the pipe that it may get leaves the others some, and the log tells', async (t) => {
    const server = await start(t, 256);
    const sockets = await occupy(t, { path: server.socket }, 1_000);
    const line = await server.logged('connections are refused');
    const [, held] = /has (\d+) connections open, which is its limit \(maxConnectionsPerUid\)/.exec(
      String(line.reason),
    )!;
    assert.ok(Number(held) < 50);
    assert.equal((await server.request('GET', '/v1/entries')).status, 200);
    assert.equal(await overTcp(server), 200);
    assert.ok((await descriptorsOf(server)) < 256 - 50, 'the server keeps some for itself');
    for (const socket of sockets) socket.destroy();
    await untilServed(server);
  });

  it('all connections of the pipe are taken by several uids: the log and doctor tell why, and the server recovers', async (t) => {
    const why = whyNotNobody();
    if (why !== undefined) return t.skip(why);
    const server = await start(t, 256);
    const sockets = await occupy(t, { path: server.socket }, 60);
    // A process for each of three other users, which ends with its stdin.
    const hold = `for (let i = 0; i < 60; i += 1) require('net').connect(process.argv[1]).on('error', () => {});
      process.stdin.on('end', () => process.exit()).resume(); setTimeout(() => console.log('done'), 300);`;
    const others = [60_001, 60_002, 60_003].map((uid) =>
      spawn(process.execPath, ['-e', hold, server.socket], {
        uid,
        gid: uid,
        cwd: '/',
        stdio: ['pipe', 'pipe', 'inherit'],
      }),
    );
    t.after(() => {
      for (const other of others) other.kill('SIGKILL');
    });
    await Promise.all(others.map((other) => once(other.stdout!, 'data')));
    const refused = async () => (await server.request('GET', '/v1/doctor')).body.descriptors.refused_connections;
    while ((await refused()) === 0) await sleep(20);
    await server.logged('connections are refused');
    for (const socket of sockets) socket.destroy();
    for (const other of others) other.stdin!.end();
    await Promise.all(others.map((other) => once(other, 'exit')));
    await untilServed(server);
  });
});

/** The server hears of closed connections a moment later. */
async function untilServed(server: Served): Promise<void> {
  for (;;) {
    const served = await fetches(server).then(
      () => true,
      () => false,
    );
    if (served) return;
    await sleep(50);
  }
}

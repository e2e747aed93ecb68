/** Callers of the agent port that are no agents, and mean harm. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { type TestContext, test } from 'node:test';
import tls from 'node:tls';
import { AgentClient } from '../support/agent-client.ts';
import { issue } from './certificates.ts';
import { openPort } from './support.ts';

/** Connects, and closes with the test. */
function connect(t: TestContext, port: number): net.Socket {
  const socket = net.connect(port, '127.0.0.1').on('error', () => undefined);
  t.after(() => socket.destroy());
  return socket;
}

test('silent connections leave handshakes for others, and garbage ends its connection', async (t) => {
  const { number, client, counts, port } = await openPort(t, { maxConnections: 200 });
  const silent = Array.from({ length: 100 }, () => connect(t, number));
  await Promise.all(silent.map((socket) => once(socket, 'connect')));
  // Those beyond the limit of one address are closed.
  await Promise.all(silent.slice(64).map((socket) => (socket.destroyed ? undefined : once(socket, 'close'))));
  assert.ok(counts.refusedConnections.get('handshakes') >= 36);
  for (const socket of silent) socket.destroy();
  const garbage = connect(t, number);
  garbage.resume().write('GET / HTTP/1.1\r\n\r\n');
  await once(garbage, 'close');
  await client().bundle();
  assert.equal(port.connected, 0);
});

test('TLS without h2, and an older TLS, are refused', async (t) => {
  const { number, roots, client } = await openPort(t);
  const options = { port: number, host: '127.0.0.1', ca: roots(), checkServerIdentity: () => undefined };
  for (const more of [
    { ALPNProtocols: ['http/1.1'] },
    { ALPNProtocols: ['h2'], maxVersion: 'TLSv1.1' as const, minVersion: 'TLSv1' as const },
  ]) {
    const socket = tls.connect({ ...options, ...more });
    await assert.rejects(once(socket, 'secureConnect'));
    socket.destroy();
  }
  const none = tls.connect(options);
  await once(none.resume(), 'close');
  await client().bundle();
});

test('certificates of others, and of an authority, make no agent', async (t) => {
  const { client, roots, number, counts, refusals } = await openPort(t);
  const id = 'spiffe://ilinux.io/spire/agent/join_token/a';
  const root = await issue({ name: 'other', isCa: true });
  const forged = await issue({ issuer: root, uris: [id] });
  for (const certificate of [forged, root]) {
    const as = { id, key: certificate.keyPem, chain: certificate.pem };
    await assert.rejects(new AgentClient(t, number, roots(), as).sync(), { code: 14 });
  }
  assert.ok(counts.refusedConnections.get('certificate') >= 2);
  assert.ok(refusals.some(({ code }) => code === 'certificate'));
  await client().bundle();
});

test('attestations from one address are limited', async (t) => {
  const { client, clock } = await openPort(t);
  const stranger = client();
  const codes: number[] = [];
  for (let at = 0; at < 25; at += 1) {
    await stranger.attest('join_token', 'guess').catch((error: { code: number }) => codes.push(error.code));
  }
  assert.deepEqual([...new Set(codes)], [3, 8]);
  clock.advance(1_000);
  await assert.rejects(stranger.attest('join_token', 'guess'), { code: 3 });
});

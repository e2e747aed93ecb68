/** Revocation: until a real Envoy refuses the certificate, until all of many streams have the lists, and with very many. */

import { randomBytes } from 'node:crypto';
import { connect } from 'node:tls';
import Sqlite from 'better-sqlite3';
import { findEnvoy } from '../../scripts/find-envoy.ts';
import { CLIENT, createEntry, DOMAIN, startMesh } from '../../test/support/mesh.ts';
import { type Credentials, fetchCredentials, mtlsRequest } from '../../test/support/mtls-client.ts';
import { type Served, serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile, round } from '../figure.ts';
import type { OpenOptions } from '../load/client-program.ts';
import { settledMemory } from '../load/memory.ts';
import { Program, sharedNow } from '../load/program.ts';

const TIMES = 100;
const STREAMS = 1_000;
const CONNECTIONS = 100;
/** Of the first, the machine code is not made yet. */
const CHANGES = 7;
const MANY = 9_990;

/** From the call to the first handshake that the Envoy refuses. */
export async function revocation(cleanup: Cleanup): Promise<Figure[]> {
  const envoy = await findEnvoy({ tell: (line) => console.error(line) });
  const { server, port } = await startMesh(cleanup, envoy.path);
  const sample: number[] = [];
  for (let i = 0; i < TIMES; i += 1) {
    const credentials = await fetchCredentials(server.socket, CLIENT);
    const { status } = await mtlsRequest(port, credentials);
    if (status !== 200) throw new Error(`status ${status} before the revocation`);
    const serial = await serialOf(server);
    const begun = performance.now();
    const revoking = revoke(server, serial);
    while (await accepts(port, credentials));
    sample.push(performance.now() - begun);
    await revoking;
  }
  const how = `${TIMES} certificates of one trust domain revoked one after the other by POST /v1/revocations, until the first handshake that an Envoy ${envoy.version} refuses; handshakes follow each other without a pause`;
  return [
    { name: 'revocation-p50', value: percentile(sample, 0.5), unit: 'ms', compared_with: { reach: 10 }, how },
    { name: 'revocation-p99', value: percentile(sample, 0.99), unit: 'ms', compared_with: { reach: 60 }, how },
  ];
}

/** Until the last of many streams has the lists, with few and with very many revoked certificates. */
export async function revocationStreams(cleanup: Cleanup): Promise<Figure[]> {
  const few = await cleanup.within((inner) => streams(inner, STREAMS, 0));
  const many = await cleanup.within((inner) => streams(inner, 1, MANY));
  const memory = await cleanup.within(memoryOfMany);
  return [
    {
      name: 'revocation-1000-streams',
      value: few,
      unit: 'ms',
      compared_with: { reach: 300 },
      how: `from the call to the last of ${STREAMS} streams over ${CONNECTIONS} connections having the lists; median of ${CHANGES} revocations`,
    },
    {
      name: 'revocation-9990-revoked',
      value: many,
      unit: 'ms',
      compared_with: { reach: 60 },
      how: `from the call that revokes one more to a stream having the lists, while ${MANY} unexpired certificates are revoked; median of ${CHANGES}`,
    },
    {
      name: 'revocation-9990-memory',
      value: round(memory.kept / 1024),
      unit: 'MiB',
      compared_with: { reach: 20, 'after the call, before a restart': round(memory.afterCall / 1024) },
      how: `resident memory of a server that has started with ${MANY} unexpired revocations, less that of one with none`,
    },
  ];
}

async function streams(cleanup: Cleanup, count: number, revoked: number): Promise<number> {
  const server = await serve(cleanup);
  await createEntry(server, CLIENT);
  const client = Program.start(cleanup, 'client-program.ts');
  const options: OpenOptions = {
    ...{ socket: server.socket, connections: Math.min(count, CONNECTIONS), names: Array<string>(count).fill(DOMAIN) },
    ...{ node: 'tiny', nodeInAcks: false, atOnce: 16 },
  };
  await client.tell('open', options);
  let messages = 1;
  if (revoked > 0) {
    await fetchCredentials(server.socket, CLIENT);
    addIssuances(server, revoked);
    await server.request('POST', '/v1/revocations', { entry_id: 'many', now: true });
    messages += 1;
    await client.tell('received', { messages });
  }
  const times: number[] = [];
  for (let i = 0; i < CHANGES; i += 1) {
    await fetchCredentials(server.socket, CLIENT);
    const serial = await serialOf(server);
    messages += 1;
    const begun = sharedNow();
    const revoking = revoke(server, serial);
    times.push((await client.tell<number>('received', { messages })) - begun);
    await revoking;
  }
  return percentile(times, 0.5);
}

/** In KiB: what a server with many revocations needs more than before, after a restart and right after the call. */
async function memoryOfMany(cleanup: Cleanup): Promise<{ kept: number; afterCall: number }> {
  const first = await serve(cleanup);
  await createEntry(first, CLIENT);
  await fetchCredentials(first.socket, CLIENT);
  await first.stop();
  const server = await serve(cleanup, { place: first });
  const before = await settledMemory(server.pid);
  addIssuances(server, MANY);
  await server.request('POST', '/v1/revocations', { entry_id: 'many', now: true });
  const afterCall = (await settledMemory(server.pid)) - before;
  await server.stop();
  const again = await serve(cleanup, { place: server });
  return { kept: (await settledMemory(again.pid)) - before, afterCall };
}

/** Adds issuances of one entry to the record of the server. */
function addIssuances(server: Served, count: number): void {
  const db = new Sqlite(`${server.dataDir}/sidekey.db`);
  const { sequence, authority_id: authority } = db
    .prepare<[], { sequence: number; authority_id: string }>(
      'SELECT sequence, authority_id FROM issuances ORDER BY sequence DESC LIMIT 1',
    )
    .get()!;
  const insert = db.prepare(
    `INSERT INTO issuances (sequence, kind, serial, spiffe_id, entry_id, authority_id, not_before, not_after, issued_at)
     VALUES (?, 'x509', ?, ?, 'many', ?, ?, ?, ?)`,
  );
  const now = Date.now();
  db.transaction(() => {
    for (let i = 1; i <= count; i += 1) {
      const serial = `40${randomBytes(15).toString('hex')}`;
      const spiffeId = `spiffe://${TRUST_DOMAIN}/many/${i}`;
      insert.run(sequence + i, serial, spiffeId, authority, now - 60_000, now + 3_600_000, now);
    }
  })();
  db.close();
}

/** Of the newest certificate on record. */
async function serialOf(server: Served): Promise<string> {
  const db = new Sqlite(`${server.dataDir}/sidekey.db`, { readonly: true });
  try {
    const newest = db.prepare<[string], string>(
      "SELECT serial FROM issuances WHERE spiffe_id = ? AND kind = 'x509' ORDER BY sequence DESC LIMIT 1",
    );
    return newest.pluck().get(CLIENT)!;
  } finally {
    db.close();
  }
}

async function revoke(server: Served, serial: string): Promise<void> {
  const input = { serial, reason: 'key-compromise', now: true };
  const { status, body } = await server.request('POST', '/v1/revocations', input);
  if (status !== 200) throw new Error(`POST /v1/revocations answered ${status} ${JSON.stringify(body)}`);
}

/** One handshake, and the first byte after it: in TLS 1.3 a client hears of the refusal after its own handshake. */
export function accepts(port: number, { cert, key }: Credentials): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, cert, key, rejectUnauthorized: false });
    const end = (accepted: boolean) => {
      socket.destroy();
      resolve(accepted);
    };
    socket
      .on('secureConnect', () => socket.write('GET / HTTP/1.1\r\nHost: bench\r\n\r\n'))
      .on('data', () => end(true))
      .on('error', () => end(false))
      .on('close', () => end(false));
  });
}

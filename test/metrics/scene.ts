/** A server with streams of every kind, holds, a NACK, fetches and bundles: something for each metric to count. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { call } from '../admin/support.ts';
import { makeCertificate } from '../support/certificates.ts';
import { SdsClient } from '../support/sds-client.ts';
import { makePlace, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';
import { WorkloadClient } from '../support/workload-client.ts';
import { type Parsed, parseMetrics } from './parse.ts';

export const WEB = `spiffe://${TRUST_DOMAIN}/web`;
export const GONE = `spiffe://${TRUST_DOMAIN}/gone`;
const BUNDLE = `spiffe://${TRUST_DOMAIN}`;
const UID = `uid:${process.getuid!()}`;

export interface Scene {
  readonly server: Served;
  /** Of the admin API on 127.0.0.1. */
  readonly port: number;
  readonly token: string;
}

/** Opens a stream of each variant and service, takes, rejects and holds secrets. All stay open until the test ends. */
export async function startScene(t: Pick<TestContext, 'after'>, flags: readonly string[] = []): Promise<Scene> {
  const place = makePlace(t);
  const published = ['--federation-publish-file', path.join(place.directory, 'bundle.json')];
  const listen = ['--admin-listen', '127.0.0.1:0', '--federation-listen', '127.0.0.1:0'];
  const server = await serve(t, { place, flags: [...listen, ...published, ...flags] });
  const { port } = (await server.logged('admin API listens on TCP')) as { port: number };
  const create = async (spiffe_id: string) => {
    const entry = { spiffe_id, selectors: [{ type: 'unix', value: UID }], federates_with: ['other.example'] };
    const { status, body } = await server.request('POST', '/v1/entries', entry);
    assert.equal(status, 201, JSON.stringify(body));
    return body.id as string;
  };
  await create(WEB);
  const gone = await create(GONE);
  const { key } = await makeCertificate({ name: 'other' });
  assert.equal((await server.request('PUT', '/v1/bundles/other.example', { keys: [key] })).status, 201);
  assert.equal((await server.request('PUT', '/v1/aliases/web.example', { spiffe_id: WEB })).status, 201);

  const workloadApi = new WorkloadClient(t, server.socket);
  for (const audience of ['db', 'db', 'cache']) await workloadApi.jwtSvids([audience]);
  await assert.rejects(workloadApi.jwtSvids(['']));
  const client = new SdsClient(server.socket);
  const streams = [client.stream(), client.stream('ads')];
  const deltas = [client.delta(), client.delta('ads')];
  t.after(() => {
    for (const stream of [...streams, ...deltas]) stream.cancel();
    client.close();
  });
  for (const stream of streams) {
    stream.ask(WEB, BUNDLE);
    stream.ack(await stream.next());
  }
  for (const delta of deltas) {
    delta.ask(WEB);
    delta.ack(await delta.next());
  }
  // A name that nobody gives, and one whose entry goes away while a proxy has its secret.
  const holding = client.stream();
  streams.push(holding);
  holding.ask(GONE, 'nobody.knows.this');
  holding.ack(await holding.next(), [GONE, 'nobody.knows.this']);
  assert.equal((await server.request('DELETE', `/v1/entries/${gone}`)).status, 204);
  const rejecting = client.stream();
  streams.push(rejecting);
  rejecting.ask(BUNDLE);
  rejecting.nack(await rejecting.next(), 'not today');
  const workload = workloadApi.x509Svids();
  t.after(() => workload.cancel());
  await workload.next();
  await client.fetch({ resourceNames: [WEB] });
  await client.fetch({ resourceNames: ['nobody.knows.that'] }).catch(() => undefined);
  await wait('everything to be counted', {
    look: async () => (await proxies(server)).filter((state) => state === 'held' || state === 'rejected').length,
    until: (count) => count === 2,
  });
  return { server, port, token: readFileSync(path.join(server.dataDir, 'admin.token'), 'utf8').trim() };
}

async function proxies(server: Served): Promise<string[]> {
  const { body } = await server.request('GET', '/v1/proxies');
  return body.proxies.flatMap(({ streams }: { streams: { secrets: { state: string }[] }[] }) =>
    streams.flatMap(({ secrets }) => secrets.map(({ state }) => state)),
  );
}

/** Scrapes over TCP, as Prometheus does. */
export async function scrape({ port, token }: Scene, headers: Record<string, string> = {}): Promise<Parsed> {
  const answer = await call(port, 'GET', '/metrics', { headers: { authorization: `Bearer ${token}`, ...headers } });
  assert.equal(answer.status, 200, answer.text);
  return parseMetrics(answer.text);
}

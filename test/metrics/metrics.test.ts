/** `/metrics` of a real server. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { FAMILIES, type FamilyName } from '../../src/metrics/families.ts';
import { call } from '../admin/support.ts';
import { envoyForTests } from '../support/envoy.ts';
import { pipeCluster, secretConfig, startEnvoy, tlsListener } from '../support/running-envoy.ts';
import { SdsClient } from '../support/sds-client.ts';
import { serve, TRUST_DOMAIN } from '../support/serve.ts';
import { type Parsed, parseMetrics, sumOf } from './parse.ts';
import { GONE, type Scene, scrape, startScene, WEB } from './scene.ts';

const found = await envoyForTests();
/** These have a sample only where there is such a thing. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  'sidekey_rotation_start_timestamp_seconds',
  'sidekey_rotation_due_timestamp_seconds',
  'sidekey_upstream_problem',
  // With a federation relationship; this server has none.
  'sidekey_federation_oldest_fetch_timestamp_seconds',
  'sidekey_federation_most_failures',
  // Of an agent.
  'sidekey_uplink_connected',
  'sidekey_uplink_svid_expiry_timestamp_seconds',
]);

/** The family of a sample: without the suffix of a histogram. */
function familyOf(name: string): string {
  const plain = name.replace(/_(bucket|sum|count)$/, '');
  return FAMILIES[plain as FamilyName]?.type === 'histogram' ? plain : name;
}

describe('/metrics', { concurrency: 1, timeout: 120_000 }, () => {
  const ends: (() => unknown)[] = [];
  let scene: Scene;
  let metrics: Parsed;
  before(async () => {
    scene = await startScene({ after: (end: () => unknown) => void ends.push(end) } as Parameters<
      typeof startScene
    >[0]);
    metrics = await scrape(scene);
  });
  after(async () => {
    for (const end of ends.reverse()) await end();
  });
  const value = (name: FamilyName | `${FamilyName}_count`, labels: Record<string, string> = {}) =>
    sumOf(metrics, name, labels);

  test('has every metric of the table, with its type and labels, and no other', () => {
    const types = Object.entries(FAMILIES).map(([name, { type }]) => [name, type]);
    assert.deepEqual([...metrics.types], types);
    const seen = new Set<string>();
    for (const { name, labels } of metrics.samples) {
      const family = familyOf(name);
      seen.add(family);
      const { type, labels: allowed } = FAMILIES[family as FamilyName];
      const expected = type === 'histogram' && name.endsWith('_bucket') ? [...allowed, 'le'] : allowed;
      assert.deepEqual(Object.keys(labels).sort(), [...expected].sort(), name);
    }
    const missing = Object.keys(FAMILIES).filter((name) => !seen.has(name) && !ELSEWHERE.has(name));
    assert.deepEqual(missing, []);
  });

  test('has no sample twice, and few in all', () => {
    const keys = metrics.samples.map(({ name, labels }) => `${name} ${JSON.stringify(labels)}`);
    assert.equal(new Set(keys).size, keys.length);
    assert.ok(keys.length < 1_000, `${keys.length}`);
  });

  test('has no SPIFFE ID, node id, path or token in it', async () => {
    const { text } = await call(scene.server.adminSocket, 'GET', '/metrics');
    for (const word of ['spiffe://', WEB, GONE, 'nobody.knows', 'other.example', 'web.example', scene.token]) {
      assert.ok(!text.includes(word), word);
    }
    for (const { labels } of metrics.samples) assert.notEqual(labels.node, 'test');
  });

  test('counts streams, responses and their answers by variant', () => {
    for (const service of ['sds', 'ads']) {
      const open = service === 'sds' ? 3 : 1;
      assert.equal(value('sidekey_streams', { service, variant: 'sotw' }), open);
      assert.equal(value('sidekey_streams', { service, variant: 'delta' }), 1);
      assert.equal(value('sidekey_acks_total', { service, variant: 'delta' }), 1);
      assert.equal(value('sidekey_ack_duration_seconds_count', { service, variant: 'delta' }), 1);
    }
    const workload = { service: 'workload-api', variant: 'x509-svids' };
    assert.equal(value('sidekey_streams', workload), 1);
    assert.equal(value('sidekey_streams_opened_total', workload), 1);
    assert.equal(value('sidekey_pushes_total', workload), 1);
    assert.equal(value('sidekey_acks_total', workload), undefined, 'it has none');
    // A request is for a token of each identity, and there were two.
    for (const [result, count] of Object.entries({ issued: 4, cached: 2, refused: 1, failed: 0 })) {
      assert.equal(value('sidekey_jwt_svids_total', { result }), count, result);
    }
    assert.equal(value('sidekey_jwt_svid_issuance_duration_seconds_count'), 4);
    assert.equal(value('sidekey_nacks_total'), 1);
    assert.equal(value('sidekey_acks_total', { service: 'sds', variant: 'sotw' }), 2);
    assert.equal(value('sidekey_connections'), 2);
    assert.equal(value('sidekey_fetches_total', { result: 'found' }), 1);
    assert.equal(value('sidekey_fetches_total', { result: 'nothing' }), 1);
  });

  test('tells held names whose client has the secret from the others', () => {
    assert.equal(value('sidekey_names_held', { had_secret: 'true', reason: 'no-entry' }), 1);
    assert.equal(value('sidekey_names_held', { had_secret: 'false', reason: 'unknown-name' }), 1);
    assert.equal(value('sidekey_names_held'), 2);
  });

  test('counts issuances and attestations, and knows what is in use', () => {
    assert.ok(value('sidekey_svids_issued_total', { key_type: 'ec-p256' })! >= 2);
    assert.equal(value('sidekey_issuance_failures_total'), 0);
    assert.equal(value('sidekey_svids_in_use'), 1);
    const left = value('sidekey_svid_least_life_left_ratio')!;
    assert.ok(left > 0.9 && left <= 1, `${left}`);
    const end = value('sidekey_svid_soonest_expiry_timestamp_seconds')! - Date.now() / 1_000;
    assert.ok(end > 3_000 && end <= 3_600, `${end}`);
    assert.ok(value('sidekey_attestations_total', { result: 'ok' })! >= 1);
    assert.ok(value('sidekey_attestor_duration_seconds_count', { attestor: 'unix', result: 'ok' })! >= 1);
  });

  test('knows the authorities, the bundles, the entries and the parts', () => {
    for (const role of ['root', 'intermediate']) {
      assert.equal(value('sidekey_authorities', { role, state: 'active' }), 1);
      const labels = { role, state: 'active' };
      const end = value('sidekey_authority_expiry_timestamp_seconds', labels)! - Date.now() / 1_000;
      assert.ok(end > 0 && end <= value('sidekey_authority_lifetime_seconds', labels)!);
    }
    assert.equal(value('sidekey_bundles', { kind: 'foreign' }), 1);
    assert.equal(value('sidekey_bundle_authorities', { kind: 'own' }), 1);
    assert.equal(value('sidekey_entries'), 1);
    assert.equal(value('sidekey_aliases'), 1);
    const parts = metrics.samples.filter(({ name }) => name === 'sidekey_ready');
    assert.deepEqual(
      parts.map(({ labels, value }) => [labels.part, value]),
      [
        ['admin_socket', 1],
        ['admin_tcp', 1],
        ['socket', 1],
        ['authority', 1],
      ],
    );
  });

  test('knows the process', () => {
    const open = value('process_open_fds')!;
    assert.ok(open > 10 && open < value('process_max_fds')!, `${open}`);
    assert.ok(value('process_resident_memory_bytes')! > 30e6);
    assert.ok(Math.abs(value('process_start_time_seconds')! - Date.now() / 1_000) < 120);
    assert.ok(value('sidekey_event_loop_active_seconds_total')! > 0);
    assert.ok(value('sidekey_event_loop_lag_seconds_count')! > 0);
    assert.ok(value('sidekey_database_bytes')! > 4_096);
    const { version } = JSON.parse(readFileSync(path.resolve(import.meta.dirname, '../../package.json'), 'utf8'));
    assert.equal(value('sidekey_build_info', { version, node: process.version }), 1);
  });

  test('counts requests to the admin API by route, and unknown paths together', async () => {
    const { port, server, token } = scene;
    for (const one of ['/v1/entries/one', '/v1/entries/two', '/nothing/here', '/nothing/there?x=1']) {
      await server.request('GET', one);
    }
    await server.request('PROPFIND', '/v1/entries');
    await call(port, 'GET', '/v1/entries', { headers: { authorization: 'Bearer wrong' } });
    const now = await scrape(scene);
    const count = (labels: Record<string, string>) => sumOf(now, 'sidekey_admin_requests_total', labels);
    assert.equal(count({ route: '/v1/entries/:id', method: 'GET', status: '404' }), 2);
    assert.equal(count({ route: 'none', status: '404' }), 2);
    assert.equal(count({ route: '/v1/entries', status: '401' }), 1);
    assert.ok(count({ route: '/metrics', method: 'GET', status: '200' })! >= 2);
    const known = now.samples.filter(({ name }) => name === 'sidekey_admin_requests_total');
    for (const { labels } of known) assert.doesNotMatch(JSON.stringify(labels), /PROPFIND|nothing|\/one|two/);
    assert.ok(token.length > 20);
  });

  test('needs the token on TCP, like all but health and readiness', async () => {
    for (const headers of [{}, { authorization: 'Bearer wrong' }] as Record<string, string>[]) {
      const { status, text } = await call(scene.port, 'GET', '/metrics', { headers });
      assert.equal(status, 401);
      assert.ok(!text.includes('sidekey_'));
    }
    assert.equal((await call(scene.server.adminSocket, 'GET', '/metrics')).status, 200);
    assert.equal((await call(scene.server.adminSocket, 'GET', '/metrics?name=x')).status, 400);
  });

  test('answers in OpenMetrics when asked to', async () => {
    const accept = 'application/openmetrics-text;version=1.0.0;q=0.75,text/plain;q=0.5';
    const { headers, text } = await call(scene.server.adminSocket, 'GET', '/metrics', { headers: { accept } });
    assert.match(headers['content-type']!, /^application\/openmetrics-text; version=1\.0\.0/);
    assert.ok(text.endsWith('# EOF\n'));
    const plain = await call(scene.server.adminSocket, 'GET', '/metrics');
    assert.match(plain.headers['content-type']!, /^text\/plain; version=0\.0\.4/);
    assert.equal(parseMetrics(text).samples.length, parseMetrics(plain.text).samples.length);
  });

  test('counts a rotation, and shows that a new root waits', async () => {
    assert.equal((await scene.server.request('POST', '/v1/ca/rotate', { role: 'intermediate' })).status, 200);
    assert.equal((await scene.server.request('POST', '/v1/ca/rotate', { role: 'root' })).status, 200);
    const now = await scrape(scene);
    assert.equal(sumOf(now, 'sidekey_rotations_total', { role: 'intermediate' }), 1);
    assert.equal(sumOf(now, 'sidekey_rotation_in_progress'), 1);
    const due = sumOf(now, 'sidekey_rotation_due_timestamp_seconds')!;
    assert.ok(due > sumOf(now, 'sidekey_rotation_start_timestamp_seconds')!);
    assert.equal(sumOf(now, 'sidekey_authorities', { role: 'root', state: 'published' }), 1);
  });
});

describe('/metrics of a busy server', { timeout: 120_000 }, () => {
  test('names each limit that is hit', async (t) => {
    const flags = ['--max-streams-per-uid', '3', '--max-connections-per-uid', '2'];
    const server = await serve(t, { flags });
    const clients = [new SdsClient(server.socket), new SdsClient(server.socket)];
    t.after(() => {
      for (const client of clients) client.close();
    });
    const streams = Array.from({ length: 5 }, (_, i) => clients[i % 2]!.stream());
    for (const stream of streams) stream.ask('one');
    const refused = await Promise.race(streams.map(({ status }) => status));
    assert.match(refused.details, /maxStreamsPerUid/);
    const many = clients[0]!.stream();
    many.ask(...Array.from({ length: 10_001 }, (_, i) => `n${i}`));
    await many.status;
    await clients[0]!.fetch({ resourceNames: ['x'.repeat(1_100_000)] }).catch(() => undefined);
    const body = { entries: 'x'.repeat(1_100_000) };
    assert.equal((await server.request('POST', '/v1/entries', body)).status, 413);
    const third = new SdsClient(server.socket);
    await third.fetch({ resourceNames: ['one'] }).catch(() => undefined);
    third.close();
    const now = parseMetrics((await server.request('GET', '/metrics')).body);
    const hits = (limit: string) => sumOf(now, 'sidekey_limit_hits_total', { limit })!;
    for (const limit of ['maxStreamsPerUid', 'maxConnectionsPerUid', 'adminBodyBytes'])
      assert.ok(hits(limit) > 0, limit);
    assert.equal(sumOf(now, 'sidekey_limit_usage_ratio', { limit: 'maxStreamsPerUid' }), 1);
    assert.equal(sumOf(now, 'sidekey_limit_usage_ratio', { limit: 'maxConnectionsPerUid' }), 1);
    assert.equal(hits('adminMaxConnections'), 0);
  });

  test('counts requests that are too large', async (t) => {
    const server = await serve(t);
    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    const many = client.stream();
    many.ask(...Array.from({ length: 10_001 }, (_, i) => `n${i}`));
    await many.status;
    await client.fetch({ resourceNames: ['x'.repeat(1_100_000)] }).catch(() => undefined);
    const now = parseMetrics((await server.request('GET', '/metrics')).body);
    for (const limit of ['namesPerRequest', 'messageBytes']) {
      assert.equal(sumOf(now, 'sidekey_limit_hits_total', { limit }), 1, limit);
    }
    assert.equal(sumOf(now, 'sidekey_requests_invalid_total'), 1);
  });

  test('sees a real Envoy: its streams, its ACKs and their latency', { skip: found.skip }, async (t) => {
    assert.ok(found.skip === false);
    const server = await serve(t);
    const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
    await server.request('POST', '/v1/entries', { spiffe_id: WEB, selectors });
    const [port] = await freePorts(1);
    const source = {
      api_type: 'GRPC',
      transport_api_version: 'V3',
      grpc_services: [{ envoy_grpc: { cluster_name: 'sidekey' } }],
    };
    const config = { resource_api_version: 'V3', api_config_source: source };
    const tls = {
      require_client_certificate: true,
      common_tls_context: {
        tls_certificate_sds_secret_configs: [secretConfig(WEB, { config })],
        validation_context_sds_secret_config: secretConfig(`spiffe://${TRUST_DOMAIN}`, { config }),
      },
    };
    const envoy = await startEnvoy(t, found.envoy.path, {
      node: { id: 'web', cluster: 'web' },
      static_resources: { listeners: [tlsListener(port!, tls)], clusters: [pipeCluster('sidekey', server.socket)] },
    });
    await envoy.live();
    const seen = await wait('the ACKs', {
      look: async () => parseMetrics((await server.request('GET', '/metrics')).body),
      until: (now) => sumOf(now, 'sidekey_acks_total') === 2,
    });
    assert.equal(sumOf(seen, 'sidekey_streams', { service: 'sds', variant: 'sotw' }), 2);
    assert.equal(sumOf(seen, 'sidekey_pushes_total'), 2);
    assert.equal(sumOf(seen, 'sidekey_nacks_total'), 0);
    assert.equal(sumOf(seen, 'sidekey_ack_duration_seconds_count'), 2);
    await envoy.stop();
    const left = await wait('the connection to close', {
      look: async () => parseMetrics((await server.request('GET', '/metrics')).body),
      until: (now) => sumOf(now, 'sidekey_connections') === 0,
    });
    assert.equal(sumOf(left, 'sidekey_streams'), 0);
    assert.equal(sumOf(left, 'sidekey_streams_opened_total'), 2);
    assert.equal(sumOf(left, 'sidekey_names_held'), 0);
  });
});

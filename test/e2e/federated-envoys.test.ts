/** Two Sidekeys that fetch each other's bundles, and an Envoy of each: mTLS across, whatever happens to one side. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { sidekey } from '../cli/support.ts';
import { bundleEndpoint, makeAuthority } from '../support/bundle-endpoint.ts';
import { envoyForTests } from '../support/envoy.ts';
import { until } from '../support/process-state.ts';
import {
  httpFilter,
  pipeCluster,
  type RunningEnvoy,
  sdsSource,
  secretConfig,
  startEnvoy,
  tlsListener,
} from '../support/running-envoy.ts';
import { makePlace, type Served, serve } from '../support/serve.ts';

const HERE = 'ilinux.io';
const THERE = 'partner.example';
const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';
const HTTP = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const { skip, ...found } = await envoyForTests();

interface Side {
  readonly server: Served;
  readonly domain: string;
  readonly endpointPort: number;
}

async function startSide(t: TestContext, domain: string, endpointPort: number): Promise<Side> {
  const flags = ['--federation-listen', `127.0.0.1:${endpointPort}`, '--federation-refresh-hint', '1s'];
  flags.push('--federation-min-refresh', '1s', '--federation-allow', '127.0.0.0/8', '--root-publish-time', '0s');
  const server = await serve(t, { place: { ...makePlace(t), trustDomain: domain }, flags });
  return { server, domain, endpointPort };
}

async function run(side: Side, ...args: string[]): Promise<string> {
  const env = { SIDEKEY_ADMIN_SOCKET: side.server.adminSocket };
  const { status, stdout, stderr } = await sidekey(args, { env });
  assert.equal(status, 0, stderr);
  return stdout;
}

/** The two commands that docs/federation.md has for each side. */
async function federate(t: TestContext, side: Side, other: Side): Promise<void> {
  const { body } = await other.server.request('GET', '/v1/bundle');
  const given = {
    trust_domain: other.domain,
    bundle_endpoint_url: `https://127.0.0.1:${other.endpointPort}/`,
    bundle_endpoint_profile: 'https_spiffe',
    endpoint_spiffe_id: `spiffe://${other.domain}/sidekey/server`,
    trust_domain_bundle: body,
  };
  const made = await side.server.request('POST', '/v1/federation', given);
  assert.deepEqual([made.status, made.body.warnings, made.body.state], [201, [], 'fresh'], JSON.stringify(made.body));
  t.diagnostic(`${side.domain} fetches the bundle of ${other.domain}`);
}

async function entryOf(side: Side, federatesWith: readonly string[]): Promise<void> {
  const entry = {
    spiffe_id: `spiffe://${side.domain}/web`,
    selectors: [`unix:uid:${process.getuid!()}`],
    federates_with: federatesWith,
  };
  const { status, body } = await side.server.request('POST', '/v1/entries', entry);
  assert.equal(status, 201, JSON.stringify(body));
}

const context = (side: Side, peer: string) => ({
  tls_certificate_sds_secret_configs: secretConfig(`spiffe://${side.domain}/web`, sdsSource()),
  validation_context_sds_secret_config: secretConfig(`spiffe://${peer}`, sdsSource()),
});

/** Accepts requests of workloads of the other domain only. */
async function serverEnvoy(t: TestContext, binary: string, side: Side, peer: string, port: number) {
  const listener = tlsListener(port, { require_client_certificate: true, common_tls_context: context(side, peer) });
  return startEnvoy(t, binary, {
    node: { id: 'server', cluster: 'test' },
    static_resources: { listeners: [listener], clusters: [pipeCluster('sidekey', side.server.socket)] },
  });
}

/** Sends what comes to `local` over mTLS to the other domain, with a handshake for each request. */
async function clientEnvoy(
  t: TestContext,
  binary: string,
  side: Side,
  peer: string,
  ports: { to: number; local: number },
) {
  const at = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
  const upstream = {
    name: 'peer',
    type: 'STATIC',
    load_assignment: { cluster_name: 'peer', endpoints: { lb_endpoints: { endpoint: { address: at(ports.to) } } } },
    typed_extension_protocol_options: {
      [HTTP]: {
        '@type': `type.googleapis.com/${HTTP}`,
        common_http_protocol_options: { max_requests_per_connection: 1 },
        explicit_http_config: { http_protocol_options: {} },
      },
    },
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: {
        '@type': `${TLS}.UpstreamTlsContext`,
        max_session_keys: 0,
        common_tls_context: context(side, peer),
      },
    },
  };
  return startEnvoy(t, binary, {
    node: { id: 'client', cluster: 'test' },
    static_resources: {
      listeners: [{ address: at(ports.local), filter_chains: { filters: httpFilter({ route: { cluster: 'peer' } }) } }],
      clusters: [pipeCluster('sidekey', side.server.socket), upstream],
    },
  });
}

async function live(...envoys: readonly RunningEnvoy[]): Promise<void> {
  for (const envoy of envoys) await envoy.live();
}

const activeRoot = async ({ server }: Side): Promise<string> => {
  const { body } = await server.request('GET', '/v1/ca');
  return body.authorities.find((one: { role: string; state: string }) => one.role === 'root' && one.state === 'active')
    .id;
};

describe('two trust domains', { timeout: 240_000, skip }, () => {
  it('trust each other through rotations, an outage and a stolen endpoint, until a relationship is deleted', async (t) => {
    const { path: binary } = (found as { envoy: { path: string } }).envoy;
    const [a, b, to, local] = (await freePorts(4)) as [number, number, number, number];
    const here = await startSide(t, HERE, a);
    const there = await startSide(t, THERE, b);
    await entryOf(here, [THERE]);
    await entryOf(there, ['*']);
    await federate(t, here, there);
    await federate(t, there, here);
    const envoys = await Promise.all([
      serverEnvoy(t, binary, here, THERE, to),
      clientEnvoy(t, binary, there, HERE, { to, local }),
    ]);
    await live(...envoys);
    const ask = async () => (await call(`http://127.0.0.1:${local}/`).catch(() => ({ status: 0 }))).status;
    await until(async () => (await ask()) === 200);

    // Requests go on all the time, and none may fail.
    const failed: number[] = [];
    let asked = 0;
    let isOver = false;
    const load = (async () => {
      while (!isOver) {
        const status = await ask();
        asked += 1;
        if (status !== 200) failed.push(status);
        await sleep(20);
      }
    })();
    for (const side of [here, there]) {
      const before = await activeRoot(side);
      await run(side, 'ca', 'rotate', '--root');
      // Published five refresh hints before it signs.
      await until(async () => (await activeRoot(side)) !== before);
    }
    for (const [side, other] of [
      [here, there],
      [there, here],
    ] as const) {
      await until(async () => {
        const [mine, theirs] = await Promise.all([
          side.server.request('GET', `/v1/bundles/${other.domain}`),
          other.server.request('GET', '/v1/bundle'),
        ]);
        return JSON.stringify(mine.body.keys) === JSON.stringify(theirs.body.keys);
      });
    }

    // The endpoint of the partner is away; then somebody else answers there.
    await there.server.stop();
    const stateOf = async () => (await here.server.request('GET', `/v1/federation/${THERE}`)).body;
    await until(async () => (await stateOf()).state === 'failing');
    const thief = await makeAuthority('thief');
    const stolen = await thief.leaf({ uris: [`spiffe://${THERE}/sidekey/server`] });
    const endpoint = await bundleEndpoint(t, stolen, '127.0.0.1', b);
    endpoint.answer({ keys: [thief.key], spiffe_sequence: 1_000_000 });
    await until(async () => (await stateOf()).state === 'stale-bootstrap');
    assert.deepEqual(endpoint.requests, []);
    const { bundle, error } = await stateOf();
    assert.equal(error.reason, 'certificate');
    assert.equal(bundle.x509_authorities, 2, 'the last good bundle stays');
    assert.match(
      (await here.server.request('GET', '/readyz')).body.warnings.join('\n'),
      /partner\.example: stale-bootstrap/,
    );
    const asText = await run(here, 'federation', 'list');
    assert.match(asText, /partner\.example +stale-bootstrap/);
    isOver = true;
    await load;
    assert.deepEqual(failed, [], `${failed.length} of ${asked} requests failed`);
    t.diagnostic(`${asked} requests across the domains, none failed`);

    await run(here, 'federation', 'delete', THERE);
    await until(async () => (await ask()) !== 200);
    for (let i = 0; i < 5; i += 1) assert.notEqual(await ask(), 200, 'a deleted partner is still trusted');
    assert.equal((await here.server.request('GET', `/v1/bundles/${THERE}`)).status, 404);
  });
});

/**
 * The whole move against a real SPIRE: two Envoys change from its agent to Sidekey, one after the other, while requests go
 * through both. Opt-in, see docs/migrate-spire.md: SPIRE_BIN=DIR scripts/node scripts/test.ts test/migrate/real-spire.test.ts
 * With SPIRE_RECORD=1 it also writes SPIRE's outputs to `recording/`, which the other tests replay.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { makeCertificate } from '../support/certificates.ts';
import { envoyForTests } from '../support/envoy.ts';
import { run } from '../support/run.ts';
import { httpFilter, pipeCluster, tlsListener } from '../support/running-envoy.ts';
import { makePlace, ROOT, serve } from '../support/serve.ts';
import { type Spire, startSpire, whyNoSpire } from './spire.ts';

const TRUST_DOMAIN = 'ilinux.io';
const SIDEKEY = path.join(ROOT, 'bin/sidekey');
const found = await envoyForTests();
const skip = whyNoSpire() ?? found.skip;

const source = {
  resource_api_version: 'V3',
  api_config_source: {
    api_type: 'GRPC',
    transport_api_version: 'V3',
    grpc_services: [{ envoy_grpc: { cluster_name: 'sds' } }],
  },
};
const secret = (name: string) => ({ name, sds_config: source });
const tls = (id: string) => ({
  common_tls_context: {
    tls_certificate_sds_secret_configs: [secret(`spiffe://${TRUST_DOMAIN}/${id}`)],
    validation_context_sds_secret_config: secret('ROOTCA'),
  },
});

interface Ports {
  readonly front: number;
  readonly back: number;
}

/** Takes requests in clear and sends them to the back over mutual TLS, each on a connection of its own. */
function front({ front: port, back }: Ports, socket: string): object {
  const type = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext';
  const address = (number: number) => ({ socket_address: { address: '127.0.0.1', port_value: number } });
  return {
    node: { id: 'front', cluster: 'front' },
    static_resources: {
      listeners: [
        { address: address(port), filter_chains: [{ filters: [httpFilter({ route: { cluster: 'back' } })] }] },
      ],
      clusters: [
        pipeCluster('sds', socket),
        {
          ...{ name: 'back', connect_timeout: '5s', max_requests_per_connection: 1 },
          load_assignment: {
            cluster_name: 'back',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: address(back) } }] }],
          },
          transport_socket: { name: 'envoy.transport_sockets.tls', typed_config: { '@type': type, ...tls('front') } },
        },
      ],
    },
  };
}

function back({ back: port }: Ports, socket: string): object {
  return {
    node: { id: 'back', cluster: 'back' },
    static_resources: {
      listeners: [tlsListener(port, { ...tls('back'), require_client_certificate: true })],
      clusters: [pipeCluster('sds', socket)],
    },
  };
}

/** One generation of an Envoy; the next one takes over its listeners (a hot restart). */
async function generation(t: TestContext, baseId: number, epoch: number, bootstrap: object) {
  const [port] = await freePorts(1);
  const admin = { address: { socket_address: { address: '127.0.0.1', port_value: port } } };
  const args = ['--config-yaml', JSON.stringify({ ...bootstrap, admin }), '--concurrency', '1', '--log-level', 'error'];
  args.push(
    '--base-id',
    `${baseId}`,
    '--restart-epoch',
    `${epoch}`,
    '--drain-time-s',
    '1',
    '--parent-shutdown-time-s',
    '3',
  );
  const child = spawn((found as Extract<typeof found, { skip: false }>).envoy.path, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const ended = once(child, 'close');
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const url = `http://127.0.0.1:${port}`;
  await wait('Envoy to be LIVE', {
    look: async () => (child.exitCode === null ? (await call(`${url}/ready`)).body.trim() : `ended: ${said}`),
    until: (state) => state === 'LIVE' || state.startsWith('ended'),
    within: 60_000,
  });
  assert.equal(child.exitCode, null, said);
  /** The number of roots in its bundle. */
  const roots = async () => {
    const { body } = await call(`${url}/config_dump?resource=dynamic_active_secrets`);
    const bundle = /"trust_bundle": \{\s*"inline_bytes": "([^"]+)"/.exec(body)?.[1] ?? '';
    return Buffer.from(bundle, 'base64').toString('latin1').split('BEGIN CERTIFICATE').length - 1;
  };
  return { ended, roots };
}

/** Sends requests one after the other until it is stopped. */
function load(port: number) {
  let isOn = true;
  const state = { good: 0, failures: [] as string[] };
  const done = (async () => {
    while (isOn) {
      const answer = await call(`http://127.0.0.1:${port}/`).catch((error: Error) => ({
        status: 0,
        body: error.message,
      }));
      if (answer.status === 200) state.good += 1;
      else state.failures.push(`${answer.status} ${answer.body}`);
    }
  })();
  /** Waits for so many more good answers. */
  const more = async (count: number) => {
    const goal = state.good + count;
    await wait(`${count} more answers`, {
      look: async () => state.good,
      until: (good) => good >= goal,
      within: 60_000,
    });
    assert.deepEqual(state.failures, []);
  };
  const stop = async () => {
    isOn = false;
    await done;
  };
  return { more, stop, state };
}

async function sidekey(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await run([SIDEKEY, ...words]);
  assert.equal(status, 0, `sidekey ${words.join(' ')}: ${stdout}${stderr}`);
  return stdout;
}

async function makeEntries({ ask, agentId }: Spire, dir: string): Promise<void> {
  const id = (name: string) => `spiffe://${TRUST_DOMAIN}/${name}`;
  const create = (name: string, parent: string, ...more: string[]) =>
    ask('entry', 'create', '-spiffeID', id(name), '-parentID', parent, ...more);
  const uid = `unix:uid:${process.getuid!()}`;
  await create('front', agentId, '-selector', uid, '-x509SVIDTTL', '600', '-hint', 'front');
  // By way of a node alias, which the token made.
  await create('back', id('host'), '-selector', uid, '-dns', 'back.example.org');
  await create('elsewhere', id('spire/agent/join_token/other'), '-selector', 'unix:uid:0');
  await create('pod', agentId, '-selector', 'k8s:ns:default');
  await create('admin', agentId, '-selector', uid, '-admin');
  await create('cluster', id('spire/server'), '-node', '-selector', 'k8s_psat:cluster:c1').catch(() => undefined);
  const foreign = path.join(dir, 'foreign.pem');
  writeFileSync(foreign, (await makeCertificate({ uris: ['spiffe://one.test'] })).pem);
  await ask(
    ...['federation', 'create', '-trustDomain', 'one.test', '-bundleEndpointURL', 'https://one.test:8443/bundle'],
    ...['-bundleEndpointProfile', 'https_web', '-trustDomainBundlePath', foreign],
  );
}

/** Writes SPIRE's outputs, with the directory of the test replaced. */
async function record({ ask, agentId, serverConfig, agentConfig }: Spire, dir: string): Promise<void> {
  const to = path.join(import.meta.dirname, 'recording');
  mkdirSync(to, { recursive: true });
  const keep = (name: string, text: string) => {
    const plain = text
      .replaceAll(dir, '/opt/spire')
      .replaceAll(/bind_port = "\d+"|server_port = "\d+"/g, (port) => port.replace(/\d+/, '8081'));
    writeFileSync(
      path.join(to, name),
      plain.replaceAll(agentId.split('/').at(-1)!, '00000000-0000-4000-8000-000000000000'),
    );
  };
  keep('server.conf', readFileSync(serverConfig, 'utf8'));
  keep('agent.conf', readFileSync(agentConfig, 'utf8'));
  for (const [name, words] of Object.entries({
    entries: ['entry', 'show'],
    agent: ['agent', 'show', '-spiffeID', agentId],
    bundle: ['bundle', 'show'],
    bundles: ['bundle', 'list'],
    federation: ['federation', 'list'],
  })) {
    keep(`${name}.json`, `${JSON.stringify(JSON.parse(await ask(...words, '-output', 'json')), undefined, 2)}\n`);
  }
}

test('two Envoys move from SPIRE to Sidekey, one after the other, and no request fails', {
  skip,
  timeout: 280_000,
}, async (t) => {
  const place = makePlace(t);
  const dir = path.join(place.directory, 'spire');
  mkdirSync(dir);
  const spire = await startSpire(t, dir, TRUST_DOMAIN);
  await makeEntries(spire, dir);
  if (process.env.SPIRE_RECORD === '1') await record(spire, dir);

  const [frontPort, backPort] = await freePorts(2);
  const ports = { front: frontPort!, back: backPort! };
  const [frontBase, backBase] = [process.pid * 2, process.pid * 2 + 1].map((id) => id % 100_000);
  const oldBack = await generation(t, backBase!, 0, back(ports, spire.agentSocket));
  const oldFront = await generation(t, frontBase!, 0, front(ports, spire.agentSocket));
  const traffic = load(ports.front);
  t.after(traffic.stop);
  await traffic.more(20);

  const to = path.join(place.directory, 'new');
  const said = await sidekey(
    ...['migrate', 'spire', '--server-config', spire.serverConfig, '--agent-config', spire.agentConfig],
    ...['--agent', spire.agentId, '--spire-server', spire.server, '--to', to],
  );
  assert.match(said, /2 of \d+ entries are taken/);
  const settings = path.join(to, 'sidekey.yaml');
  await serve(t, { place, flags: ['--config', settings] });
  const admin = ['--admin-socket', place.adminSocket];
  await sidekey('ca', 'carry', path.join(to, 'spire-roots.pem'), '--for', '1d', ...admin);
  await sidekey('bundle', 'set', 'one.test', '--file', path.join(to, 'bundles/one.test.json'), ...admin);
  await sidekey('migrate', 'give-root', '--spire-socket', spire.serverSocket, ...admin);
  for (const envoy of [oldBack, oldFront])
    await wait('both roots in the bundle from SPIRE', {
      look: envoy.roots,
      until: (count) => count === 2,
      within: 60_000,
    });
  await traffic.more(20);

  const newBack = await generation(t, backBase!, 1, back(ports, place.socket));
  await traffic.more(20);
  await oldBack.ended;
  await traffic.more(50);
  assert.equal(await newBack.roots(), 2);
  await generation(t, frontBase!, 1, front(ports, place.socket));
  await traffic.more(20);
  await oldFront.ended;
  await traffic.more(50);

  const { authorities } = JSON.parse(await sidekey('ca', 'show', '-o', 'json', ...admin));
  const carried = authorities.filter((one: { state: string }) => one.state === 'carried');
  assert.equal(carried.length, 1);
  await sidekey('ca', 'drop', carried[0].id, ...admin);
  await wait('one root in the bundle from Sidekey', { look: newBack.roots, until: (count) => count === 1 });
  await traffic.more(20);
  await traffic.stop();
  t.diagnostic(`${traffic.state.good} requests, none failed`);
});

/**
 * One entry for all services of a Compose project, with a real engine, Compose and Envoy; and one for all but the canary.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { promisify } from 'node:util';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { OwnEngine, whyNoEngine } from '../compose/engine.ts';
import { ContainerEngine } from '../support/container-engine.ts';
import { envoyForTests } from '../support/envoy.ts';
import { makePlace, ROOT, type Served, serve, TRUST_DOMAIN } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const SIDEKEY = path.join(ROOT, 'bin/sidekey');
const execute = promisify(execFile);
/** Both outputs of a command, whether it succeeds or not. The event loop runs meanwhile, which connections need. */
async function run(
  program: string,
  ...args: readonly string[]
): Promise<{ ok: boolean; stdout: string; stderr: string }> {
  try {
    return { ok: true, ...(await execute(program, args)) };
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return { ok: false, stdout, stderr };
  }
}
const RUN = `sidekey-templates-${process.pid}`;
const idOf = (name: string) => `spiffe://${TRUST_DOMAIN}/${name}`;
/** What the services run, all of it from the host. */
const HOST_FOLDERS = ['/usr', '/bin', '/lib', '/lib64', ROOT].filter((folder) => existsSync(folder));

const found = await envoyForTests();
const binary = 'envoy' in found ? found.envoy.path : undefined;

/** @param context the folder with the Dockerfile of one of the services */
function composeFile(image: string, folder: string, context: string, bootstrap: string): string {
  const volumes = [...HOST_FOLDERS, path.dirname(binary ?? ROOT)].map((each) => `${each}:${each}:ro`);
  const common = { network_mode: 'none', volumes: [...volumes, `${folder}:${folder}`] };
  const sleep = { ...common, image, command: ['/bin/sleep', '1000'] };
  const services = {
    web: sleep,
    api: sleep,
    canary: { ...sleep, labels: { tier: 'canary' } },
    // Its image has the label too, as images that Compose builds by BuildKit have.
    built: {
      ...sleep,
      image: `${image}-built`,
      build: context,
    },
    proxy: {
      ...common,
      image,
      command: [binary ?? '/bin/true', '--config-yaml', bootstrap, '--disable-hot-restart', '--concurrency', '1'],
    },
  };
  return JSON.stringify({ services });
}

it('a Compose service has the SPIFFE ID of its name, by one entry for the whole project', {
  skip: whyNoEngine() ?? found.skip,
  timeout: 500_000,
}, async (t) => {
  const own = new OwnEngine(t, { alone: true });
  await own.start();
  const engine = new ContainerEngine('Docker', own.socketPath);
  const [image, liar] = [engine.image(t, `${RUN}:1`), engine.image(t, `${RUN}-liar:1`, LIES)];
  const place = makePlace(t);
  chmodSync(place.directory, 0o711);
  const server = await serve(t, { place, flags: ['--docker-socket', own.socketPath, '--socket-mode', '0666'] });
  const project = `docker:compose_project:${RUN}`;
  const template = `${RUN}/{docker.compose_service}`;
  await create(server, template, [project]);
  await create(server, 'stable', [project, '!docker:label:tier:canary']);
  await create(server, `${RUN}/reserved`, ['unix:uid:4242']);

  const file = path.join(place.directory, 'compose.yaml');
  const context = tempDir(t);
  writeFileSync(path.join(context, 'Dockerfile'), `FROM ${image}\nLABEL com.docker.compose.service=built\n`);
  writeFileSync(file, composeFile(image, place.directory, context, bootstrapOf(server.socket)));
  const docker = ['-H', `unix://${own.socketPath}`];
  const compose = async (...args: readonly string[]) => {
    const { ok, stdout, stderr } = await run('docker', ...docker, 'compose', '-p', RUN, '-f', file, ...args);
    assert.ok(ok, stderr);
    return stdout.trim();
  };
  await compose('up', '--detach', '--build');
  const nameOf = (service: string) => compose('ps', '--format', '{{.Name}}', service);
  const fetch = async (container: string, name: string) => {
    const command = [SIDEKEY, 'fetch', '--socket', server.socket, '--spiffe-id', idOf(name)];
    const { ok, stdout, stderr } = await run('docker', ...docker, 'exec', container, ...command);
    return ok ? stdout : stderr;
  };

  for (const service of ['web', 'api', 'built']) {
    const container = await nameOf(service);
    assert.match(
      await fetch(container, `${RUN}/${service}`),
      /BEGIN CERTIFICATE|spiffe:\/\//,
      `${service} has its own`,
    );
    for (const other of ['web', 'api', 'built', 'reserved'].filter((name) => name !== service)) {
      assert.match(await fetch(container, `${RUN}/${other}`), /d-[0-9a-f]{12}/, `${service} has not that of ${other}`);
    }
  }
  assert.match(await fetch(await nameOf('web'), 'stable'), /spiffe:\/\//);
  const refused = await fetch(await nameOf('canary'), 'stable');
  const { body: decision } = await server.request('GET', `/v1/decisions/${/d-[0-9a-f]{12}/.exec(refused)![0]}`);
  assert.match(decision.detail, /without docker:label:tier:canary \(which this caller has\)/);
  assert.deepEqual(decision.candidates[0].lacks, ['!docker:label:tier:canary']);

  const admin = ['--admin-socket', server.adminSocket];
  const { stdout: explained } = await run(SIDEKEY, 'explain', '--container', await nameOf('web'), ...admin);
  assert.match(
    explained,
    new RegExp(
      `templates\\n {2}${idOf(RUN)}/\\{docker\\.compose_service\\} by entry \\S+: rendered as ${idOf(`${RUN}/web`)}`,
    ),
  );
  assert.match(explained, /\{docker\.compose_service\} is web/);

  // An image whose labels say that it is a service of the project, started without Compose.
  engine.run(
    liar,
    {
      name: `${RUN}-liar`,
      folder: place.directory,
      flags: ['--network', 'none', '--label', `com.docker.compose.project=${RUN}`],
    },
    '/bin/sleep',
    '1000',
  );
  assert.match(await fetch(`${RUN}-liar`, `${RUN}/web`), /d-[0-9a-f]{12}/);
  const { stdout: lied } = await run(SIDEKEY, 'explain', '--container', `${RUN}-liar`, ...admin);
  assert.match(
    lied,
    /not rendered: \{docker\.compose_service\} has no value: the image itself has the label com\.docker\.compose\.service/,
  );

  // The Envoy asks for `default`, and is given the SPIFFE ID that the template renders.
  const secrets = () => server.request('GET', '/v1/proxies').then(({ body }) => body.proxies);
  const [proxy] = await wait('Envoy to have its certificate', {
    look: secrets,
    until: (proxies) =>
      proxies.some(({ streams }: Proxy) => streams.some(({ secrets }) => secrets.some(isAcknowledged))),
  });
  const secret = proxy.streams.flatMap(({ secrets }: Stream) => secrets).find(isAcknowledged);
  assert.equal(secret.spiffe_id, idOf(`${RUN}/proxy`));
});

/** Of the image: what Compose sets on containers, as far as an image can have it. */
const LIES = ['LABEL com.docker.compose.service=web', `LABEL com.docker.compose.image=sha256:${'ab'.repeat(32)}`];

interface Secret {
  readonly name: string;
  readonly state: string;
  readonly spiffe_id: string | null;
}
interface Stream {
  readonly secrets: readonly Secret[];
}
interface Proxy {
  readonly streams: readonly Stream[];
}

function isAcknowledged({ name, state }: Secret): boolean {
  return name === 'default' && state === 'in_sync';
}

async function create(server: Served, name: string, selectors: readonly string[]): Promise<void> {
  const entry = { spiffe_id: idOf(name), selectors };
  const { status, body } = await server.request('POST', '/v1/entries', entry);
  assert.equal(status, 201, JSON.stringify(body));
}

/** An Envoy with a listener whose certificate is that of `default`. */
function bootstrapOf(socket: string): string {
  const api = { envoy_grpc: { cluster_name: 'sidekey' } };
  const sds = {
    resource_api_version: 'V3',
    api_config_source: {
      api_type: 'GRPC',
      transport_api_version: 'V3',
      set_node_on_first_message_only: true,
      grpc_services: [api],
    },
  };
  return JSON.stringify({
    node: { id: 'proxy', cluster: 'proxy' },
    static_resources: {
      listeners: [
        {
          name: 'in',
          address: { socket_address: { address: '127.0.0.1', port_value: 8443 } },
          filter_chains: [
            {
              transport_socket: {
                name: 'envoy.transport_sockets.tls',
                typed_config: {
                  '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
                  common_tls_context: { tls_certificate_sds_secret_configs: [{ name: 'default', sds_config: sds }] },
                },
              },
              filters: [
                {
                  name: 'envoy.filters.network.tcp_proxy',
                  typed_config: {
                    '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
                    stat_prefix: 'in',
                    cluster: 'sidekey',
                  },
                },
              ],
            },
          ],
        },
      ],
      clusters: [
        {
          name: 'sidekey',
          connect_timeout: '1s',
          typed_extension_protocol_options: {
            'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
              '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: {
            cluster_name: 'sidekey',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path: socket } } } }] }],
          },
        },
      ],
    },
  });
}

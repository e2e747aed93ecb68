/** Broken set-ups of Envoys that run. */

import { chmodSync, chownSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { makeCertificate } from '../support/certificates.ts';
import { TestClock } from '../support/clock.ts';
import { startInnerServer } from '../support/inner-server.ts';
import { httpFilter, pipeCluster, sdsSource, secretConfig, startEnvoy, tlsListener } from '../support/running-envoy.ts';
import { tempDir } from '../support/temp-dir.ts';
import type { EnvoyCase } from './case.ts';

const NOBODY = 65_534;
const WEB = 'spiffe://ilinux.io/web';
const CLIENT = 'spiffe://ilinux.io/client';
const TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3';

const SOURCE = sdsSource();

function common(me: string, peer: string) {
  return {
    tls_certificate_sds_secret_configs: secretConfig(me, SOURCE),
    combined_validation_context: {
      default_validation_context: { match_typed_subject_alt_names: { san_type: 'URI', matcher: { exact: peer } } },
      validation_context_sds_secret_config: secretConfig('spiffe://ilinux.io', SOURCE),
    },
  };
}

/** A cluster at a port of this machine. */
function upstream(name: string, port: number, tls: object) {
  const address = { socket_address: { address: '127.0.0.1', port_value: port } };
  return {
    name,
    type: 'STATIC',
    load_assignment: { cluster_name: name, endpoints: { lb_endpoints: { endpoint: { address } } } },
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: { '@type': `${TYPE}.UpstreamTlsContext`, ...tls },
    },
  };
}

/** The same secret in a file. */
async function fromFile(t: TestContext, name: string) {
  const { pem } = await makeCertificate({ name: 'public' });
  const secret = { '@type': `${TYPE}.Secret`, name, validation_context: { trusted_ca: { inline_string: pem } } };
  const file = path.join(tempDir(t), 'secret.yaml');
  writeFileSync(file, JSON.stringify({ resources: [secret] }));
  return { name, sds_config: { path_config_source: { path: file } } };
}

/** The configuration of the server `web`, which accepts this peer. */
function webServer(socket: string, port: number, peer: string) {
  return {
    node: { id: 'web', cluster: 'test' },
    static_resources: {
      clusters: pipeCluster('sidekey', socket),
      listeners: tlsListener(port, { require_client_certificate: true, common_tls_context: common(WEB, peer) }),
    },
  };
}

/** That of its client, which accepts this peer, and listens on a local port. */
function webClient(socket: string, port: number, local: number, peer: string) {
  return {
    node: { id: 'client', cluster: 'test' },
    static_resources: {
      clusters: [pipeCluster('sidekey', socket), upstream('web', port, { common_tls_context: common(CLIENT, peer) })],
      listeners: localListener(local, 'web'),
    },
  };
}

function localListener(port: number, cluster: string) {
  return {
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: { filters: httpFilter({ route: { cluster } }) },
  };
}

export const ENVOY_CASES: readonly Omit<EnvoyCase, 'by'>[] = [
  {
    symptom: 'Requests between two workloads of one trust domain end with 503, and each has its certificate',
    words:
      'the client: `CERTIFICATE_VERIFY_FAILED`, and `cluster.….ssl.fail_verify_error` rises; the server: `listener.….ssl.connection_error` rises',
    cause: 'their Envoys ask two Sidekeys that have the same trust domain and different roots',
    rule: 'envoy-issuer',
    says: /cluster web: the server at \S+ presents \S+\/web, issued under the root \w+, and this Envoy trusts the root \w+/,
    async set(stage, binary, t) {
      const other = await startInnerServer(t, {}, new TestClock(Date.now()));
      for (const { create } of [stage, other]) for (const id of [WEB, CLIENT]) await create(id);
      const [port, local] = (await freePorts(2)) as [number, number];
      const startServer = (socket: string) => startEnvoy(t, binary, webServer(socket, port, CLIENT));
      const server = await startServer(other.socket);
      const client = await startEnvoy(t, binary, webClient(stage.socket, port, local, WEB));
      await server.live();
      await client.live();
      const url = client.adminUrl;
      if ((await call(`http://127.0.0.1:${local}/`)).status !== 503) throw new Error('the server was accepted');
      return {
        url,
        async byHand() {
          await server.stop();
          await (await startServer(stage.socket)).live();
          const { status } = await call(`http://127.0.0.1:${local}/`);
          if (status !== 200) throw new Error(`status ${status}`);
          return { url };
        },
      };
    },
    fix: 'let both Envoys ask the same Sidekey, or give each Sidekey a trust domain of its own and federate them; if one was set up anew, restore its data directory from a backup',
    note: 'doctor connects to the server itself to see the certificate. With `--output json`, `sidekey proxies` shows the authority of each certificate (`authority_id`)',
  },
  {
    symptom: 'Requests between two workloads end with 503, and doctor finds their certificates in order',
    words:
      'the client: `verify SAN list`, and `cluster.….ssl.fail_verify_san` rises; the server: `listener.….ssl.connection_error` rises',
    cause: 'the bootstrap of the client accepts another SPIFFE ID than that of the server',
    rule: 'envoy-peer-name',
    says: /cluster web: the server at \S+ is \S+\/web, and this Envoy accepts only \S+\/wbe/,
    async set(stage, binary, t) {
      for (const id of [WEB, CLIENT]) await stage.create(id);
      const [port, local] = (await freePorts(2)) as [number, number];
      const server = await startEnvoy(t, binary, webServer(stage.socket, port, CLIENT));
      const startClient = (peer: string) => startEnvoy(t, binary, webClient(stage.socket, port, local, peer));
      const broken = await startClient(`${WEB.slice(0, -3)}wbe`);
      await server.live();
      await broken.live();
      if ((await call(`http://127.0.0.1:${local}/`)).status !== 503) throw new Error('the server was accepted');
      return {
        url: broken.adminUrl,
        async byHand() {
          await broken.stop();
          const mended = await startClient(WEB);
          await mended.live();
          const { status } = await call(`http://127.0.0.1:${local}/`);
          if (status !== 200) throw new Error(`status ${status}`);
          return { url: mended.adminUrl };
        },
      };
    },
    fix: 'correct the SPIFFE ID in the bootstrap: `sidekey envoy bootstrap --upstream NAME=HOST:PORT,ID`, or its `match_typed_subject_alt_names`',
    note: 'of an Envoy that refuses clients, doctor names the SPIFFE IDs that its listeners accept (`[envoy-clients-by-name]`)',
  },
  {
    symptom: 'Requests between two workloads end with 503, and the client refuses nothing',
    words: 'the client: `cluster.….ssl.connection_error` rises; the server: `listener.….ssl.fail_verify_san` rises',
    cause: 'the bootstrap of the server accepts another SPIFFE ID than that of the client',
    rule: 'envoy-refused',
    says: /cluster web: since its start \d+ TLS handshakes? with 127\.0\.0\.1:\d+ failed, and not because this Envoy refused/,
    async set(stage, binary, t) {
      for (const id of [WEB, CLIENT]) await stage.create(id);
      const [port, local] = (await freePorts(2)) as [number, number];
      const startServer = (peer: string) => startEnvoy(t, binary, webServer(stage.socket, port, peer));
      const startClient = () => startEnvoy(t, binary, webClient(stage.socket, port, local, WEB));
      const [server, client] = [await startServer(`${CLIENT}s`), await startClient()];
      await server.live();
      await client.live();
      if ((await call(`http://127.0.0.1:${local}/`)).status !== 503) throw new Error('the client was accepted');
      return {
        url: client.adminUrl,
        async byHand() {
          await server.stop();
          await client.stop();
          await (await startServer(CLIENT)).live();
          const mended = await startClient();
          await mended.live();
          const { status } = await call(`http://127.0.0.1:${local}/`);
          if (status !== 200) throw new Error(`status ${status}`);
          return { url: mended.adminUrl };
        },
      };
    },
    fix: "ask the server's Envoy too, which says what its listeners accept: `sidekey doctor --envoy-admin URL`; then correct its bootstrap (`sidekey envoy bootstrap --allow ID`)",
    note: 'the statistics of an Envoy count from its start: start it again to see whether the fault is still there',
  },
  {
    symptom: 'An Envoy can not open the pipe',
    words: '`StreamSecrets gRPC config stream to sidekey closed …: 14, … immediate_connect_error:_Permission_denied`',
    cause: 'its user is not in the group of the socket',
    rule: 'envoy-pipe',
    needsRoot: true,
    says: /its cluster sidekey leads to \S+agent\.sock, and its process \d+ can not connect: it may not connect to /,
    async set(stage, binary, t) {
      await stage.create(WEB);
      chownSync(stage.socket, NOBODY, NOBODY);
      chmodSync(stage.socket, 0o660);
      const [port] = (await freePorts(1)) as [number];
      const envoy = await startEnvoy(
        t,
        binary,
        {
          node: { id: 'shut-out', cluster: 'test' },
          static_resources: {
            clusters: pipeCluster('sidekey', stage.socket),
            listeners: tlsListener(port, { common_tls_context: common(WEB, WEB), require_client_certificate: true }),
          },
        },
        // Without the capabilities by which root passes every mode.
        ['setpriv', '--inh-caps=-all', '--bounding-set=-all'],
      );
      return {
        url: envoy.adminUrl,
        async byHand() {
          chownSync(stage.socket, 0, 0);
          await envoy.live();
          return { url: envoy.adminUrl };
        },
      };
    },
    fix: 'run the printed `usermod -aG GROUP USER`, and start the Envoy again; in a container mount the directory of the pipe, and give the group (`docker run --group-add`)',
    note: 'doctor finds the process by the admin port, and looks at its user, its groups and every directory above the socket',
  },
  {
    symptom: 'A client whose certificate was revoked is still accepted',
    cause:
      'the bootstrap has session ticket keys, with which the client resumes its session: Envoy does not verify it again',
    rule: 'envoy-session-tickets',
    says: /its listener 127\.0\.0\.1:\d+ has session ticket keys/,
    async set(stage, binary, t) {
      await stage.create(WEB);
      const [port] = (await freePorts(1)) as [number];
      const start = (keys: object) => {
        const tls = { common_tls_context: common(WEB, WEB), require_client_certificate: true, ...keys };
        const clusters = pipeCluster('sidekey', stage.socket);
        const resources = { clusters, listeners: tlsListener(port, tls) };
        return startEnvoy(t, binary, { node: { id: 'tickets', cluster: 'test' }, static_resources: resources });
      };
      const broken = await start({ session_ticket_keys: { keys: [{ inline_string: 'k'.repeat(80) }] } });
      await broken.live();
      return {
        url: broken.adminUrl,
        async byHand() {
          await broken.stop();
          const mended = await start({});
          await mended.live();
          return { url: mended.adminUrl };
        },
      };
    },
    fix: 'remove `session_ticket_keys` and `session_ticket_keys_sds_secret_config` from its bootstrap: then Envoy makes its own keys, and each changed bundle ends their sessions',
    note: 'connections that are open stay open too, whatever was revoked; `sidekey envoy bootstrap --max-connection-duration 1h` limits them ([revocation](revocation.md)). `doctor --envoy FILE` finds the keys in a bootstrap (`[session-tickets]`)',
  },
  {
    symptom: 'An Envoy never becomes ready, and no log says why',
    words: 'nothing; `/ready` stays `PRE_INITIALIZING`',
    cause:
      'it asks Sidekey for a name that nobody can have, such as `file-root:system` of an Istio gateway, with `initial_fetch_timeout: 0s`',
    rule: 'envoy-unknown-name',
    says: /it waits for file-root:system: unknown-name: there can be no secret of this name: .*/,
    async set(stage, binary, t) {
      await stage.create(WEB);
      const [port, mesh] = (await freePorts(2)) as [number, number];
      const gateway = (validation: object) =>
        startEnvoy(t, binary, {
          node: { id: 'gateway', cluster: 'test' },
          static_resources: {
            clusters: [
              pipeCluster('sidekey', stage.socket),
              upstream('public', port, { sni: 'example.org', common_tls_context: validation }),
            ],
            listeners: tlsListener(mesh, {
              common_tls_context: { tls_certificate_sds_secret_configs: secretConfig('default', SOURCE) },
            }),
          },
        });
      const source = { name: 'file-root:system', sds_config: { ...SOURCE.config, initial_fetch_timeout: '0s' } };
      const broken = await gateway({ validation_context_sds_secret_config: source });
      return {
        url: broken.adminUrl,
        async byHand() {
          await broken.stop();
          const mended = await gateway({ validation_context_sds_secret_config: await fromFile(t, source.name) });
          await mended.live();
          return { url: mended.adminUrl };
        },
      };
    },
    fix: 'let this secret come from a file: `sds_config: { path_config_source: { path: … } }`; a certificate can be an alias instead: `sidekey alias set NAME spiffe://DOMAIN/PATH`',
    note: '`sidekey proxies --check` lists such names too (state `unknown`). Envoy asks for the secrets of its listeners only when its clusters are ready; doctor says so of each (`[envoy-not-asked]`)',
  },
  {
    symptom: 'An Envoy works, and `sidekey proxies` shows its certificate as held',
    words:
      'nothing, until the end of the certificate; then peers say `CERTIFICATE_VERIFY_FAILED: certificate has expired`',
    cause: 'its entry was deleted or changed after it had got the certificate, which it uses until that ends',
    rule: 'envoy-not-renewed',
    says: /it gets no update of spiffe:\/\/ilinux\.io\/web: no-entry: /,
    async set(stage, binary, t) {
      const id = await stage.create(WEB);
      const [port] = (await freePorts(1)) as [number];
      const envoy = await startEnvoy(t, binary, {
        node: { id: 'kept', cluster: 'test' },
        static_resources: {
          clusters: pipeCluster('sidekey', stage.socket),
          listeners: tlsListener(port, { common_tls_context: common(WEB, WEB), require_client_certificate: true }),
        },
      });
      await envoy.live();
      await stage.admin.json('DELETE', `/v1/entries/${id}`);
      return {
        url: envoy.adminUrl,
        async byHand() {
          await stage.create(WEB);
          return { url: envoy.adminUrl };
        },
      };
    },
    fix: 'see what is missing (`sidekey explain DECISION`), and make or correct the entry before the time that doctor names',
  },
];

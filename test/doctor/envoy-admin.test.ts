/** What an Envoy that runs holds, beside what it was sent: a real one, on a real pipe. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import type { ProxyPageJson } from '../../src/admin/proxy-schema.ts';
import { SystemClock } from '../../src/base/clock.ts';
import type { Finding } from '../../src/base/finding.ts';
import { makeRoot } from '../../src/ca/authority.ts';
import { serverView } from '../../src/cli/doctor-checks.ts';
import type { AdminClient } from '../../src/client/client.ts';
import { envoyAdminCheck } from '../../src/doctor/envoy-check.ts';
import { parseTrustDomain } from '../../src/spiffe/id.ts';
import { TestClock } from '../support/clock.ts';
import { envoyForTests } from '../support/envoy.ts';
import { startInnerServer } from '../support/inner-server.ts';
import { pipeCluster, secretConfig, startEnvoy, tlsListener } from '../support/running-envoy.ts';

const SERVER = { own: { trustDomain: 'ilinux.io', roots: [] }, pipe: '/nowhere/agent.sock' };
const NOBODY = async () => ({ ...SERVER, proxies: [] });
const WEB = 'spiffe://ilinux.io/web';
const BUNDLE = 'spiffe://ilinux.io';

async function look(url: string, admin: AdminClient): Promise<readonly Finding[]> {
  return (await envoyAdminCheck(url, (node) => serverView(admin, node), new SystemClock()).run()).findings;
}

/** Looks until what is found is so; fails after 20 s with what was found. */
async function until(
  findings: () => Promise<readonly Finding[]>,
  isSo: (found: readonly Finding[]) => boolean,
): Promise<readonly Finding[]> {
  const end = performance.now() + 20_000;
  for (;;) {
    const found = await findings();
    if (isSo(found)) return found;
    if (performance.now() > end) throw new Error(JSON.stringify(found));
  }
}

const decisionOf = ({ fix }: Finding): string | undefined => /sidekey explain (d-[0-9a-f]{12})/.exec(fix)?.[1];

/** What answers as an Envoy does, with these answers by path. */
async function fakeEnvoy(t: TestContext, answers: Readonly<Record<string, unknown>>): Promise<string> {
  const server = http.createServer(({ url }, response) => response.end(JSON.stringify(answers[url!] ?? {})));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it("the server's roots are known by their keys, and those of another server are apart", async (t) => {
  const { admin, clock } = await startInnerServer(t);
  const before = (await serverView(admin, 'x')).own;
  const [{ id } = assert.fail()] = (await admin.listAuthorities()).authorities.filter(({ role }) => role === 'root');
  assert.deepEqual([before.roots, before.carried], [[id], []]);
  const now = clock.now();
  const options = { trustDomain: parseTrustDomain('ilinux.io'), subject: [], now };
  const other = await makeRoot(options, 30 * 86_400_000);
  const until = new Date(now + 86_400_000).toISOString();
  await admin.carryRoots({ body: { certificates: other.certificate.toString(), until } });
  const { roots, carried } = (await serverView(admin, 'x')).own;
  assert.deepEqual([roots, carried], [[id], [other.id]]);
});

describe('what answers on an admin port', () => {
  it('may have any node id: a command that names it is safe to paste', async (t) => {
    const url = await fakeEnvoy(t, {
      '/server_info': { node: { id: 'x; rm -rf /' } },
      '/config_dump?resource=dynamic_active_secrets': { configs: [{ name: WEB }] },
    });
    const { findings } = await envoyAdminCheck(url, NOBODY, new SystemClock()).run();
    assert.equal(findings[0]!.rule, 'envoy-no-stream');
    assert.match(
      findings[0]!.fix,
      /^sidekey proxies --node 'x; rm -rf \/'; its SDS cluster has to lead to the pipe of this server, /,
    );
  });

  it('may be no Envoy', async (t) => {
    const url = await fakeEnvoy(t, { '/server_info': 'hello' });
    const { findings } = await envoyAdminCheck(url, NOBODY, new SystemClock()).run();
    assert.deepEqual(
      findings.map(({ rule, problem }) => [rule, problem]),
      [
        [
          'envoy-unreachable',
          "no Envoy answers at this address: the answer to /server_info is not Envoy's: is this Envoy's admin address?",
        ],
      ],
    );
  });

  it('may stand behind a path of a proxy', async (t) => {
    const url = await fakeEnvoy(t, {
      '/envoys/web/server_info': { node: { id: 'web-1' } },
      '/envoys/web/config_dump?resource=dynamic_active_secrets': { configs: [{ name: WEB }] },
    });
    const secret = { name: WEB, held: null, rejection: null, serial: '0a' };
    const proxies = [{ streams: [{ secrets: [secret] }] }] as unknown as ProxyPageJson['proxies'];
    for (const place of [`${url}/envoys/web`, `${url}/envoys/web/`]) {
      const { findings } = await envoyAdminCheck(place, async () => ({ ...SERVER, proxies }), new SystemClock()).run();
      assert.equal(findings[0]!.rule, 'envoy-differs', JSON.stringify(findings));
      assert.ok(findings[0]!.fix.startsWith(`curl ${url}/envoys/web/certs; `), findings[0]!.fix);
    }
  });

  it('may want a password, which is not shown', async (t) => {
    const asked: (string | undefined)[] = [];
    const server = http.createServer(({ headers }, response) => {
      asked.push(headers.authorization);
      response.writeHead(403).end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const outcome = await envoyAdminCheck(`http://me:s3cret@127.0.0.1:${port}`, NOBODY, new SystemClock()).run();
    assert.deepEqual(asked, [`Basic ${Buffer.from('me:s3cret').toString('base64')}`]);
    assert.equal(outcome.findings[0]!.place, `http://127.0.0.1:${port}/`);
    assert.doesNotMatch(JSON.stringify(outcome), /s3cret/);
  });

  it('is looked at without a server too', async (t) => {
    const url = await fakeEnvoy(t, {
      '/server_info': { node: { id: 'web-1' } },
      '/config_dump?resource=dynamic_warming_secrets': { configs: [{ name: WEB }] },
    });
    const outcome = await envoyAdminCheck(url, async () => ({ unknown: 'nobody answers' }), new SystemClock()).run();
    assert.deepEqual(
      outcome.findings.map(({ rule }) => rule),
      ['envoy-waits'],
    );
    assert.deepEqual(outcome.skipped, [{ what: 'what the server has sent to web-1', why: 'nobody answers' }]);
  });
});

const found = await envoyForTests();

describe('an Envoy that runs', { skip: found.skip, timeout: 60_000 }, () => {
  it('waits for what nobody gives it, holds what it was sent, and asks a server that is gone no more', async (t) => {
    assert.ok(found.skip === false);
    // Its certificates are checked by the real time.
    const server = await startInnerServer(t, {}, new TestClock(Date.now()));
    const [port] = await freePorts(1);
    const service = { envoy_grpc: { cluster_name: 'sidekey' } };
    const grpc = { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [service] };
    const source = { config: { resource_api_version: 'V3', api_config_source: grpc }, bootstrap: {} };
    const context = {
      require_client_certificate: true,
      common_tls_context: {
        tls_certificate_sds_secret_configs: [secretConfig(WEB, source)],
        validation_context_sds_secret_config: secretConfig(BUNDLE, source),
      },
    };
    const envoy = await startEnvoy(t, found.envoy.path, {
      node: { id: 'web-1', cluster: 'web' },
      static_resources: {
        listeners: [tlsListener(port!, context)],
        clusters: [pipeCluster('sidekey', server.socket)],
      },
    });
    const findings = () => look(envoy.adminUrl, server.admin);
    const held = (all: readonly Finding[]) => all.length === 2 && all.every((one) => decisionOf(one) !== undefined);
    const waiting = await until(findings, held);
    const web = waiting.find(({ problem }) => problem.includes(WEB))!;
    assert.match(web.problem, /^it waits for spiffe:\/\/ilinux\.io\/web: no-entry: no entry gives/);
    const { name } = await server.admin.json<{ name: string }>('GET', `/v1/decisions/${decisionOf(web)}`);
    assert.equal(name, WEB);

    const entry = await server.create(WEB);
    await until(findings, (all) => all.length === 0);

    await server.admin.json('DELETE', `/v1/entries/${entry}`);
    const kept = await until(findings, (all) => all.length === 2);
    const [identity, bundle] = kept as [Finding, Finding];
    assert.deepEqual([identity.rule, identity.severity], ['envoy-not-renewed', 'error']);
    assert.match(identity.problem, /^it gets no update of spiffe:\/\/ilinux\.io\/web: no-entry: /);
    assert.match(identity.why, /^it uses the former certificate until 20\d\d-\S+Z; then no peer accepts it/);
    assert.deepEqual([bundle.rule, bundle.severity], ['envoy-not-renewed', 'warning']);
    assert.match(bundle.why, /^the trust bundle that it uses is still the present one/);
    for (const { problem, why } of kept) assert.doesNotMatch(problem + why, /resets? |old/);

    await server.create(WEB);
    await until(findings, (all) => all.length === 0);

    await server.server.close();
    const gone = {
      listProxies: async () => ({ proxies: [], next_cursor: '' }),
      getDoctorReport: async () => ({ trust_domain: 'ilinux.io', sds_names: {} }),
      getBundle: async () => ({ keys: [] }),
      listAuthorities: async () => ({ authorities: [] }),
    } as unknown as AdminClient;
    const lost = await until(
      () => look(envoy.adminUrl, gone),
      ([first]) => first?.rule === 'envoy-pipe',
    );
    assert.deepEqual(
      lost.map(({ rule }) => rule),
      ['envoy-pipe'],
    );
    assert.match(lost[0]!.problem, /agent\.sock does not exist$/);
    await envoy.stop();
    const [unreachable] = await look(envoy.adminUrl, gone);
    assert.equal(unreachable!.rule, 'envoy-unreachable');
  });
});

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { makePlace, type Place, type Served, serve } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';
import { issue } from './certificates.ts';
import { type SpireAgent, startSpireAgent, whyNoSpireAgent } from './spire-agent.ts';

const skip = whyNoSpireAgent() ?? false;
const WEB = 'spiffe://ilinux.io/web';
const TWO = 'spiffe://ilinux.io/two';

async function start(t: TestContext, flags: readonly string[] = []) {
  const [port] = await freePorts(1);
  const place = makePlace(t);
  const all = ['--agent-listen', `127.0.0.1:${port}`, '--root-publish-time', '0s', ...flags];
  const begin = (at: Place = place): Promise<Served> => serve(t, { place: at, flags: all });
  return { server: await begin(), port: port!, begin };
}

async function ok(answer: ReturnType<Served['request']>) {
  const { status, body } = await answer;
  assert.ok(status < 300, JSON.stringify(body));
  return body;
}

const selectors = [`unix:uid:${process.getuid!()}`];
const give = (server: Served, spiffeId: string, parentId: string) =>
  ok(server.request('POST', '/v1/entries', { spiffe_id: spiffeId, parent_id: parentId, selectors }));

function serves(agent: SpireAgent, ...ids: string[]): Promise<unknown> {
  return wait(`the agent to serve ${ids}`, {
    look: () => agent.fetch(),
    until: (found) => found.join() === ids.toSorted().join(),
    within: 60_000,
  });
}

async function joined(t: TestContext, server: Served, port: number) {
  const { token, agent_id: id } = await ok(server.request('POST', '/v1/agents/tokens', {}));
  const bundle = String(
    (await server.request('GET', '/v1/bundle', undefined, { accept: 'application/x-pem-file' })).body,
  );
  const agent = await startSpireAgent(t, {
    dir: tempDir(t),
    port,
    joinToken: token,
    ...(bundle.includes('BEGIN') ? { bundle } : {}),
  });
  return { agent, id: id as string };
}

test('a stock agent joins with a token and serves its workloads: entries, tokens, changes, restarts', {
  skip,
}, async (t) => {
  const { server, port, begin } = await start(t);
  const { agent, id } = await joined(t, server, port);
  const entry = await give(server, WEB, id);
  await give(server, 'spiffe://ilinux.io/local', 'spiffe://ilinux.io/sidekey/agent/local');
  await serves(agent, WEB);
  assert.match(await agent.ask('jwt', '-audience', 'a'), /token\(spiffe:\/\/ilinux\.io\/web\)/);
  await give(server, TWO, id);
  await serves(agent, TWO, WEB);
  await ok(server.request('DELETE', `/v1/entries/${entry.id}`));
  await serves(agent, TWO);
  await ok(server.request('POST', '/v1/ca/rotate', { role: 'intermediate' }));
  await agent.said(/Renewing X509-SVID|Creating X509-SVID[^\n]*two[\s\S]*Creating X509-SVID[^\n]*two/);
  await server.stop('SIGTERM');
  const again = await begin(server);
  await give(again, WEB, id);
  await serves(agent, TWO, WEB);
  assert.ok(agent.isRunning);
  assert.equal((agent.log().match(/Node attestation was successful/g) ?? []).length, 1);
  const { agents } = await ok(again.request('GET', '/v1/agents'));
  assert.partialDeepStrictEqual(agents, [{ id, banned: false, expired: false }]);
});

test('a stock agent renews its SVID', { skip }, async (t) => {
  const { server, port } = await start(t, ['--agent-ttl', '1m']);
  const { agent, id } = await joined(t, server, port);
  const serial = async () => (await ok(server.request('GET', `/v1/agents/${encodeURIComponent(id)}`))).serial;
  await give(server, WEB, id);
  await serves(agent, WEB);
  const before = await serial();
  await wait('a renewed SVID', { look: serial, until: (now) => now !== before, within: 60_000 });
  await give(server, TWO, id);
  await serves(agent, TWO, WEB);
});

test('a banned stock agent ends, and so does an evicted one', { skip }, async (t) => {
  const { server, port } = await start(t);
  for (const [method, suffix] of [
    ['POST', '/ban'],
    ['DELETE', ''],
  ] as const) {
    const { agent, id } = await joined(t, server, port);
    await give(server, WEB, id);
    await serves(agent, WEB);
    await ok(server.request(method, `/v1/agents/${encodeURIComponent(id)}${suffix}`));
    assert.notEqual(await agent.ended, 0);
    assert.match(agent.log(), /banned|must be re-attested|Agent is banned|not known|not attested/i);
  }
});

test('a stock agent follows a new root, and a taint of the former one', { skip }, async (t) => {
  const { server, port } = await start(t);
  const { agent, id } = await joined(t, server, port);
  await give(server, WEB, id);
  await serves(agent, WEB);
  const { authorities } = await ok(server.request('GET', '/v1/ca'));
  const root = authorities.find(({ role }: { role: string }) => role === 'root').id;
  await ok(server.request('POST', `/v1/ca/${root}/taint`));
  await wait('the tainted root to leave', {
    look: async () => (await ok(server.request('GET', '/v1/ca'))).authorities,
    until: (all) => !all.some((one: { id: string }) => one.id === root),
    within: 60_000,
  });
  await give(server, TWO, id);
  await serves(agent, TWO, WEB).catch((error: unknown) => assert.fail(`${error}\n${agent.log().slice(-8_000)}`));
  assert.ok(agent.isRunning, agent.log().slice(-2_000));
});

test('a stock agent attests itself by x509pop, and again after it was evicted', { skip }, async (t) => {
  const dir = tempDir(t);
  const root = await issue({ name: 'hosts', isCa: true });
  const file = (name: string, text: string) => {
    const at = path.join(dir, name);
    writeFileSync(at, text, { mode: 0o600 });
    return at;
  };
  const { server, port } = await start(t, ['--agent-x509pop-ca', file('hosts.pem', root.pem)]);
  const hosts = ['P-256', 'P-384', 'rsa'] as const;
  await ok(
    server.request('POST', '/v1/entries', {
      ...{ spiffe_id: 'spiffe://ilinux.io/fleet', parent_id: 'spiffe://ilinux.io/spire/server' },
      selectors: [`x509pop:ca:fingerprint:${root.certificate.fingerprint.replaceAll(':', '').toLowerCase()}`],
    }),
  );
  await give(server, WEB, 'spiffe://ilinux.io/fleet');
  for (const type of hosts) {
    const host = await issue({ name: `web-${type}`, issuer: root, type });
    const [key, cert] = [file(`${type}.key`, host.keyPem), file(`${type}.crt`, host.pem)];
    const attestor = `NodeAttestor "x509pop" {
      plugin_data {
        private_key_path = "${key}"
        certificate_path = "${cert}"
      }
    }`;
    const agent = await startSpireAgent(t, { dir: tempDir(t), port, attestor });
    await serves(agent, WEB);
    if (type === 'rsa') {
      const { agents } = await ok(server.request('GET', '/v1/agents'));
      const { id } = agents.find(({ selectors: all }: { selectors: string[] }) =>
        all.includes('x509pop:subject:cn:web-rsa'),
      );
      await ok(server.request('DELETE', `/v1/agents/${encodeURIComponent(id)}`));
      await wait('the agent to attest itself again', {
        look: async () => (await ok(server.request('GET', '/v1/agents'))).agents.map((one: { id: string }) => one.id),
        until: (ids: string[]) => ids.includes(id),
        within: 60_000,
      });
      await serves(agent, WEB);
    }
    await agent.stop();
  }
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { call, startAdmin } from './support.ts';

const ID = parseSpiffeId('spiffe://ilinux.io/spire/agent/x509pop/aa');
const PATH = `/v1/agents/${encodeURIComponent(ID)}`;

test('agents are listed, shown, banned and evicted', async (t) => {
  const { socketPath, registry, store, clock } = await startAdmin(t);
  const what = { id: ID, attestationType: 'x509pop', canReattest: true, alias: '' } as const;
  const selectors = [{ type: 'x509pop', value: 'subject:cn:host' }];
  await registry.agents.attested({ ...what, selectors, serial: 'aa', notAfter: clock.now() + 1 }, { kind: 'server' });
  const shown = {
    ...{ id: ID, attestation_type: 'x509pop', selectors: ['x509pop:subject:cn:host'], alias: null, serial: 'aa' },
    ...{ can_reattest: true, banned: false, version: null, expired: false, attached: null },
    expires_at: new Date(clock.now() + 1).toISOString(),
    created_at: new Date(clock.now()).toISOString(),
  };
  assert.deepEqual((await call(socketPath, 'GET', '/v1/agents')).body, { agents: [shown] });
  assert.deepEqual((await call(socketPath, 'GET', PATH)).body, shown);
  assert.deepEqual((await call(socketPath, 'POST', `${PATH}/ban`)).body, { ...shown, banned: true });
  assert.equal((await call(socketPath, 'DELETE', PATH)).status, 204);
  for (const [method, path] of [
    ['GET', PATH],
    ['POST', `${PATH}/ban`],
    ['DELETE', PATH],
  ] as const) {
    const { status, body } = await call(socketPath, method, path);
    assert.deepEqual([status, body.code], [404, 'ERR_NOT_FOUND']);
  }
  const rows = (await store.audit.rows({ limit: 10, after: 0 })).map(({ record }) => {
    const { action, target } = JSON.parse(record);
    return [action, target];
  });
  assert.deepEqual(rows.slice(-2), [
    ['agent.banned', ID],
    ['agent.evicted', ID],
  ]);
});

test('a join token is shown once, and bad input is refused with its reasons', async (t) => {
  const { socketPath, registry, clock } = await startAdmin(t);
  const ask = (json: unknown) => call(socketPath, 'POST', '/v1/agents/tokens', { json });
  const { status, body, headers } = await ask({ ttl: '1h', spiffe_id: 'spiffe://ilinux.io/host' });
  assert.equal(status, 201);
  assert.equal(headers['cache-control'], 'no-store');
  assert.match(body.token, /^[0-9a-f]{64}$/);
  assert.match(body.agent_id, /^spiffe:\/\/ilinux\.io\/spire\/agent\/join_token\/[0-9a-f]{32}$/);
  assert.ok(!body.agent_id.includes(body.token));
  assert.equal(body.expires_at, new Date(clock.now() + 3_600_000).toISOString());
  assert.equal(body.alias, 'spiffe://ilinux.io/host');
  assert.equal((await ask({})).body.expires_at, new Date(clock.now() + 600_000).toISOString());
  assert.equal(registry.agents.joinTokens, 2);
  for (const [json, at] of [
    [{ ttl: 0 }, '/ttl'],
    [{ ttl: '8d' }, '/ttl'],
    [{ ttl: 'soon' }, '/ttl'],
    [{ spiffe_id: 'spiffe://other.example/host' }, '/spiffe_id'],
    [{ spiffe_id: 'spiffe://ilinux.io/spire/server' }, '/spiffe_id'],
    [{ token: 'mine' }, '/token'],
  ] as const) {
    const refused = await ask(json);
    assert.equal(refused.status, 400, JSON.stringify(json));
    assert.deepEqual(
      refused.body.errors.map(({ path }: { path: string }) => path),
      [at],
    );
  }
  assert.equal(registry.agents.joinTokens, 2);
});

test('what an agent answers about its host is checked before it is given out', async (t) => {
  let answer = { status: 200, body: Buffer.from('{}') };
  const asked: string[] = [];
  const attached = {
    ...{ id: ID, version: '1.0.0', host: 'web-1', address: '10.0.0.1', since: 1_000, reportedAt: undefined },
    ...{ connections: 1, streams: 2, waiting: 0 },
  };
  const fleet = {
    list: () => [attached],
    onMove: () => () => undefined,
    ask: async (_id: string, path: string) => {
      asked.push(path);
      return answer;
    },
  };
  const { socketPath, registry, clock } = await startAdmin(t, { fleet: () => fleet });
  const what = { id: ID, attestationType: 'x509pop', canReattest: true, alias: '' } as const;
  await registry.agents.attested(
    { ...what, selectors: [], serial: 'aa', notAfter: clock.now() + 1 },
    { kind: 'server' },
  );
  assert.deepEqual((await call(socketPath, 'GET', PATH)).body.attached, {
    ...{ host: 'web-1', version: '1.0.0', address: '10.0.0.1', since: new Date(1_000).toISOString() },
    ...{ reported_at: null, connections: 1, streams: 2, waiting: 0 },
  });
  const ask = async (what: string, status: number, body: string) => {
    answer = { status, body: Buffer.from(body, 'latin1') };
    const got = await call(socketPath, 'GET', `${PATH}/${what}`);
    return [got.status, got.body.code, got.body.detail] as const;
  };
  const page = { at: new Date(0).toISOString(), proxies: [], next_cursor: '' };
  assert.equal((await ask('proxies?limit=5', 200, JSON.stringify(page)))[0], 200);
  assert.deepEqual(asked, ['/v1/proxies?limit=5']);
  for (const bad of ['no JSON', '\xff', 'null', '{}', '{"proxies":[{"pid":"x"}]}', '[]']) {
    assert.deepEqual((await ask('proxies', 200, bad)).slice(0, 2), [503, 'ERR_AGENT_AWAY'], bad);
  }
  const deep = `{"code":"ERR_NOT_FOUND","detail":"deep","more":${'['.repeat(100)}${']'.repeat(100)}}`;
  assert.deepEqual((await ask('proxies', 404, deep)).slice(0, 2), [503, 'ERR_AGENT_AWAY']);
  const refused = JSON.stringify({ code: 'ERR_NOT_FOUND', detail: 'no process \u202e 7' });
  const [status, code, detail] = await ask('explain?pid=7', 404, refused);
  assert.deepEqual([status, code], [404, 'ERR_NOT_FOUND']);
  assert.doesNotMatch(detail, /\u202e/);
  assert.deepEqual((await ask('doctor', 500, '{"code":"ERR_MADE_UP"}')).slice(0, 2), [503, 'ERR_AGENT_AWAY']);
  // Its own query is checked here.
  assert.equal((await ask('proxies?limit=no', 200, '{}'))[0], 400);
  const unknown = `/v1/agents/${encodeURIComponent('spiffe://ilinux.io/spire/agent/x509pop/bb')}/proxies`;
  assert.equal((await call(socketPath, 'GET', unknown)).status, 404);
});

/** The admin API of an agent on a real socket, over a mirrored registry and a real store. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { type AgentAdminOptions, createAgentAdmin } from '../../src/admin/agent-admin.ts';
import type { AgentState } from '../../src/admin/agent-report.ts';
import { RequestCounts } from '../../src/admin/request-counts.ts';
import { peerCredentials } from '../../src/attest/socket-peer.ts';
import type { Refusal } from '../../src/audit/refusals.ts';
import { SidekeyError } from '../../src/base/errors.ts';
import { Ledger } from '../../src/delivery/ledger.ts';
import { Decisions } from '../../src/identity/decisions.ts';
import type { Entry } from '../../src/registry/entry-fields.ts';
import { MirroredRegistry } from '../../src/registry/mirrored.ts';
import { openSqliteStore } from '../../src/registry/sqlite/sqlite-store.ts';
import { lookAtAgent } from '../../src/server/self.ts';
import { listenOnSocket } from '../../src/server/socket-file.ts';
import { makeTrustBundle } from '../../src/spiffe/bundle.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { input, SILENT, TRUST_DOMAIN } from '../registry/support.ts';
import { TestClock } from '../support/clock.ts';
import { requestAdmin, requestOn } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const SERVERS = ['sidekey.example.org:8081'];
const AGENT = 'spiffe://ilinux.io/spire/agent/join_token/1';

function mirrored(name: string, clock: TestClock, selectors?: readonly string[]): Entry {
  const now = clock.now();
  const of = { createdAt: now, updatedAt: now, revisionNumber: 3, source: 'api' };
  return { ...input(name, selectors), id: `entry-${name}`, parentId: AGENT, ...of } as Entry;
}

async function startAgentAdmin(t: TestContext, more: Partial<AgentAdminOptions> = {}) {
  const directory = tempDir(t);
  const clock = new TestClock();
  const store = openSqliteStore({ path: path.join(directory, 'agent.db'), trustDomain: TRUST_DOMAIN });
  const registry = new MirroredRegistry({ trustDomain: TRUST_DOMAIN, clock, log: SILENT });
  registry.change({ whole: true, put: [mirrored('a', clock), mirrored('b', clock, ['k8s:ns:x'])], gone: [] });
  const bundle = makeTrustBundle({ trustDomain: TRUST_DOMAIN, roots: [], sequenceNumber: 1, refreshHint: undefined });
  const refusals: Refusal[] = [];
  let level = 'info' as ReturnType<AgentAdminOptions['logLevel']['level']>;
  const config = {
    ...{ socket: path.join(directory, 'agent.sock'), adminSocket: path.join(directory, 'admin.sock') },
    ...{ sdsDefaultName: 'default', sdsBundleName: 'ROOTCA', sdsAllBundlesName: 'ALL' },
  } as Parameters<typeof lookAtAgent>[0];
  const admin = createAgentAdmin({
    ...{ registry, clock, servers: SERVERS, log: SILENT, version: '1.2.3', audit: store.audit },
    ledger: new Ledger(createLog('silent')),
    decisions: new Decisions({ store: store.decisions, clock, log: SILENT }),
    explain: {
      identities: {
        ...{ bundle: () => bundle, federated: () => [], holders: () => 0, render: () => assert.fail() },
        ...{ withheld: () => [], unrendered: () => [], lapsesOf: () => [], svidsInUse: () => [] },
      },
      inspect: () => Promise.reject(new SidekeyError('ERR_PEER_GONE', 'there is no such process')),
      mainPid: undefined,
    },
    self: {
      look: () =>
        lookAtAgent(config, {
          ...{ dataDir: directory, attestors: [], pipe: { replacedPrograms: () => [] }, counters: new Counters() },
          kernel: { pinsPeers: true, noPidfdOpen: undefined } as Parameters<typeof lookAtAgent>[1]['kernel'],
          unmapped: { uid: undefined, gid: undefined },
        }),
      whyNever: ({ type }) => (type === 'unix' ? undefined : `no ${type} attestor runs here`),
      meant: () => undefined,
      unreachable: async () => ({ users: [], unfinished: undefined }),
      uidOf: () => undefined,
      usage: () => [],
    },
    status: () => undefined,
    maxConnections: 100,
    ready: () => ({ ready: true, parts: [] }),
    metrics: async () => ({ type: 'text/plain', text: 'sidekey_entries 2\n' }),
    logLevel: { setting: 'info', level: () => level, change: (to) => (level = to) },
    requests: new RequestCounts(),
    counters: new Counters(),
    unixCaller: (socket) => {
      const { uid, pid } = peerCredentials(socket);
      return { uid, pid, contained: undefined };
    },
    onRefused: (refusal) => refusals.push(refusal),
    ...more,
  });
  await listenOnSocket(admin.unix, { path: config.adminSocket, mode: 0o600 });
  t.after(async () => {
    await admin.close();
    registry.close();
    await store.close();
  });
  const { adminSocket: socket } = config;
  return {
    ...{ admin, clock, registry, refusals, socket },
    /** The answer is one that the server's document describes. */
    get: (url: string) => requestAdmin(socket, 'GET', url),
    /** Any. */
    ask: (method: string, url: string, body?: unknown) => requestOn(socket, method, url, body),
  };
}

test('an agent answers what its host knows, as a server does', async (t) => {
  const { get, ask, socket } = await startAgentAdmin(t);
  const { body } = await get('/v1/entries');
  assert.deepEqual(
    body.entries.map((one: { id: string; parent_id: string }) => [one.id, one.parent_id]),
    [
      ['entry-a', AGENT],
      ['entry-b', AGENT],
    ],
  );
  const one = await get('/v1/entries/entry-a');
  assert.deepEqual([one.status, one.headers.etag], [200, '"3"']);
  assert.equal((await get('/v1/entries/entry-c')).status, 404);
  assert.deepEqual((await get('/v1/proxies')).body.proxies, []);
  assert.deepEqual((await get('/v1/decisions')).body.decisions, []);
  assert.equal((await get('/v1/explain?selector=unix:uid:1000')).body.identities[0].entry_id, 'entry-a');
  assert.equal((await ask('GET', '/metrics')).text, 'sidekey_entries 2\n');
  assert.equal((await get('/readyz')).status, 200);
  const changed = await requestAdmin(socket, 'PUT', '/v1/log-level', { level: 'debug' });
  assert.equal(changed.body.level, 'debug');
});

test('its document has no more than it answers', async (t) => {
  const { get } = await startAgentAdmin(t);
  const { body } = await get('/openapi.json');
  const operations = Object.entries(body.paths as Record<string, object>).flatMap(([url, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${url}`),
  );
  assert.deepEqual(operations.sort(), [
    'GET /healthz',
    'GET /metrics',
    'GET /openapi.json',
    'GET /readyz',
    'GET /v1/decisions',
    'GET /v1/decisions/{id}',
    'GET /v1/doctor',
    'GET /v1/entries',
    'GET /v1/entries/{id}',
    'GET /v1/events',
    'GET /v1/explain',
    'GET /v1/log-level',
    'GET /v1/proxies',
    'PUT /v1/log-level',
  ]);
});

test('what only servers answer is refused with the server to ask', async (t) => {
  const connected: AgentState = { ...CONNECTED, server: 'other.example.org:8081' };
  const [before, after] = [await startAgentAdmin(t), await startAgentAdmin(t, { status: () => connected })];
  for (const [method, url] of [
    ['POST', '/v1/entries'],
    ['PATCH', '/v1/entries/entry-a'],
    ['GET', '/v1/ca'],
    ['GET', '/v1/bundle'],
    ['GET', '/v1/audit'],
    ['POST', '/v1/backup'],
    ['POST', '/v1/agents/x/ban'],
    ['DELETE', '/v1/tokens/x'],
    ['GET', '/v1/page/overview'],
  ] as const) {
    const { status, body, headers } = await before.ask(method, url);
    assert.deepEqual([status, body.code, body.server], [404, 'ERR_ASK_SERVER', SERVERS[0]], url);
    assert.match(headers['content-type']!, /^application\/problem\+json/);
    const detail = `this is an agent, and ${method} ${url} is answered by its server alone (other.example.org:8081): ask there, on its host or with --admin-url`;
    assert.equal((await after.ask(method, url)).body.detail, detail);
  }
  // What nobody answers is no business of the server.
  assert.equal((await before.ask('GET', '/v1/nothing')).body.code, 'ERR_NOT_FOUND');
  assert.deepEqual(
    [(await before.ask('PUT', '/v1/proxies')).body.code, (await before.ask('PUT', '/v1/proxies')).headers.allow],
    ['ERR_METHOD_NOT_ALLOWED', 'GET, HEAD'],
  );
});

const CONNECTED: AgentState = {
  ...{ state: 'connected', since: Date.parse('2026-11-30T10:00:00Z'), server: SERVERS[0], kind: 'sidekey' },
  ...{ serverVersion: '1.2.3', problem: undefined, agentId: AGENT, joinedInsecurely: false },
  svidEnds: Date.parse('2026-11-30T11:00:00Z'),
};

test('the report for doctor has the connection, and nothing that only the server knows', async (t) => {
  const states: (AgentState | undefined)[] = [undefined, CONNECTED];
  const { get } = await startAgentAdmin(t, { status: () => states[0] });
  const starting = (await get('/v1/doctor')).body;
  assert.deepEqual([starting.agent.state, starting.agent.since, starting.agent.servers], ['starting', null, SERVERS]);
  states.shift();
  const { agent, entries, authorities } = (await get('/v1/doctor')).body;
  assert.deepEqual(agent, {
    ...{ state: 'connected', since: '2026-11-30T10:00:00.000Z', servers: SERVERS, server: SERVERS[0] },
    ...{ kind: 'sidekey', server_version: '1.2.3', problem: null, spiffe_id: AGENT, joined_insecurely: false },
    ...{ svid_expires_at: '2026-11-30T11:00:00.000Z', first_end_at: null },
  });
  assert.deepEqual([authorities, entries.total, entries['never-issued'].count], [[], 2, 0]);
  assert.equal(entries.unproducible.sample[0].entry_id, 'entry-b');
});

test('an explanation proposes entries for this agent, to be made on its server', async (t) => {
  const { get } = await startAgentAdmin(t, { status: () => CONNECTED });
  const { body } = await get(
    '/v1/explain?selector=unix:uid:7&selector=unix:path:/usr/bin/envoy&spiffe_id=spiffe://ilinux.io/c',
  );
  assert.deepEqual(body.fixes, [
    `sidekey entry create --spiffe-id spiffe://ilinux.io/c --selector unix:uid:7 --selector unix:path:/usr/bin/envoy --parent-id ${AGENT}`,
  ]);
  assert.equal(body.server, SERVERS[0]);
  assert.match(body.note, /^this is an agent: run the commands on its server, sidekey\.example\.org:8081/);
});

test('events of the entries reach a reader, and the agent does not wait for it when it stops', async (t) => {
  const { admin, socket, registry, clock } = await startAgentAdmin(t);
  const reader = request({ socketPath: socket, path: '/v1/events' }).end();
  const [response] = await once(reader, 'response');
  response.setEncoding('utf8');
  await once(response, 'data');
  registry.change({ whole: false, put: [mirrored('c', clock)], gone: ['entry-a'] });
  let text = '';
  while (!/entry_deleted/.test(text) || !/entry_created/.test(text)) text += (await once(response, 'data'))[0];
  assert.match(text, /event: entry_created\ndata: \{.*"id":"entry-c"/);
  const ended = once(response, 'end');
  response.resume();
  await admin.close();
  await ended;
});

test('the server may read what it needs, and nothing else', async (t) => {
  const { admin, refusals } = await startAgentAdmin(t, { status: () => CONNECTED });
  const answer = async (url: string) => {
    const { status, body } = await admin.answer(url);
    return [status, JSON.parse(Buffer.from(body).toString())] as const;
  };
  for (const url of [
    '/v1/proxies?limit=10',
    '/v1/explain?selector=unix:uid:1000',
    '/v1/decisions?limit=1',
    '/v1/doctor',
    '/readyz',
  ]) {
    assert.equal((await answer(url))[0], 200, url);
  }
  const [missing, problem] = await answer('/v1/decisions/d-000000000000');
  assert.deepEqual([missing, problem.code], [404, 'ERR_NOT_FOUND']);
  const [bad, { code }] = await answer('/v1/explain');
  assert.deepEqual([bad, code], [400, 'ERR_BAD_INPUT']);
  for (const url of [
    '/v1/entries',
    '/v1/log-level',
    '/v1/events',
    '/metrics',
    '/v1/doctor/x',
    '/v1/proxies/../entries',
    '/v1/proxies#x',
    'http://localhost/v1/proxies',
    '/v1/proxies?a=b c',
    '/v1/decisions/%2e%2e',
    `/v1/proxies?name=${'x'.repeat(9_000)}`,
    '',
  ]) {
    const [status, { detail }] = await answer(url);
    assert.deepEqual([status, detail], [404, 'an agent does not answer this'], url);
  }
  assert.deepEqual(refusals, []);
});

test('an answer that is too large is refused', async (t) => {
  const { admin } = await startAgentAdmin(t, {
    explain: {
      identities: {
        ...{ federated: () => [], holders: () => 0, render: () => assert.fail(), bundle: () => assert.fail() },
        ...{ withheld: () => [], unrendered: () => [], lapsesOf: () => [], svidsInUse: () => [] },
      },
      inspect: () => Promise.reject(new SidekeyError('ERR_PEER_GONE', 'x'.repeat(5 * 1024 * 1024))),
      mainPid: undefined,
    },
  });
  const { status, body } = await admin.answer('/v1/explain?pid=1');
  assert.deepEqual([status, JSON.parse(Buffer.from(body).toString()).code], [413, 'ERR_TOO_LARGE']);
});

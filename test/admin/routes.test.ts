import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { call, entry, NOT_READY, PEM, startAdmin, TOKEN } from './support.ts';

test('the bundle is a JWK set, or PEM for those who ask for it by name', async (t) => {
  const { socketPath } = await startAdmin(t);
  const json = await call(socketPath, 'GET', '/v1/bundle');
  assert.equal(json.status, 200);
  assert.match(json.headers['content-type']!, /^application\/json/);
  assert.deepEqual(json.body, { spiffe_sequence: 7, spiffe_refresh_hint: 300, keys: [] });
  for (const accept of ['application/x-pem-file', 'text/html, Application/X-Pem-File;q=0.9']) {
    const pem = await call(socketPath, 'GET', '/v1/bundle', { headers: { accept } });
    assert.match(pem.headers['content-type']!, /^application\/x-pem-file/);
    assert.equal(pem.text, PEM);
  }
  for (const accept of ['*/*', 'application/*', 'application/json']) {
    const { headers } = await call(socketPath, 'GET', '/v1/bundle', { headers: { accept } });
    assert.match(headers['content-type']!, /^application\/json/);
  }
});

test('health and readiness are told apart', async (t) => {
  let ready = false;
  const { socketPath } = await startAdmin(t, { ready: () => (ready ? { ready, parts: [] } : NOT_READY) });
  assert.deepEqual((await call(socketPath, 'GET', '/healthz')).body, { status: 'ok' });
  assert.equal((await call(socketPath, 'GET', '/readyz')).status, 503);
  ready = true;
  const answer = await call(socketPath, 'GET', '/readyz');
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.body, { status: 'ready', parts: [] });
});

test('the OpenAPI document names every route with its parameters and bodies', async (t) => {
  const { socketPath } = await startAdmin(t);
  const { status, body } = await call(socketPath, 'GET', '/openapi.json');
  assert.equal(status, 200);
  assert.equal(body.openapi, '3.1.0');
  assert.equal(body.info.version, '1.2.3');
  const routes = Object.entries(body.paths).flatMap(([path, methods]) =>
    Object.keys(methods as object).map((method) => `${method.toUpperCase()} ${path}`),
  );
  assert.deepEqual(routes.sort(), [
    'DELETE /v1/agents/{id}',
    'DELETE /v1/aliases/{host}',
    'DELETE /v1/bundles/{trust_domain}',
    'DELETE /v1/ca/carried/{id}',
    'DELETE /v1/entries/{id}',
    'DELETE /v1/federation/{trust_domain}',
    'DELETE /v1/page/session',
    'DELETE /v1/page/sessions/{id}',
    'DELETE /v1/revocations/{serial}',
    'DELETE /v1/tokens/{name}',
    'GET /healthz',
    'GET /metrics',
    'GET /openapi.json',
    'GET /readyz',
    'GET /v1/agents',
    'GET /v1/agents/{id}',
    'GET /v1/agents/{id}/decisions',
    'GET /v1/agents/{id}/doctor',
    'GET /v1/agents/{id}/explain',
    'GET /v1/agents/{id}/proxies',
    'GET /v1/aliases',
    'GET /v1/aliases/{host}',
    'GET /v1/audit',
    'GET /v1/bundle',
    'GET /v1/bundles',
    'GET /v1/bundles/{trust_domain}',
    'GET /v1/ca',
    'GET /v1/decisions',
    'GET /v1/decisions/{id}',
    'GET /v1/doctor',
    'GET /v1/entries',
    'GET /v1/entries/{id}',
    'GET /v1/events',
    'GET /v1/explain',
    'GET /v1/federation',
    'GET /v1/federation/{trust_domain}',
    'GET /v1/issuances',
    'GET /v1/jwks',
    'GET /v1/log-level',
    'GET /v1/page/events',
    'GET /v1/page/overview',
    'GET /v1/page/proxies',
    'GET /v1/page/session',
    'GET /v1/page/sessions',
    'GET /v1/proxies',
    'GET /v1/revocations',
    'GET /v1/tokens',
    'PATCH /v1/entries/{id}',
    'POST /v1/agents/tokens',
    'POST /v1/agents/{id}/ban',
    'POST /v1/backup',
    'POST /v1/ca/carried',
    'POST /v1/ca/import',
    'POST /v1/ca/rotate',
    'POST /v1/ca/{id}/taint',
    'POST /v1/entries',
    'POST /v1/entries/preview',
    'POST /v1/federation',
    'POST /v1/federation/{trust_domain}/refresh',
    'POST /v1/page/links',
    'POST /v1/page/session',
    'POST /v1/revocations',
    'POST /v1/tokens',
    'PUT /v1/aliases/{host}',
    'PUT /v1/bundles/{trust_domain}',
    'PUT /v1/entries',
    'PUT /v1/federation/{trust_domain}',
    'PUT /v1/log-level',
  ]);
  const list = body.paths['/v1/entries'].get;
  const limit = list.parameters.find(({ name }: { name: string }) => name === 'limit');
  assert.deepEqual([limit.in, limit.schema.maximum, limit.schema.default], ['query', 1000, 100]);
  for (const { parameters } of [list, body.paths['/v1/entries'].put]) {
    assert.ok(parameters.length > 0);
    for (const { name, required } of parameters) assert.equal(required, false, name);
  }
  const patch = body.paths['/v1/entries/{id}'].patch;
  assert.deepEqual(
    patch.parameters.map(({ name, in: place, required }: Record<string, unknown>) => [name, place, required]),
    [
      ['id', 'path', true],
      ['if-match', 'header', false],
    ],
  );
  const { EntryPatch } = body.components.schemas;
  assert.equal(EntryPatch.additionalProperties, false);
  assert.deepEqual(patch.requestBody.content['application/json'].schema, { $ref: '#/components/schemas/EntryPatch' });
  for (const methods of Object.values(body.paths) as Record<string, { responses: Record<string, unknown> }>[]) {
    for (const { responses } of Object.values(methods)) {
      assert.ok(!Object.hasOwn(responses, 'default'), 'each status is listed');
      assert.ok(Object.keys(responses).some((status) => /^20[014]$/.test(status)));
    }
  }
  const bundle = body.paths['/v1/bundles/{trust_domain}'];
  const types = ['application/json', 'application/x-pem-file'];
  for (const { content } of [
    body.paths['/v1/bundle'].get.responses['200'],
    bundle.get.responses['200'],
    bundle.put.requestBody,
  ]) {
    assert.deepEqual(Object.keys(content), types);
  }
  assert.deepEqual(Object.keys(bundle.put.responses['201'].content), ['application/json']);
});

test('in the OpenAPI document every operation has an id of its own, and what is sent and answered are named schemas', async (t) => {
  const { socketPath } = await startAdmin(t);
  const { body } = await call(socketPath, 'GET', '/openapi.json');
  type Content = Record<string, { schema: Record<string, unknown> }>;
  interface Operation {
    operationId: string;
    requestBody?: { content: Content };
    responses: Record<string, { content?: Content }>;
  }
  const operations = Object.values(body.paths as Record<string, Record<string, Operation>>).flatMap(
    Object.values<Operation>,
  );
  const ids = operations.map(({ operationId }) => operationId);
  assert.ok(ids.every((id) => /^[a-z][A-Za-z]+$/.test(id)));
  assert.equal(new Set(ids).size, ids.length);
  for (const { operationId, requestBody, responses } of operations) {
    for (const content of [requestBody?.content, ...Object.values(responses).map((response) => response.content)]) {
      for (const { schema } of Object.values(content ?? {})) {
        assert.ok(schema.$ref !== undefined || schema.type === 'string', `${operationId}: ${JSON.stringify(schema)}`);
      }
    }
  }
  const references = [...JSON.stringify(body).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(
    ([, name]) => name!,
  );
  for (const name of references) assert.ok(Object.hasOwn(body.components.schemas, name), name);
});

test('HEAD answers as GET does, without a body', async (t) => {
  const { socketPath } = await startAdmin(t);
  const { status, text } = await call(socketPath, 'HEAD', '/v1/entries');
  assert.equal(status, 200);
  assert.equal(text, '');
});

test('who changed what stands in the log, and neither the token nor what was asked for', async (t) => {
  const lines: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => lines.push(line) });
  const { socketPath, tcp } = await startAdmin(t, { log });
  const secret = 'hunter2';
  await call(socketPath, 'GET', `/v1/entries?selector=docker:env:TOKEN=${secret}&colour=${secret}`);
  await call(socketPath, 'POST', '/v1/entries', { json: entry('a') });
  await call(socketPath, 'POST', `/v1/entries?selector=docker:env:TOKEN=${secret}`, { json: entry('b') });
  await call(socketPath, 'PUT', '/v1/entries', { json: { source: secret, entries: secret } });
  await call(socketPath, 'PUT', `/v1/nothing?selector=docker:env:TOKEN=${secret}`);
  const headers = { authorization: `Bearer ${TOKEN}`, 'x-other': TOKEN };
  await call(tcp.port, 'DELETE', '/v1/entries/none', { headers });
  const told = lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'admin request');
  assert.deepEqual(
    told.map(({ method, path, status }) => [method, path, status]),
    [
      ['POST', '/v1/entries', 201],
      ['POST', '/v1/entries', 400],
      ['PUT', '/v1/entries', 400],
      ['PUT', '/v1/nothing', 404],
      ['DELETE', '/v1/entries/none', 404],
    ],
  );
  assert.deepEqual(told[0].caller, { via: 'unix', uid: process.getuid!(), pid: process.pid });
  assert.deepEqual(told.at(-1).caller, { via: 'tcp', address: '127.0.0.1', token_name: 'admin.token' });
  assert.ok(lines.every((line) => !line.includes(TOKEN) && !line.includes(secret)));
});

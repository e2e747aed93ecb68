import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pino } from 'pino';
import { ERRORS, type ErrorCode } from '../../src/base/errors.ts';
import { type Answer, call, entry, NO_CA, NOT_READY, startAdmin } from './support.ts';

function assertProblem({ status, headers, body }: Answer, code: ErrorCode): void {
  assert.match(headers['content-type']!, /^application\/problem\+json/);
  assert.equal(body.code, code);
  assert.equal(body.status, ERRORS[code].status);
  assert.equal(status, ERRORS[code].status);
  assert.equal(body.title, ERRORS[code].title);
  assert.equal(body.type, `urn:sidekey:error:${code}`);
  assert.equal(typeof body.detail, 'string');
}

const JSON_TYPE = { 'content-type': 'application/json' };

describe('a problem document tells of', () => {
  test('a path that is not there', async (t) => {
    const { socketPath } = await startAdmin(t);
    for (const url of ['/nothing', '/v1', '/v1/nothing', '/v1/entries/', '/v1/entries/a/b', '/v2/entries?x=1']) {
      for (const method of ['GET', 'POST', 'DELETE'])
        assertProblem(await call(socketPath, method, url), 'ERR_NOT_FOUND');
    }
    // Browsers get the page there.
    assertProblem(await call(socketPath, 'GET', '/', { headers: { accept: 'application/json' } }), 'ERR_NOT_FOUND');
  });

  test('a method that the path does not have, with those that it has', async (t) => {
    const { socketPath } = await startAdmin(t);
    const entries = await call(socketPath, 'DELETE', '/v1/entries');
    assertProblem(entries, 'ERR_METHOD_NOT_ALLOWED');
    assert.equal(entries.headers.allow, 'GET, HEAD, POST, PUT');
    const one = await call(socketPath, 'POST', '/v1/entries/some-id', { json: {} });
    assertProblem(one, 'ERR_METHOD_NOT_ALLOWED');
    assert.equal(one.headers.allow, 'DELETE, GET, HEAD, PATCH');
  });

  test('a URL that is none', async (t) => {
    const { socketPath } = await startAdmin(t);
    assertProblem(await call(socketPath, 'GET', '/v1/entries/%zz'), 'ERR_BAD_INPUT');
  });

  for (const [what, raw] of [
    ['cut off', '{"spiffe_id": "spiffe://ilinux.io/a"'],
    ['empty but for spaces', '  '],
    ['no JSON at all', 'spiffe_id: a'],
    ['not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['two values', '{} {}'],
    ['nested too deep', `${'['.repeat(65)}${']'.repeat(65)}`],
  ] as const) {
    test(`a body that is ${what}`, async (t) => {
      const { socketPath } = await startAdmin(t);
      assertProblem(await call(socketPath, 'POST', '/v1/entries', { raw, headers: JSON_TYPE }), 'ERR_BAD_JSON');
    });
  }

  test('a body that is missing', async (t) => {
    const { socketPath } = await startAdmin(t);
    assertProblem(await call(socketPath, 'POST', '/v1/entries', { headers: JSON_TYPE }), 'ERR_BAD_INPUT');
    assertProblem(await call(socketPath, 'PUT', '/v1/entries', { headers: JSON_TYPE }), 'ERR_BAD_INPUT');
    assertProblem(await call(socketPath, 'PATCH', '/v1/entries/x', { headers: JSON_TYPE }), 'ERR_BAD_INPUT');
  });

  test('a media type that is not JSON', async (t) => {
    const { socketPath } = await startAdmin(t);
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonx', 'nonsense']) {
      const answer = await call(socketPath, 'POST', '/v1/entries', { raw: '{}', headers: { 'content-type': type } });
      assertProblem(answer, 'ERR_MEDIA_TYPE');
    }
    assertProblem(await call(socketPath, 'POST', '/v1/entries', { raw: '{}' }), 'ERR_MEDIA_TYPE');
  });

  test('a body over 1 MiB, with or without a length', async (t) => {
    const { socketPath, registry } = await startAdmin(t);
    const body = JSON.stringify(entry('a'));
    const limit = 1024 * 1024;
    const send = (length: number, headers = {}) =>
      call(socketPath, 'POST', '/v1/entries', { raw: body.padEnd(length), headers: { ...JSON_TYPE, ...headers } });
    assertProblem(await send(limit + 1), 'ERR_TOO_LARGE');
    assertProblem(await send(limit + 1, { 'transfer-encoding': 'chunked' }), 'ERR_TOO_LARGE');
    assert.equal(registry.size, 0);
    assert.equal((await send(limit)).status, 201);
  });

  test('a server that is not ready, with the reason', async (t) => {
    const { socketPath } = await startAdmin(t, { ready: () => NOT_READY });
    const answer = await call(socketPath, 'GET', '/readyz');
    assertProblem(answer, 'ERR_NOT_READY');
    assert.equal(answer.body.detail, 'socket: it does not accept yet (since 2026-11-30T10:00:01.000Z)');
    assert.deepEqual(answer.body.parts, [
      { name: 'authority', ready: true, since: '2026-11-30T10:00:00.000Z', reason: null },
      { name: 'socket', ready: false, since: '2026-11-30T10:00:01.000Z', reason: 'it does not accept yet' },
    ]);
    assert.equal((await call(socketPath, 'GET', '/healthz')).status, 200);
  });

  test('a handler that crashed: the cause goes to the log and not to the caller', async (t) => {
    const lines: string[] = [];
    const log = pino({ level: 'info' }, { write: (line: string) => lines.push(line) });
    const { socketPath } = await startAdmin(t, {
      log,
      ca: {
        ...NO_CA,
        bundle: () => {
          throw new TypeError('the innermost secret');
        },
      },
    });
    const answer = await call(socketPath, 'GET', '/v1/bundle');
    assertProblem(answer, 'ERR_INTERNAL');
    assert.doesNotMatch(answer.text, /innermost|TypeError|\.ts/);
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, /"level":50.*the innermost secret/);
  });
});

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { makeCertificate } from '../support/certificates.ts';
import { type Call, call, PEM, startAdmin } from './support.ts';

const PEM_TYPE = 'application/x-pem-file';
const OTHER = '/v1/bundles/other.example';

const one = await makeCertificate({ name: 'one', uris: ['spiffe://other.example'] });
const two = await makeCertificate({ name: 'two', type: 'RSA', notAfter: Date.UTC(2030, 0, 1) });
const expired = await makeCertificate({ name: 'old', notAfter: Date.UTC(2026, 4, 1) });

async function start(t: TestContext) {
  const running = await startAdmin(t);
  const ask = (method: string, url: string, options?: Call) => call(running.socketPath, method, url, options);
  const putPem = (url: string, raw: string | Buffer, type = PEM_TYPE) =>
    ask('PUT', url, { raw, headers: { 'content-type': type } });
  return { ...running, ask, putPem };
}

describe('a bundle of another trust domain', () => {
  test('is set as SPIFFE JSON, and comes back as it was, or as PEM', async (t) => {
    const { ask, clock } = await start(t);
    const document = { spiffe_sequence: 7, spiffe_refresh_hint: 60, keys: [one.key, two.key] };
    const made = await ask('PUT', OTHER, { json: document });
    assert.equal(made.status, 201, made.text);
    assert.deepEqual(made.body, {
      trust_domain: 'other.example',
      spiffe_sequence: 7,
      spiffe_refresh_hint: 60,
      source: 'manual',
      authorities: 2,
      expires_at: '2035-12-31T00:00:00.000Z',
      updated_at: new Date(clock.now()).toISOString(),
      warnings: [],
    });
    const json = await ask('GET', OTHER);
    assert.deepEqual(json.body, document);
    assert.equal(json.headers.vary, 'accept');
    const pem = await ask('GET', OTHER, { headers: { accept: PEM_TYPE } });
    assert.match(pem.headers['content-type']!, /^application\/x-pem-file/);
    assert.equal(pem.text, one.pem + two.pem);
  });

  test('is set as PEM, and what it does not say stays unsaid', async (t) => {
    const { ask, putPem } = await start(t);
    const made = await putPem(OTHER, `ours\n${one.pem}`, 'Application/X-PEM-File; charset=utf-8');
    assert.equal(made.status, 201, made.text);
    assert.deepEqual([made.body.spiffe_sequence, made.body.spiffe_refresh_hint], [1, null]);
    assert.deepEqual((await ask('GET', OTHER)).body, { spiffe_sequence: 1, keys: [one.key] });
  });

  test('is replaced by the next, in whichever form', async (t) => {
    const { ask, putPem } = await start(t);
    await ask('PUT', OTHER, { json: { spiffe_sequence: 7, keys: [one.key] } });
    const replaced = await putPem(OTHER, two.pem);
    assert.deepEqual([replaced.status, replaced.body.spiffe_sequence], [200, 8]);
    assert.deepEqual((await ask('GET', OTHER)).body.keys, [two.key]);
    const older = await ask('PUT', OTHER, { json: { spiffe_sequence: 7, keys: [one.key] } });
    assert.equal(older.status, 200);
    assert.deepEqual(
      older.body.warnings.map(({ path }: { path: string }) => path),
      ['/spiffe_sequence'],
    );
  });

  test('is warned of where some of it will do nothing', async (t) => {
    const { putPem } = await start(t);
    const { status, body } = await putPem(OTHER, expired.pem + one.pem);
    assert.equal(status, 201);
    assert.deepEqual(
      body.warnings.map(({ path, problem }: Record<string, string>) => [path, problem]),
      [['line 1', '"CN=old" expired at 2026-05-01T00:00:00.000Z']],
    );
  });

  test('is listed with the others by trust domain, and deleted', async (t) => {
    const { ask, putPem } = await start(t);
    assert.deepEqual((await ask('GET', '/v1/bundles')).body, { bundles: [] });
    await putPem(OTHER, one.pem);
    await putPem('/v1/bundles/spiffe%3A%2F%2Fanother.example', two.pem);
    const { bundles } = (await ask('GET', '/v1/bundles')).body;
    assert.deepEqual(
      bundles.map((bundle: Record<string, unknown>) => [bundle.trust_domain, bundle.authorities, bundle.expires_at]),
      [
        ['another.example', 1, '2030-01-01T00:00:00.000Z'],
        ['other.example', 1, '2035-12-31T00:00:00.000Z'],
      ],
    );
    assert.equal((await ask('GET', '/v1/bundles/spiffe%3A%2F%2Fanother.example')).status, 200);
    const deleted = await ask('DELETE', OTHER);
    assert.deepEqual([deleted.status, deleted.text], [204, '']);
    for (const method of ['GET', 'DELETE']) {
      const { status, body } = await ask(method, OTHER);
      assert.deepEqual([status, body.code, body.detail], [404, 'ERR_NOT_FOUND', 'there is no bundle of other.example']);
    }
  });

  test('with faults is refused whole, and the one before stays', async (t) => {
    const { ask, putPem } = await start(t);
    await putPem(OTHER, one.pem);
    const json = await ask('PUT', OTHER, { json: { keys: [two.key, { ...one.key, d: 'c2VjcmV0' }, 7] } });
    assert.deepEqual([json.status, json.body.code], [400, 'ERR_BAD_INPUT']);
    assert.deepEqual(
      json.body.errors.map(({ path }: { path: string }) => path),
      ['/keys/1/d', '/keys/2'],
    );
    assert.ok(!json.text.includes('c2VjcmV0'));
    const pem = await putPem(OTHER, two.pem + two.privateKey);
    assert.deepEqual([pem.status, pem.body.code], [400, 'ERR_BAD_INPUT']);
    assert.ok(!pem.text.includes(two.privateKey.split('\n')[1]!));
    assert.equal((await putPem(OTHER, '')).status, 400);
    assert.equal((await ask('PUT', OTHER, { raw: '', headers: { 'content-type': 'application/json' } })).status, 400);
    assert.deepEqual((await ask('GET', OTHER)).body.keys, [one.key]);
  });

  test('is not the own one, which is shown and not set', async (t) => {
    const { ask, putPem } = await start(t);
    const shown = await ask('GET', '/v1/bundles/ilinux.io', { headers: { accept: PEM_TYPE } });
    assert.deepEqual([shown.status, shown.text], [200, PEM]);
    for (const answer of [
      await putPem('/v1/bundles/ilinux.io', one.pem),
      await ask('DELETE', '/v1/bundles/ilinux.io'),
    ]) {
      assert.equal(answer.status, 400);
      assert.deepEqual(
        answer.body.errors.map(({ path, problem }: Record<string, string>) => [path, problem]),
        [['trust_domain', "it is the server's own trust domain"]],
      );
    }
    assert.equal((await putPem('/v1/bundles/Other', one.pem)).body.errors[0].path, 'trust_domain');
  });

  test('of another media type, too large or by another method is refused', async (t) => {
    const { ask, putPem } = await start(t);
    const text = await putPem(OTHER, one.pem, 'text/plain');
    assert.deepEqual([text.status, text.body.code], [415, 'ERR_MEDIA_TYPE']);
    assert.match(text.body.detail, /x-pem-file/);
    assert.equal((await putPem(OTHER, Buffer.alloc(1024 * 1024 + 1, 0x20))).status, 413);
    const posted = await ask('POST', '/v1/bundles/other.example', { json: {} });
    assert.deepEqual([posted.status, posted.headers.allow], [405, 'DELETE, GET, HEAD, PUT']);
    const entries = await ask('POST', '/v1/entries', { raw: one.pem, headers: { 'content-type': PEM_TYPE } });
    assert.equal(entries.status, 415, 'PEM is for bundles alone');
  });
});

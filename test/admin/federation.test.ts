/** Who may read and change federation relationships. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { call, startAdmin } from './support.ts';

const PLAIN = 'https://127.0.0.1:1/bundle';
const SECRET = `${PLAIN}?key=hush`;
const BODY = {
  trust_domain: 'other.example',
  bundle_endpoint_url: SECRET,
  bundle_endpoint_profile: 'https_web',
};
const AT = '/v1/federation/other.example';

async function startWithTokens(t: TestContext) {
  const { socketPath, tcp } = await startAdmin(t);
  const asRole = async (role: string) => {
    const { body } = await call(socketPath, 'POST', '/v1/tokens', { json: { name: role, role } });
    const headers = { authorization: `Bearer ${body.token}`, 'content-type': 'application/json' };
    return async (method: string, path: string, json?: object) => {
      const options = json === undefined ? { method, headers } : { method, headers, body: JSON.stringify(json) };
      const response = await fetch(`http://127.0.0.1:${tcp.port}${path}`, options);
      const text = await response.text();
      return { status: response.status, text, body: text === '' ? undefined : JSON.parse(text) };
    };
  };
  return { socketPath, asRole };
}

describe('federation relationships', () => {
  it('show the query of a URL to the role admin alone, and only one at a time', async (t) => {
    const { socketPath, asRole } = await startWithTokens(t);
    const made = await call(socketPath, 'POST', '/v1/federation', { json: BODY });
    assert.equal(made.body.bundle_endpoint_url, SECRET);
    assert.equal((await call(socketPath, 'GET', AT)).body.bundle_endpoint_url, SECRET);
    const admin = await asRole('admin');
    assert.equal((await admin('GET', AT)).body.bundle_endpoint_url, SECRET);
    for (const role of ['read', 'entries']) {
      const ask = await asRole(role);
      const { text, body } = await ask('GET', AT);
      assert.equal(body.bundle_endpoint_url, `${PLAIN}?…`);
      assert.doesNotMatch(text, /hush/);
      assert.doesNotMatch((await ask('GET', '/v1/federation')).text, /hush/);
    }
    for (const path of ['/v1/federation', '/v1/audit']) {
      const { status, text } = await admin('GET', path);
      assert.deepEqual([status, /bundle\?…/.test(text), /hush/.test(text)], [200, true, false], path);
    }
    assert.doesNotMatch((await admin('POST', `${AT}/refresh`)).text, /hush/);
    const back = { ...BODY, bundle_endpoint_url: `${PLAIN}?…` };
    assert.equal((await admin('PUT', AT, back)).status, 400, 'what is shown cannot replace the secret');
  });

  it('are read with the roles read and entries, and changed with admin alone', async (t) => {
    const { asRole } = await startWithTokens(t);
    const admin = await asRole('admin');
    const made = await admin('POST', '/v1/federation', BODY);
    assert.equal(made.status, 201);
    const changes = [
      ['POST', '/v1/federation', BODY],
      ['PUT', AT, BODY],
      ['DELETE', AT],
      ['POST', `${AT}/refresh`],
    ] as const;
    for (const role of ['read', 'entries']) {
      const ask = await asRole(role);
      assert.equal((await ask('GET', '/v1/federation')).status, 200);
      assert.equal((await ask('GET', AT)).status, 200);
      for (const [method, path, json] of changes) {
        const { status, body } = await ask(method, path, json);
        assert.deepEqual(
          [status, body.code, body.needed_role],
          [403, 'ERR_FORBIDDEN_ROLE', 'admin'],
          `${role} ${method}`,
        );
      }
    }
    assert.equal((await admin('GET', AT)).body.revision_number, made.body.revision_number);
    assert.equal((await admin('DELETE', AT)).status, 204);
  });
});

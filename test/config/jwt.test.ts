/** The settings of JWT-SVIDs against each other. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadServeConfig } from '../../src/config/load.ts';

const load = (flags: Record<string, string>) =>
  loadServeConfig({ flags: { trustDomain: 'example.org', ...flags }, env: {}, uid: 0, folder: '/etc/sidekey' });

const OIDC = { oidcListen: '127.0.0.1:0', jwtIssuer: 'https://x.example' };

const REFUSED: readonly (readonly [name: string, flags: Record<string, string>, message: RegExp])[] = [
  [
    'a listener without an issuer',
    { oidcListen: '127.0.0.1:0' },
    /^--jwt-issuer: it is not set, and --oidc-listen is; .*give --jwt-issuer the URL at which consumers reach it$/,
  ],
  [
    'a certificate without a key',
    { ...OIDC, oidcCertFile: '/etc/hosts' },
    /^--oidc-key-file: it is not set, and --oidc-cert-file is; /,
  ],
  [
    'a key without a certificate',
    { ...OIDC, oidcKeyFile: '/etc/hosts' },
    /^--oidc-cert-file: it is not set, and --oidc-key-file is; /,
  ],
  [
    'a certificate without a listener',
    { oidcCertFile: '/etc/hosts', oidcKeyFile: '/etc/hosts' },
    /^--oidc-cert-file: it has no effect; it is of --oidc-listen, which is not set\n--oidc-key-file: it has no effect; /,
  ],
  [
    'a key that lives too short',
    { jwtKeyTtl: '30m' },
    /^--jwt-key-ttl: a key lives for 30m, and is to be published for 15m before it signs; .*--jwt-key-ttl is at least three times --jwt-publish-before$/,
  ],
  ['a key that is published too long', { jwtPublishBefore: '9h' }, /^--jwt-publish-before: a key lives for 1d, /],
  ['an issuer with a query', { jwtIssuer: 'https://x.example/?a' }, /^--jwt-issuer: .* has a query or a fragment; /],
  ['an issuer that is no URL', { jwtIssuer: 'x.example' }, /^--jwt-issuer: "x\.example" is not an http URL; /],
  [
    'an issuer with a password',
    { jwtIssuer: 'https://a:secret@x.example' },
    /^--jwt-issuer: it has a user or a password; (?!.*secret)/,
  ],
  [
    'too many audiences',
    { maxJwtAudiences: '129' },
    /^--max-jwt-audiences: "129" is too large; it is a whole number from 1 to 128$/,
  ],
];

for (const [name, flags, message] of REFUSED) {
  test(`refused: ${name}`, async () => {
    await assert.rejects(load(flags), (error: Error & { code: string }) => {
      assert.equal(error.code, 'ERR_CONFIG');
      assert.match(error.message, message);
      return true;
    });
  });
}

test('the issuer stays as it is written', async () => {
  for (const jwtIssuer of ['https://X.example/', 'https://x.example', 'http://127.0.0.1:8080/a']) {
    assert.equal((await load({ jwtIssuer })).jwtIssuer, jwtIssuer);
  }
  const { jwtKeyTtl, jwtPublishBefore } = await load({ jwtKeyTtl: '3m', jwtPublishBefore: '1m' });
  assert.deepEqual([jwtKeyTtl, jwtPublishBefore], [180, 60]);
});

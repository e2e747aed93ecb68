import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { RemoteTokens } from '../../src/remote/tokens.ts';
import { parseSpiffeId, parseTrustDomain } from '../../src/spiffe/id.ts';
import { TestClock } from '../support/clock.ts';

test('a token ends by its own claim, whatever the answer of the server says', async () => {
  const clock = new TestClock();
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spiffeId = parseSpiffeId('spiffe://ilinux.io/web');
  const iat = Math.floor(clock.now() / 1000);
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = encode({ sub: spiffeId, aud: ['db'], iat, exp: iat + 60 });
  const text = `${encode({ alg: 'ES256', kid: 'key', typ: 'JWT' })}.${claims}`;
  const signature = sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const token = `${text}.${signature.toString('base64url')}`;
  const bundle = {
    trustDomain: parseTrustDomain('ilinux.io'),
    jwtAuthorities: [{ keyId: 'key', publicKey: publicKey.export({ format: 'jwk' }) }],
  };
  const tokens = new RemoteTokens({
    uplink: { newJwtSvid: async () => ({ token, issuedAt: iat * 1000, expiresAt: (iat + 86_400) * 1000 }) },
    bundle: () => bundle as unknown as ReturnType<ConstructorParameters<typeof RemoteTokens>[0]['bundle']>,
    clock,
  });
  const request = { entryId: 'web', spiffeId, audiences: ['db'], ttl: 300, notAfter: 0 };
  assert.equal((await tokens.issue(request)).expiresAt, (iat + 60) * 1000);
});

/** Tokens to validate: good ones, ones that break one rule, and ones that are changed anywhere. */

import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { AudienceError, InvalidTokenError } from '../../src/jwt/errors.ts';
import { validateJwtSvid } from '../../src/jwt/validate.ts';
import { parseTrustDomain } from '../../src/spiffe/id.ts';
import { mutate } from './mutate.ts';
import { Random } from './random.ts';
import { Broken, type Target } from './target.ts';

const NOW = Date.UTC(2026, 5, 1);
const SECONDS = NOW / 1_000;
const KEYS = {
  own: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  rsa: generateKeyPairSync('rsa', { modulusLength: 2_048 }),
  other: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  unknown: generateKeyPairSync('ed25519'),
};
const authority = (name: keyof typeof KEYS) => ({
  keyId: name,
  publicKey: KEYS[name].publicKey.export({ format: 'jwk' }),
});
const BUNDLES = new Map([
  [parseTrustDomain('ilinux.io'), { jwtAuthorities: [authority('own'), authority('rsa')] }],
  [parseTrustDomain('other.example'), { jwtAuthorities: [authority('other')] }],
]);

const OWN = 'spiffe://ilinux.io/web';
const ODD: readonly unknown[] = [null, 0, -1, 1e300, '', 'x', [], {}, true, [[]], 'a\u0000', OWN];

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token, and whether it breaks no rule. */
export function madeTokenOf(random: Random): { token: string; isValid: boolean } {
  const header: Record<string, unknown> = { alg: 'ES256', kid: 'own', typ: 'JWT' };
  const claims: Record<string, unknown> = { sub: OWN, aud: ['db'], exp: SECONDS + 300, iat: SECONDS };
  let key = KEYS.own.privateKey;
  let isValid = false;
  switch (random.below(14)) {
    case 0:
      header.alg = random.pick(['none', 'HS256', 'EdDSA', 'RS256', 'ES384', 'es256', '', null]);
      break;
    case 1:
      header[random.pick(['crit', 'jku', 'jwk', 'x5c', 'b64', '__proto__x'])] = random.pick(ODD);
      break;
    case 2:
      header.typ = random.pick(['at+jwt', 'jwt', 1, null]);
      break;
    case 3:
      header.kid = random.pick(['rsa', 'other', 'none', '', undefined, ...ODD]);
      break;
    case 4:
      delete claims[random.pick(['sub', 'aud', 'exp'])];
      break;
    case 5:
      claims.sub = random.pick(
        ['spiffe://other.example/web', 'spiffe://ilinux.io', 'https://ilinux.io/web', ...ODD].filter(
          (one) => one !== OWN,
        ),
      );
      break;
    case 6:
      claims.aud = random.pick([['web'], [], 'web', null, 7, [7], { db: true }]);
      break;
    case 7:
      claims.exp = random.pick([SECONDS - 61, 0, -1, null, `${SECONDS + 300}`, {}]);
      break;
    case 8:
      claims.nbf = random.pick([SECONDS + 61, 1e300, '0', null, {}]);
      break;
    case 9:
      key = random.pick([KEYS.other.privateKey, KEYS.rsa.privateKey]);
      break;
    default:
      isValid = true;
      if (random.chance(0.5)) claims[random.pick(['roles', 'jti', '__proto__', 'constructor'])] = random.pick(ODD);
  }
  const input = `${encode(header)}.${encode(claims)}`;
  if (header.alg === 'none') return { token: `${input}.`, isValid };
  const signature =
    header.alg === 'HS256'
      ? createHmac('sha256', JSON.stringify(KEYS.own.publicKey.export({ format: 'jwk' })))
          .update(input)
          .digest()
      : sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
  const parts = [...input.split('.'), signature.toString('base64url')];
  if (random.chance(0.02)) {
    const [protectedHeader, payload] = parts;
    return { token: JSON.stringify({ protected: protectedHeader, payload, signature: parts[2] }), isValid: false };
  }
  return { token: parts.join('.'), isValid };
}

/** The same, perhaps changed anywhere. */
export function madeToken(random: Random): string {
  const { token } = madeTokenOf(random);
  return random.chance(0.5) ? token : mutate(random, Buffer.from(token), [Buffer.from(token)]).toString('latin1');
}

/** Fuzzes `src/jwt/validate.ts`: what breaks no rule is accepted, and everything else is refused with a short reason. */
export const fuzzTokens: Target = async (seed, goOn) => {
  const begin = performance.now();
  let [input, accepted] = [0, 0];
  for (; goOn(input); input += 1) {
    const random = Random.of(seed, input);
    const made = madeTokenOf(random);
    const changed = random.chance(0.5)
      ? mutate(random, Buffer.from(made.token), [Buffer.from(made.token)]).toString('latin1')
      : made.token;
    const isValid = made.isValid && changed === made.token;
    try {
      if (isAccepted(changed)) accepted += 1;
      assert.equal(isAccepted(changed), isValid);
    } catch (error) {
      throw new Broken('tokens', seed, input, changed.slice(0, 8_192), error);
    }
  }
  return { inputs: input, seconds: (performance.now() - begin) / 1_000, notes: [`${accepted} accepted`] };
};

function isAccepted(token: string): boolean {
  try {
    const { spiffeId, claims } = validateJwtSvid(token, 'db', BUNDLES, NOW);
    assert.equal(spiffeId, OWN);
    assert.deepEqual(claims.aud, ['db']);
    return true;
  } catch (error) {
    assert.ok(error instanceof InvalidTokenError || error instanceof AudienceError, String(error));
    assert.ok(error.message.length < 1_000, 'the message is short');
    return false;
  }
}

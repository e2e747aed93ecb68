/** Validation of JWT-SVIDs: what is accepted, and the exact reason for each refusal. */

import assert from 'node:assert/strict';
import { constants, createHmac, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { AudienceError, InvalidTokenError } from '../../src/jwt/errors.ts';
import { shownClaims, validateJwtSvid } from '../../src/jwt/validate.ts';
import { parseTrustDomain } from '../../src/spiffe/id.ts';

const OWN = parseTrustDomain('ilinux.io');
const OTHER = parseTrustDomain('example.org');
const NOW = Date.UTC(2026, 5, 1);
const SECONDS = NOW / 1000;

const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });
const rsa = (modulusLength: number) => generateKeyPairSync('rsa', { modulusLength });
const PAIRS = {
  p256: ec('P-256'),
  p384: ec('P-384'),
  p521: ec('P-521'),
  rsa: rsa(2048),
  short: rsa(1024),
  k256: ec('secp256k1'),
  other: ec('P-256'),
};
const jwk = (name: keyof typeof PAIRS) => PAIRS[name].publicKey.export({ format: 'jwk' });
const authority = (name: keyof typeof PAIRS, keyId: string = name) => ({ keyId, publicKey: jwk(name) });
const BUNDLES = new Map([
  [OWN, { jwtAuthorities: (['p256', 'p384', 'p521', 'rsa', 'short', 'k256'] as const).map((name) => authority(name)) }],
  [OTHER, { jwtAuthorities: [authority('other')] }],
]);

const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const CLAIMS = { sub: 'spiffe://ilinux.io/web', aud: ['db'], exp: SECONDS + 300, iat: SECONDS - 30 };
const HEADER = { alg: 'ES256', kid: 'p256', typ: 'JWT' };

interface Parts {
  readonly header?: unknown;
  readonly claims?: unknown;
  readonly key?: KeyObject;
  readonly hash?: string;
  readonly padding?: number;
}

function token({
  header = HEADER,
  claims = CLAIMS,
  key = PAIRS.p256.privateKey,
  hash = 'sha256',
  padding,
}: Parts = {}): string {
  const input = `${encode(header)}.${encode(claims)}`;
  const scheme = padding === undefined ? {} : { padding, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
  return `${input}.${sign(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363', ...scheme }).toString('base64url')}`;
}

const validate = (text: string, audience = 'db', now = NOW) => validateJwtSvid(text, audience, BUNDLES, now);

const ACCEPTED: readonly (readonly [name: string, parts: Parts])[] = [
  ['ES256', {}],
  ['ES384', { header: { alg: 'ES384', kid: 'p384' }, key: PAIRS.p384.privateKey, hash: 'sha384' }],
  ['ES512', { header: { alg: 'ES512', kid: 'p521' }, key: PAIRS.p521.privateKey, hash: 'sha512' }],
  ...[256, 384, 512].flatMap((bits) => [
    [`RS${bits}`, { header: { alg: `RS${bits}`, kid: 'rsa' }, key: PAIRS.rsa.privateKey, hash: `sha${bits}` }] as const,
    [
      `PS${bits}`,
      {
        header: { alg: `PS${bits}`, kid: 'rsa' },
        key: PAIRS.rsa.privateKey,
        hash: `sha${bits}`,
        padding: constants.RSA_PKCS1_PSS_PADDING,
      },
    ] as const,
  ]),
  ['the type JOSE', { header: { ...HEADER, typ: 'JOSE' } }],
  ['no type', { header: { alg: 'ES256', kid: 'p256' } }],
  ['an audience that is no list', { claims: { ...CLAIMS, aud: 'db' } }],
  ['no iat', { claims: { ...CLAIMS, iat: undefined } }],
  ['an end a minute ago, less a millisecond', { claims: { ...CLAIMS, exp: SECONDS - 59 } }],
  ['a start in a minute', { claims: { ...CLAIMS, nbf: SECONDS + 60, iat: SECONDS + 60 } }],
];

for (const [name, parts] of ACCEPTED) {
  test(`accepted: ${name}`, () => {
    const { spiffeId, claims } = validate(token(parts));
    assert.equal(spiffeId, CLAIMS.sub);
    assert.deepEqual(claims.aud, ['db']);
  });
}

const hmac = (input: string) =>
  createHmac('sha256', PAIRS.p256.publicKey.export({ format: 'pem', type: 'spki' }))
    .update(input)
    .digest('base64url');
const withSignature = (header: object, signature: (input: string) => string) => {
  const input = `${encode(header)}.${encode(CLAIMS)}`;
  return `${input}.${signature(input)}`;
};
const good = token();
const [goodHeader, goodClaims, goodSignature] = good.split('.') as [string, string, string];
const flattened = JSON.stringify({ protected: goodHeader, payload: goodClaims, signature: goodSignature });
const general = JSON.stringify({
  payload: goodClaims,
  signatures: [{ protected: goodHeader, signature: goodSignature }],
});
const COMPACT = 'the token is not a JWS in the compact form: three parts with dots between them';
const ALGORITHMS = 'a JWT-SVID has one of ES256, ES384, ES512, RS256, RS384, RS512, PS256, PS384, PS512';
const derSignature = sign('sha256', Buffer.from(`${goodHeader}.${goodClaims}`), PAIRS.p256.privateKey).toString(
  'base64url',
);

const REFUSED: readonly (readonly [name: string, token: string, message: string])[] = [
  ['empty', '', 'the token is missing'],
  ['1 MB', 'a'.repeat(1_000_000), 'the token has 1000000 characters, and the limit is 262144'],
  ['no dots', 'abc', COMPACT],
  ['two parts', 'a.b', COMPACT],
  ['an encrypted token, five parts', 'a.b.c.d.e', COMPACT],
  ['the flattened JSON serialization', flattened, COMPACT],
  ['the general JSON serialization', general, COMPACT],
  ['padding', `${good}=`, 'the signature of the token is not base64url'],
  [
    'base64 in place of base64url',
    `${goodHeader}+.${goodClaims}.${goodSignature}`,
    'the header of the token is not base64url',
  ],
  ['a space at its end', `${good} `, 'the signature of the token is not base64url'],
  [
    'bits that are not zero at the end of a part',
    `${goodHeader}.${goodClaims}.${goodSignature.slice(0, -1)}${goodSignature.endsWith('B') ? 'C' : 'B'}`,
    'the signature of the token is not base64url',
  ],
  [
    'a header that is no JSON',
    token({ header: '{' }),
    'the header of the token is not a JSON object without duplicate names',
  ],
  [
    'a header that is a list',
    token({ header: '[]' }),
    'the header of the token is not a JSON object without duplicate names',
  ],
  [
    'a claim that is nested too deeply',
    token({ claims: `{"sub":"x","deep":${'['.repeat(17)}${']'.repeat(17)}}` }),
    'the payload of the token is nested more than 16 deep',
  ],
  [
    'a duplicate header',
    token({ header: '{"alg":"none","alg":"ES256","kid":"p256"}' }),
    'the header of the token is not a JSON object without duplicate names',
  ],
  [
    'a duplicate claim',
    token({
      claims: `{"sub":"spiffe://ilinux.io/web","sub":"spiffe://ilinux.io/admin","aud":"db","exp":${SECONDS + 9}}`,
    }),
    'the payload of the token is not a JSON object without duplicate names',
  ],
  [
    'a duplicate claim, written in two ways',
    token({
      claims: `{"sub":"spiffe://ilinux.io/web","s\\u0075b":"spiffe://ilinux.io/admin","aud":"db","exp":${SECONDS + 9}}`,
    }),
    'the payload of the token is not a JSON object without duplicate names',
  ],
  [
    'the algorithm none',
    withSignature({ alg: 'none', kid: 'p256' }, () => ''),
    `the token has the algorithm "none"; ${ALGORITHMS}`,
  ],
  [
    'the algorithm None',
    withSignature({ alg: 'None', kid: 'p256' }, () => ''),
    `the token has the algorithm "None"; ${ALGORITHMS}`,
  ],
  [
    'HS256 with the public key as the secret',
    withSignature({ alg: 'HS256', kid: 'p256' }, hmac),
    `the token has the algorithm "HS256"; ${ALGORITHMS}`,
  ],
  ['EdDSA', token({ header: { alg: 'EdDSA', kid: 'p256' } }), `the token has the algorithm "EdDSA"; ${ALGORITHMS}`],
  ['no algorithm', token({ header: { kid: 'p256' } }), `the token has the algorithm none; ${ALGORITHMS}`],
  [
    'a list as the algorithm',
    token({ header: { alg: ['ES256'], kid: 'p256' } }),
    `the token has the algorithm of the type object; ${ALGORITHMS}`,
  ],
  [
    'RS256 with an EC key',
    token({ header: { alg: 'RS256', kid: 'p256' } }),
    'the key "p256" is not for the algorithm RS256',
  ],
  [
    'ES256 with an RSA key',
    token({ header: { alg: 'ES256', kid: 'rsa' }, key: PAIRS.rsa.privateKey }),
    'the key "rsa" is not for the algorithm ES256',
  ],
  [
    'ES256 with a key on P-384',
    token({ header: { alg: 'ES256', kid: 'p384' }, key: PAIRS.p384.privateKey }),
    'the key "p384" is not for the algorithm ES256',
  ],
  [
    'ES256 with a key on secp256k1',
    token({ header: { alg: 'ES256', kid: 'k256' }, key: PAIRS.k256.privateKey }),
    'the key "k256" is not for the algorithm ES256',
  ],
  [
    'a short RSA key',
    token({ header: { alg: 'RS256', kid: 'short' }, key: PAIRS.short.privateKey }),
    'the key "short" has less than 2048 bits',
  ],
  [
    'crit',
    token({ header: { ...HEADER, crit: ['exp'], exp: 1 } }),
    'the token has the header "crit"; a JWT-SVID has only alg, kid, typ',
  ],
  [
    'b64',
    token({ header: { ...HEADER, b64: false } }),
    'the token has the header "b64"; a JWT-SVID has only alg, kid, typ',
  ],
  [
    'a key in the header',
    token({ header: { ...HEADER, jwk: jwk('other') } }),
    'the token has the header "jwk"; a JWT-SVID has only alg, kid, typ',
  ],
  [
    'the URL of keys',
    token({ header: { ...HEADER, jku: 'https://x' } }),
    'the token has the header "jku"; a JWT-SVID has only alg, kid, typ',
  ],
  [
    'an own header',
    token({ header: { ...HEADER, '\u001b[2J': 1 } }),
    'the token has the header "\\u001b[2J"; a JWT-SVID has only alg, kid, typ',
  ],
  [
    'the type at+jwt',
    token({ header: { ...HEADER, typ: 'at+jwt' } }),
    'the token has the type "at+jwt"; a JWT-SVID has JWT or JOSE',
  ],
  [
    'the type jwt',
    token({ header: { ...HEADER, typ: 'jwt' } }),
    'the token has the type "jwt"; a JWT-SVID has JWT or JOSE',
  ],
  ['no kid', token({ header: { alg: 'ES256' } }), 'the token has no kid'],
  ['an empty kid', token({ header: { alg: 'ES256', kid: '' } }), 'the token has no kid'],
  [
    'an unknown kid',
    token({ header: { ...HEADER, kid: 'x' } }),
    'the bundle of ilinux.io has no JWT authority with the kid "x"',
  ],
  ['another signature', token({ key: PAIRS.other.privateKey }), 'the signature of the token is wrong'],
  ['a signature in DER', `${goodHeader}.${goodClaims}.${derSignature}`, 'the signature of the token is wrong'],
  ['no signature', `${goodHeader}.${goodClaims}.`, 'the signature of the token is wrong'],
  [
    'other claims',
    `${goodHeader}.${encode({ ...CLAIMS, sub: 'spiffe://ilinux.io/admin' })}.${goodSignature}`,
    'the signature of the token is wrong',
  ],
  ['no sub', token({ claims: { ...CLAIMS, sub: undefined } }), 'the token has no sub'],
  [
    'a sub that is no SPIFFE ID',
    token({ claims: { ...CLAIMS, sub: 'web' } }),
    'the sub of the token is no SPIFFE ID: the scheme is missing or not spiffe',
  ],
  [
    'a trust domain as the sub',
    token({ claims: { ...CLAIMS, sub: 'spiffe://ilinux.io' } }),
    'the sub of the token is no SPIFFE ID: it has no path',
  ],
  [
    'the sub of another domain, signed by us',
    token({ claims: { ...CLAIMS, sub: 'spiffe://example.org/web' } }),
    'the bundle of example.org has no JWT authority with the kid "p256"',
  ],
  [
    'our sub, signed by another domain',
    token({ header: { ...HEADER, kid: 'other' }, key: PAIRS.other.privateKey }),
    'the bundle of ilinux.io has no JWT authority with the kid "other"',
  ],
  [
    'an unknown domain',
    token({ claims: { ...CLAIMS, sub: 'spiffe://unknown.org/web' } }),
    'there is no bundle of the trust domain unknown.org',
  ],
  ['no aud', token({ claims: { ...CLAIMS, aud: undefined } }), 'the token has no aud'],
  ['an empty list as aud', token({ claims: { ...CLAIMS, aud: [] } }), 'the token has no aud'],
  [
    'a number as aud',
    token({ claims: { ...CLAIMS, aud: 1 } }),
    'the aud of the token is neither a text nor a list of texts',
  ],
  [
    'a list with a number as aud',
    token({ claims: { ...CLAIMS, aud: ['db', 1] } }),
    'the aud of the token is neither a text nor a list of texts',
  ],
  ['another aud', token({ claims: { ...CLAIMS, aud: ['DB'] } }), 'the token is not for the audience "db"'],
  ['no exp', token({ claims: { ...CLAIMS, exp: undefined } }), 'the token has no exp'],
  ['a text as exp', token({ claims: { ...CLAIMS, exp: '9999999999' } }), 'the exp of the token is not a number'],
  [
    'an endless exp',
    token({ claims: `{"sub":"${CLAIMS.sub}","aud":"db","exp":1e999}` }),
    'the exp of the token is not a number',
  ],
  [
    'an end a minute ago',
    token({ claims: { ...CLAIMS, exp: SECONDS - 60 } }),
    'the token has expired at 2026-05-31T23:59:00.000Z',
  ],
  [
    'a start in more than a minute',
    token({ claims: { ...CLAIMS, nbf: SECONDS + 61 } }),
    'the token is not valid before 2026-06-01T00:01:01.000Z',
  ],
  ['a text as nbf', token({ claims: { ...CLAIMS, nbf: 'x' } }), 'the nbf of the token is not a number'],
  [
    'issued in the future',
    token({ claims: { ...CLAIMS, iat: SECONDS + 61 } }),
    'the token was issued in the future, at 2026-06-01T00:01:01.000Z',
  ],
];

for (const [name, text, message] of REFUSED) {
  test(`refused: ${name}`, () => {
    assert.throws(
      () => validate(text),
      (error) => {
        assert.ok(error instanceof InvalidTokenError, String(error));
        assert.equal(error.message, message);
        return true;
      },
    );
  });
}

test('no audience, or a blank one', () => {
  for (const audience of ['', ' ']) {
    assert.throws(
      () => validate(good, audience),
      (error) => error instanceof AudienceError && error.message === 'audience must be specified',
    );
  }
});

test('every change of one character of a token is refused', () => {
  for (let at = 0; at < good.length; at += 7) {
    const changed = good.slice(0, at) + (good[at] === 'A' ? 'B' : 'A') + good.slice(at + 1);
    assert.throws(() => validate(changed), InvalidTokenError);
  }
});

test("all claims of an own token are shown; of another domain's only those of the standard", () => {
  const claims = { ...CLAIMS, roles: ['admin'], nested: { a: 1 } };
  const own = validate(token({ claims }));
  assert.deepEqual(shownClaims(own, OWN), claims);
  const foreign = { ...claims, sub: 'spiffe://example.org/web' };
  const theirs = validate(token({ header: { ...HEADER, kid: 'other' }, claims: foreign, key: PAIRS.other.privateKey }));
  assert.deepEqual(shownClaims(theirs, OWN), { sub: foreign.sub, aud: ['db'], exp: CLAIMS.exp });
});

test('whatever a token is, it is refused with a reason and nothing else is thrown', () => {
  const json = fc.oneof(
    fc.json(),
    fc.string(),
    fc
      .record({ alg: fc.constantFrom('ES256', 'RS256', 'none'), kid: fc.constantFrom('p256', 'rsa', 'x') })
      .map((header) => JSON.stringify(header)),
    fc.constant(JSON.stringify(CLAIMS)),
  );
  const part = fc.oneof({ weight: 4, arbitrary: json.map(encode) }, fc.string(), fc.base64String());
  const anyToken = fc.oneof(
    fc.string(),
    fc.tuple(part, part, part).map((parts) => parts.join('.')),
  );
  fc.assert(
    fc.property(anyToken, (text) => {
      assert.throws(() => validate(text), InvalidTokenError);
    }),
    { numRuns: 3_000 },
  );
});

test('the message never has more of the token than a name', () => {
  const long = 'x'.repeat(10_000);
  assert.throws(
    () => validate(token({ header: { ...HEADER, kid: long } })),
    (error) => error instanceof InvalidTokenError && error.message.length < 250,
  );
});

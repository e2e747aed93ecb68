/** What the files contain, and what is refused. */

import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { describe, it } from 'node:test';
import type { X509SVIDResponse } from '../../src/gen/workload.ts';
import { jwtBundlePart, jwtPart, x509Part } from '../../src/svid-files/contents.ts';
import type { X509Plan } from '../../src/svid-files/plan.ts';
import { makeCertificate } from '../support/certificates.ts';
import { makeSvid, makeToken, ROOT_PEM, WEB, X509, x509Message } from './support.ts';

const NOW = Date.UTC(2026, 5, 1);
const API = 'spiffe://ilinux.io/api';

const read = (message: X509SVIDResponse, plan: Partial<X509Plan> = {}, choice = {}) => {
  const { files, ...part } = x509Part(message, { ...X509, ...plan }, choice, NOW);
  const [certificate, key, bundle] = files.map(({ content }) => content) as [string, string, string];
  return { certificate, key, bundle, ...part };
};
const count = (pem: string) => pem.split('-----BEGIN CERTIFICATE-----').length - 1;

describe('X.509 files', () => {
  it('have the chain, a PKCS#8 key and the bundle, as PEM', async () => {
    const message = x509Message(await makeSvid());
    const { certificate, key, bundle, spiffeId, endsAt } = read(message);
    assert.match(key, /^-----BEGIN PRIVATE KEY-----\n/);
    assert.ok(new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key)));
    assert.equal(bundle, ROOT_PEM);
    assert.deepEqual([spiffeId, endsAt], [WEB, new X509Certificate(certificate).validToDate.getTime()]);
  });

  it('have intermediates where the plan wants them', async () => {
    const svid = await makeSvid();
    const intermediate = await makeCertificate({ name: 'intermediate' });
    const message = x509Message({ ...svid, x509Svid: Buffer.concat([svid.x509Svid, intermediate.der]) });
    assert.deepEqual([count(read(message).certificate), count(read(message).bundle)], [2, 1]);
    const apart = read(message, { intermediatesInBundle: true });
    assert.deepEqual([count(apart.certificate), apart.bundle], [1, ROOT_PEM + intermediate.pem]);
  });

  it('have federated authorities in a fixed order, if the plan wants them, and not those that have ended', async () => {
    const [a, b] = [await makeCertificate({ name: 'a' }), await makeCertificate({ name: 'b', notAfter: NOW - 1_000 })];
    const message = x509Message(await makeSvid());
    message.federatedBundles = { 'spiffe://b': b.der, 'spiffe://a': a.der };
    assert.equal(read(message).bundle, ROOT_PEM);
    assert.equal(read(message, { federated: true }).bundle, ROOT_PEM + a.pem + b.pem);
    assert.equal(read(message, { federated: true, omitExpired: true }).bundle, ROOT_PEM + a.pem);
    message.svids[0]!.bundle = b.der;
    assert.throws(() => read(message, { omitExpired: true }), /all authorities in the bundle of .*web have ended$/);
  });

  it('are of the chosen identity', async () => {
    const message = x509Message(await makeSvid(), await makeSvid(API, { hint: 'internal' }));
    assert.equal(read(message).spiffeId, WEB);
    assert.equal(read(message, {}, { hint: 'internal' }).spiffeId, API);
    assert.equal(read(message, {}, { spiffeId: API }).spiffeId, API);
    assert.throws(
      () => read(message, {}, { spiffeId: WEB, hint: 'internal' }),
      /no X\.509-SVID .*web with the hint "internal" for this process, but .*web, .*api \(hint internal\)$/,
    );
  });
});

describe('token files', () => {
  const file = { name: 'db.jwt', mode: 0o600 };
  const part = (svid: string, hint = '') =>
    jwtPart(
      { svids: [{ spiffeId: WEB, svid, hint: 'x' }] },
      { audiences: ['db'], file },
      hint === '' ? {} : { hint },
      NOW,
    );
  it('have the token alone, until its end', () => {
    const token = makeToken({ exp: NOW / 1_000 + 300 });
    assert.deepEqual(part(token), { files: [{ ...file, content: token }], spiffeId: WEB, endsAt: NOW + 300_000 });
  });
  for (const [text, message] of [
    [makeToken({ exp: NOW / 1_000 - 1 }), /has ended$/],
    [makeToken({}), /has no end that is a date$/],
    [makeToken({ exp: 'soon' }), /has no end that is a date$/],
    [makeToken({ exp: 1e300 }), /has no end that is a date$/],
    [makeToken({ exp: -1e13 }), /has no end that is a date$/],
    [makeToken({ sub: 'spiffe://ilinux.io/api', exp: 4e9 }), /the JWT-SVID is not that of spiffe:\/\/ilinux\.io\/web$/],
    [makeToken({ sub: undefined, exp: 4e9 }), /the JWT-SVID is not that of spiffe:/],
    ['garbage', /is not a token in the compact form$/],
    ['a.b.c', /is not a token in the compact form$/],
    [`a.${Buffer.from('null').toString('base64url')}.c`, /is not a token in the compact form$/],
  ] as const) {
    it(`refuse ${text}`, () => assert.throws(() => part(text), message));
  }
  it('are of the chosen hint', () => assert.throws(() => part(makeToken({ exp: 4e9 }), 'y'), /with the hint "y"/));
});

describe('files of JWT keys', () => {
  const file = { name: 'keys.json', mode: 0o644 };
  const set = (kid: string) => JSON.stringify({ keys: [{ kid }] });
  const bundles = { 'spiffe://other.example': Buffer.from(set('2')), 'spiffe://ilinux.io': Buffer.from(set('1')) };
  const own = 'ilinux.io' as never;
  it('have the own JWK Set', () => {
    assert.equal(jwtBundlePart({ bundles }, { file, form: 'jwks' }, own).files[0]!.content, `${set('1')}\n`);
  });
  it("have all of them in spiffe-helper's form", () => {
    const { content } = jwtBundlePart({ bundles }, { file, form: 'by-domain' }).files[0]!;
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    assert.equal(content, JSON.stringify({ 'ilinux.io': base64(set('1')), 'other.example': base64(set('2')) }));
  });
  it('refuse what is no JWK Set, and an own one that is absent', () => {
    for (const text of ['', 'null', '[]', '{"keys":null}', '{"keys":{}}']) {
      const wrong = { 'spiffe://ilinux.io': Buffer.from(text) };
      assert.throws(
        () => jwtBundlePart({ bundles: wrong }, { file, form: 'jwks' }, own),
        /the JWK Set of spiffe:\/\/ilinux\.io (is not JSON|has no keys)$/,
        text,
      );
    }
    assert.throws(
      () => jwtBundlePart({ bundles: {} }, { file, form: 'jwks' }, own),
      /no JWK Set of the own trust domain ilinux\.io/,
    );
  });
});

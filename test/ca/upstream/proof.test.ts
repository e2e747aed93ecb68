import assert from 'node:assert/strict';
import { generateKeyPairSync, type X509Certificate } from 'node:crypto';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type ProofTerms, proveAnswer } from '../../../src/ca/upstream/proof.ts';
import { tryLeaf } from '../../../src/ca/upstream/trial.ts';
import { x509 } from '../../support/peculiar.ts';
import { DAY, HOUR, TRUST_DOMAIN } from '../support.ts';
import { type Ca, type CaOptions, ID, type KeyType, makeCa, NOW, newKey, opensslFault } from './pki.ts';

const key = newKey();
const wanted: CaOptions = { name: 'new', key, uris: [ID], pathLength: 0 };
const terms: ProofTerms = { trustDomain: TRUST_DOMAIN, now: NOW, privateKey: key, leastLife: HOUR };

const pems = (...cas: readonly (Ca | undefined)[]) => cas.flatMap((ca) => (ca ? [ca.certificate.toString()] : []));
const prove = (certificates: readonly (string | Uint8Array)[], changes: Partial<ProofTerms> = {}) =>
  proveAnswer({ certificates }, { ...terms, ...changes });
const prints = (certificates: readonly X509Certificate[]) => certificates.map(({ fingerprint256 }) => fingerprint256);

const root = await makeCa();
const upper = await makeCa({ name: 'upper' }, root);
const lower = await makeCa({ name: 'lower', pathLength: 1 }, upper);
const made = await makeCa(wanted, lower);
const otherRoot = await makeCa({ name: 'other root' });

test('any order of any chain is proved: new certificate first, the root left out of the chain', async (t) => {
  const all = [made, lower, upper, root, otherRoot].map(({ certificate }) => certificate);
  await fc.assert(
    fc.asyncProperty(
      fc.shuffledSubarray(all, { minLength: all.length }),
      fc.array(fc.nat(all.length - 1), { maxLength: 5 }),
      fc.boolean(),
      async (order, again, asDer) => {
        const certificates = [...order, ...again.map((i) => all[i]!)];
        const answer = asDer ? certificates.map(({ raw }) => raw) : [`text\n${certificates.join('more text\n')}`];
        const { chain, roots, notAfter, warnings } = await prove(answer);
        assert.deepEqual(prints(chain), prints([made, lower, upper].map((ca) => ca.certificate)));
        assert.deepEqual(prints(roots), prints([root, otherRoot].map((ca) => ca.certificate)));
        assert.equal(notAfter, NOW + 30 * DAY);
        assert.deepEqual(warnings, []);
      },
    ),
    { numRuns: 30 },
  );
  const { chain, roots, notBefore, notAfter } = await prove(pems(root, upper, made, lower));
  const leaf = await tryLeaf(chain[0]!, { trustDomain: TRUST_DOMAIN, privateKey: key, notBefore, notAfter });
  assert.equal(await opensslFault(t, leaf, chain, roots), undefined);
});

test('any part that is left out is missed', async () => {
  const all = [made, lower, upper, root];
  for (const missing of all) {
    const reason =
      missing === made ? /none of its 3 certificates has the key that was requested/ : /is missing: the upstream/;
    await assert.rejects(prove(pems(...all.filter((one) => one !== missing))), reason);
  }
});

for (const [issuerKey, newType] of [
  ['P-256', 'P-384'],
  ['P-384', 'P-256'],
  ['P-521', 'P-521'],
  ['RSA', 'P-256'],
  ['P-256', 'RSA'],
] as const satisfies [KeyType, KeyType][]) {
  test(`${newType} under ${issuerKey}, which openssl's strict verification takes`, async (t) => {
    const issuer = await makeCa({ key: issuerKey });
    const privateKey = newKey(newType);
    const under = await makeCa({ ...wanted, key: privateKey }, issuer);
    const { chain, roots, notBefore, notAfter } = await prove(pems(under, issuer), { privateKey });
    const leaf = await tryLeaf(chain[0]!, { trustDomain: TRUST_DOMAIN, privateKey, notBefore, notAfter });
    assert.equal(await opensslFault(t, leaf, chain, roots), undefined);
  });
}

describe('an answer is refused', () => {
  interface Case {
    readonly is: string;
    /** Under `over`, itself under `root`. */
    readonly new?: CaOptions;
    readonly over?: CaOptions;
    readonly root?: CaOptions;
    readonly answer?: (made: Ca, over: Ca, root: Ca) => readonly (string | Uint8Array)[];
    readonly reason: RegExp;
    /** openssl finds the same. False: the rule is SPIFFE's or Sidekey's own. */
    readonly openssl?: RegExp | false;
  }
  const unknownExtension = new x509.Extension('1.2.3.4', true, new Uint8Array([5, 0]));
  const nameConstraints = new x509.Extension(
    '2.5.29.30',
    true,
    Buffer.from('3010a00e300c820a696c696e75782e696f2e', 'hex'),
  );
  const CASES: readonly Case[] = [
    { is: 'nothing', answer: () => [], reason: /it has no certificate/ },
    { is: 'an empty text', answer: () => ['\n'], reason: /it has no certificate/ },
    { is: 'a text without PEM', answer: () => ['Internal Server Error'], reason: /it has no certificate/ },
    {
      is: 'a PEM block that is cut off',
      answer: (m, o) => pems(m, o).map((text) => text.slice(0, -30)),
      reason: /a certificate that is cut off/,
    },
    {
      is: 'base64 that is no certificate',
      answer: () => ['-----BEGIN CERTIFICATE-----\nMAAwAA==\n-----END CERTIFICATE-----\n'],
      reason: /a certificate that cannot be read \(number 1\)/,
    },
    { is: 'DER with garbage', answer: () => [Buffer.from('30820100', 'hex')], reason: /cannot be read \(number 1\)/ },
    {
      is: '10 MiB',
      answer: () => ['x'.repeat(10 * 1024 * 1024)],
      reason: /it has 10485760 bytes: the limit is 1048576/,
    },
    {
      is: 'many certificates',
      answer: (m) => Array(65).fill(pems(m)[0]!),
      reason: /it has 65 certificates: the limit is 64/,
    },
    {
      is: 'a private key beside the chain',
      answer: (m, o, r) => [...pems(m, o, r), m.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string],
      reason: /it has a private key beside the certificates/,
    },
    {
      is: 'another key',
      new: { key: newKey() },
      reason: /none of its 3 certificates has the key that was requested/,
      openssl: false,
    },
    {
      is: 'one certificate with another key',
      answer: (_, o) => pems(o),
      reason: /its certificate has another key than the one/,
    },
    {
      is: 'a leaf',
      new: { isCa: false, keyUsage: x509.KeyUsageFlags.digitalSignature },
      reason: /the new certificate is not a CA certificate .*CA:TRUE/,
      openssl: /invalid CA certificate/,
    },
    {
      is: 'a leaf that may sign',
      new: { isCa: false },
      reason: /not a CA certificate/,
      openssl: /invalid CA certificate|Basic Constraints/i,
    },
    {
      is: 'a key usage without keyCertSign',
      new: { keyUsage: x509.KeyUsageFlags.cRLSign },
      reason: /the new certificate may not sign certificates \(its key usage lacks keyCertSign\)/,
      openssl: /./,
    },
    {
      is: 'no key usage',
      new: { keyUsage: undefined },
      reason: /the new certificate may not sign certificates/,
      openssl: /key usage/i,
    },
    {
      is: 'an issuer with path length 0',
      over: { pathLength: 0 },
      reason: /"CN=over" has path length 0: it allows no CA under it, and 1 is in the chain/,
      openssl: /path length constraint exceeded/,
    },
    {
      is: 'a root with path length 1',
      root: { pathLength: 1 },
      reason: /"CN=root" has path length 1: it allows no more than 1 CAs under it, and 2 are/,
      openssl: /path length constraint exceeded/,
    },
    {
      is: 'an issuer that is no CA',
      over: { isCa: false },
      reason: /"CN=over" is not a CA certificate/,
      openssl: /invalid CA|Basic Constraints|pathlen/i,
    },
    {
      is: 'an expired certificate',
      new: { notAfter: NOW - HOUR },
      reason: /the new certificate expired at 2026-06-01T11:00:00.000Z, and it is 2026-06-01T12/,
      openssl: /expired/,
    },
    { is: 'an expired issuer', over: { notAfter: NOW - HOUR }, reason: /"CN=over" expired/, openssl: /expired/ },
    { is: 'an expired root', root: { notAfter: NOW - HOUR }, reason: /"CN=root" expired/, openssl: /expired/ },
    {
      is: 'one of the future',
      new: { notBefore: NOW + HOUR },
      reason: /the new certificate is not valid before 2026-06-01T13:00:00.000Z.*compare the clocks/,
      openssl: /not yet valid/,
    },
    {
      is: 'another trust domain',
      new: { uris: ['spiffe://other.example'] },
      reason: /the new certificate belongs to "spiffe:\/\/other.example", not to spiffe:\/\/ilinux.io/,
      openssl: false,
    },
    {
      is: 'a workload of this one',
      new: { uris: [`${ID}/front`] },
      reason: /belongs to "spiffe:\/\/ilinux.io\/front"/,
      openssl: false,
    },
    {
      is: 'this trust domain in capitals',
      new: { uris: ['SPIFFE://ilinux.io'] },
      reason: /belongs to "SPIFFE:/,
      openssl: false,
    },
    {
      is: 'two URIs',
      new: { uris: [ID, 'https://ilinux.io'] },
      reason: /has 2 URIs among its alternative names/,
      openssl: false,
    },
    {
      is: 'no URI',
      new: { uris: [] },
      reason: /lacks the URI spiffe:\/\/ilinux.io .*has to keep the names of the CSR/,
      openssl: false,
    },
    { is: 'another name only', new: { uris: [], dnsNames: ['ilinux.io'] }, reason: /lacks the URI/, openssl: false },
    {
      is: 'an issuer of another trust domain',
      over: { uris: ['spiffe://other.example'] },
      reason: /"CN=over" belongs to "spiffe:\/\/other.example"/,
      openssl: false,
    },
    {
      is: 'a root of another trust domain',
      root: { uris: ['spiffe://other.example'] },
      reason: /"CN=root" belongs to "spiffe:\/\/other.example"/,
      openssl: false,
    },
    {
      is: 'an extended key usage for mail',
      over: { extendedKeyUsage: ['1.3.6.1.5.5.7.3.4'] },
      reason: /"CN=over" has an extended key usage without serverAuth and clientAuth/,
      openssl: /purpose/,
    },
    {
      is: 'a root with an extended key usage for mail',
      root: { extendedKeyUsage: ['1.3.6.1.5.5.7.3.4'] },
      reason: /"CN=root" has an extended key usage without serverAuth and clientAuth/,
      openssl: /purpose/,
    },
    {
      is: 'an extended key usage for servers',
      new: { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] },
      reason: /without serverAuth and clientAuth/,
      openssl: false,
    },
    {
      is: 'an unknown critical extension',
      over: { more: [unknownExtension] },
      reason: /"CN=over" has a critical extension that Sidekey does not know: 1\.2\.3\.4/,
      openssl: /unhandled critical extension/,
    },
    {
      is: 'name constraints',
      over: { more: [nameConstraints] },
      reason: /"CN=over" has name constraints/,
      openssl: false,
    },
    { is: 'no subject', new: { name: '' }, reason: /the new certificate has an empty subject/, openssl: /./ },
    {
      is: 'no subject key identifier',
      new: { noKeyId: true },
      reason: /the new certificate has no subject key identifier/,
      openssl: /./,
    },
    {
      is: 'an RSA key of 1024 bits',
      over: { key: 'RSA-1024' },
      reason: /the key of "CN=over" is RSA with 1024 bits/,
      openssl: false,
    },
    {
      is: 'an Ed25519 key',
      over: { key: 'Ed25519' },
      reason: /the key of "CN=over" is of type ed25519/,
      openssl: false,
    },
    {
      is: 'SHA-1',
      new: { hash: 'SHA-1' },

      reason: /signed with .*sha1.*, which proxies refuse/i,
      openssl: false,
    },
    {
      is: 'a chain that ends at an intermediate',
      answer: (m, o) => pems(m, o),
      reason:
        /the chain ends at "CN=over", which is not self-signed, and its issuer "CN=root" is missing.*--upstream-bundle-file/,
    },
    {
      is: 'the new certificate alone',
      answer: (m) => pems(m),
      reason: /the chain ends at the new certificate, .*"CN=over" is missing/,
    },
    { is: 'a chain of others', answer: (m) => pems(m, otherRoot, upper, root), reason: /"CN=over" is missing/ },
    {
      is: 'too little life',
      new: { notAfter: NOW + 60_000 },
      reason: /its remaining lifetime is too short: it ends in 60 s, and at least 3600 s are needed/,
      openssl: false,
    },
    {
      is: 'an issuer with too little life',
      over: { notAfter: NOW + 60_000 },
      reason: /its remaining lifetime is too short: a certificate above it ends in 60 s/,
      openssl: false,
    },
  ];
  for (const one of CASES) {
    test(`with ${one.is}`, async (t) => {
      const top = await makeCa(one.root);
      const over = await makeCa({ name: 'over', ...one.over }, top);
      const last = await makeCa({ ...wanted, ...one.new }, over);
      const answer = one.answer?.(last, over, top) ?? pems(last, over, top);
      await assert.rejects(prove(answer), (error: Error & { code: string }) => {
        assert.equal(error.code, 'ERR_UPSTREAM');
        assert.match(error.message, /^the answer is refused: /);
        assert.match(error.message, one.reason);
        return true;
      });
      if (!(one.openssl instanceof RegExp)) return;
      const leaf = await makeCa(
        { name: 'leaf', isCa: false, keyUsage: x509.KeyUsageFlags.digitalSignature, uris: [`${ID}/x`] },
        last,
      );
      const fault = await opensslFault(t, leaf.certificate, [last.certificate, over.certificate], [top.certificate]);
      assert.match(fault ?? 'openssl takes it', one.openssl);
    });
  }

  test('if a certificate with the name of the issuer did not sign it', async () => {
    const impostor = await makeCa({ name: 'lower' }, root);
    await assert.rejects(
      prove(pems(made, impostor, root)),
      /the chain does not link: the new certificate names "CN=lower" as its issuer, but that one's key did not sign it/,
    );
  });

  test('if it is self-signed', async () => {
    await assert.rejects(prove(pems(await makeCa(wanted))), /the new certificate is self-signed/);
  });

  test('if the chain is longer than any proxy needs', async () => {
    const chain = [root];
    for (let i = 0; i < 8; i += 1) chain.push(await makeCa({ name: `ca ${i}` }, chain.at(-1)));
    chain.push(await makeCa(wanted, chain.at(-1)));
    await assert.rejects(prove(pems(...chain)), /has more than 8 certificates/);
  });

  test('with names that a terminal would obey, which are escaped', async () => {
    const over = await makeCa({ name: `a\u001b[31m${'x'.repeat(500)}` }, root);
    await assert.rejects(prove(pems(await makeCa(wanted, over), over)), (error: Error) => {
      assert.ok(error.message.length < 700, error.message);
      assert.doesNotMatch(error.message, /\p{Cc}/u);
      return true;
    });
  });
});

describe('roots of the settings', () => {
  test('end a chain that the upstream leaves without its root', async () => {
    const trusted = [root.certificate, otherRoot.certificate];
    const { chain, roots } = await prove(pems(made, lower, upper), { trusted });
    assert.equal(chain.length, 3);
    assert.deepEqual(prints(roots), prints(trusted));
  });

  test('are the only ones that count', async () => {
    await assert.rejects(
      prove(pems(made, lower, upper, root), { trusted: [otherRoot.certificate] }),
      /the chain ends at the root "CN=root", which is not in the bundle file/,
    );
  });

  test('must be roots', async () => {
    await assert.rejects(prove(pems(made, lower), { trusted: [upper.certificate] }), /"CN=upper" is not self-signed/);
  });
});

test('a cross-signed root gives the shorter path, and a bad way does not hide a good one', async () => {
  const crossed = await makeCa({ name: 'root', key: root.privateKey }, otherRoot);
  const { chain } = await prove(pems(made, lower, crossed, upper, otherRoot, root));
  assert.equal(chain.length, 3);
  const expired = await makeCa({ name: 'upper', key: upper.privateKey, notAfter: NOW - HOUR }, root);
  assert.equal(
    (await prove(pems(made, lower, expired, upper, root))).chain[2]?.fingerprint256,
    upper.certificate.fingerprint256,
  );
  const viaOther = await prove(pems(made, lower, crossed, upper, otherRoot));
  assert.equal(viaOther.chain.length, 4);
});

test('the end is the minimum of the chain and the root, the beginning the maximum', async () => {
  const short = await makeCa({ name: 'short', notAfter: NOW + 2 * HOUR, notBefore: NOW - 1000 }, root);
  const { notAfter, notBefore } = await prove(pems(await makeCa(wanted, short), short, root));
  assert.deepEqual([notBefore, notAfter], [NOW - 1000, NOW + 2 * HOUR]);
});

test('an expired root in the bundle is left out, with a warning; warnings are bounded and escaped', async () => {
  const old = await makeCa({ name: 'old', notAfter: NOW - HOUR });
  const answer = { certificates: pems(made, lower, upper, root, old), warnings: [`a\u001b${'b'.repeat(1000)}`] };
  const { roots, warnings } = await proveAnswer(answer, terms);
  assert.deepEqual(prints(roots), prints([root.certificate]));
  assert.equal(warnings[0], `a\\u001b${'b'.repeat(298)}`);
  assert.match(warnings[1]!, /a root is left out of the bundle: "CN=old" expired/);
  const many = await proveAnswer({ ...answer, warnings: Array(100).fill('x') }, terms);
  assert.equal(many.warnings.length, 8);
});

test('an earlier certificate of the same key does not hide the new one', async () => {
  const before = await makeCa({ ...wanted, notAfter: NOW - HOUR }, lower);
  assert.equal(
    (await prove(pems(before, made, lower, upper, root))).chain[0]?.serialNumber,
    made.certificate.serialNumber,
  );
});

test('a leaf is not made with another key', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const leaf = { trustDomain: TRUST_DOMAIN, privateKey, notBefore: NOW, notAfter: NOW + HOUR };
  await assert.rejects(tryLeaf(made.certificate, leaf), /another key/);
});

test('bytes of a certificate that are turned over never pass unseen', async () => {
  const good = made.certificate.raw;
  await fc.assert(
    fc.asyncProperty(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
      const bad = Buffer.from(good);
      bad[at]! ^= flip;
      await assert.rejects(prove([bad, ...pems(lower, upper, root)]), { code: 'ERR_UPSTREAM' });
    }),
    { numRuns: 200 },
  );
});

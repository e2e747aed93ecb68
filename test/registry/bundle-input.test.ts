import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Problem, SidekeyError } from '../../src/base/errors.ts';
import { makeRoot } from '../../src/ca/authority.ts';
import {
  checkSequence,
  parseBundleDocument,
  parseBundlePem,
  parseForeignTrustDomain,
} from '../../src/registry/bundle-input.ts';
import type { BundleInput } from '../../src/registry/federated-bundle.ts';
import { makeTrustBundle } from '../../src/spiffe/bundle.ts';
import { bundleDocument } from '../../src/spiffe/bundle-json.ts';
import { parseTrustDomain } from '../../src/spiffe/id.ts';
import { makeCertificate, SIGNS } from '../support/certificates.ts';
import { TRUST_DOMAIN, temporaryDirectory } from './support.ts';

const OTHER = parseTrustDomain('other.example');
const NOW = Date.UTC(2026, 5, 1);

const [ec, rsa, okp] = await Promise.all([
  makeCertificate({ uris: ['spiffe://other.example'] }),
  makeCertificate({ type: 'RSA', name: 'rsa' }),
  makeCertificate({ type: 'OKP', name: 'okp' }),
]);
const expired = await makeCertificate({ name: 'old', notAfter: NOW - 1_000 });

interface Read {
  readonly input: BundleInput | undefined;
  readonly warnings: readonly Problem[];
  readonly problems: readonly Problem[];
}

function read(content: unknown, polled = false): Read {
  const warnings: Problem[] = [];
  const warn = (warning: Problem) => void warnings.push(warning);
  const rules = { trustDomain: OTHER, now: NOW, warn, ...(polled ? { polled: true as const } : {}) };
  try {
    const input = typeof content === 'string' ? parseBundlePem(content, rules) : parseBundleDocument(content, rules);
    return { input, warnings, problems: [] };
  } catch (thrown) {
    assert.ok(thrown instanceof SidekeyError && thrown.code === 'ERR_BAD_INPUT', String(thrown));
    assert.ok(thrown.problems.length > 0);
    return { input: undefined, warnings, problems: thrown.problems };
  }
}

/** Expects one fault, and that the rule is told. */
function refuses(content: unknown, where: string, problem: RegExp): void {
  const { problems } = read(content);
  assert.deepEqual(
    problems.map((one) => [one.path, problem.test(one.problem), one.rule.length > 10]),
    [[where, true, true]],
    JSON.stringify(problems),
  );
}

const WHOLE = { spiffe_sequence: 7, spiffe_refresh_hint: 600, keys: [ec.key, rsa.key, okp.key] };

describe('a SPIFFE bundle as JSON', () => {
  test('gives its certificates, number and hint, whatever the type of the keys', () => {
    const { input, warnings } = read(WHOLE);
    assert.deepEqual(input, {
      x509Authorities: [ec.der, rsa.der, okp.der],
      jwtAuthorities: [],
      sequenceNumber: 7n,
      refreshHint: 600,
    });
    assert.deepEqual(warnings, []);
  });

  test('as Sidekey itself shows it is read', async () => {
    const root = await makeRoot(
      { trustDomain: OTHER, subject: [{ type: 'O', value: 'SPIFFE' }], now: NOW },
      86_400_000,
    );
    const document = bundleDocument(
      makeTrustBundle({ trustDomain: OTHER, roots: [root.certificate], sequenceNumber: 3, refreshHint: 300 }),
    );
    const { input, warnings } = read(JSON.parse(JSON.stringify(document)));
    assert.deepEqual(input, {
      x509Authorities: [root.certificate.raw],
      jwtAuthorities: [],
      sequenceNumber: 3n,
      refreshHint: 300,
    });
    assert.deepEqual(warnings, []);
  });

  test('needs neither number nor hint, and may have members that nobody knows', () => {
    const { input } = read({ keys: [{ ...ec.key, kid: 'x', alg: 'ES384' }], more: { x: 1 } });
    assert.deepEqual(input, {
      x509Authorities: [ec.der],
      jwtAuthorities: [],
      sequenceNumber: undefined,
      refreshHint: undefined,
    });
  });

  test('has its JWT authorities too; those that cannot be used are ignored, with a warning', () => {
    const { kty, crv, x, y } = ec.key;
    const jwt = { kty, crv, x, y, use: 'jwt-svid' };
    const keys = [
      { ...jwt, kid: 'a', alg: 'ES256' },
      ec.key,
      jwt,
      { ...jwt, kid: 'a' },
      { ...jwt, kid: 'b', kty: 'OKP' },
      { ...jwt, kid: 'c', x: 'AAAA' },
      { ...jwt, kid: 'd'.repeat(1_025) },
      ...Array.from({ length: 100 }, (_, i) => ({ ...jwt, kid: `${i}` })),
    ];
    const { input, warnings } = read({ keys });
    assert.deepEqual(input?.jwtAuthorities[0], { keyId: 'a', publicKey: { kty, crv, x, y } });
    assert.equal(input.jwtAuthorities.length, 100);
    assert.deepEqual(
      warnings.map(({ path: where }) => where),
      ['/keys/2/kid', '/keys/3/kid', '/keys/4', '/keys/5', '/keys/6/kid', '/keys/106'],
    );
    assert.deepEqual(input.x509Authorities, [ec.der]);
  });

  test('has at most 200 JWT keys that are read, none of them huge: each takes time', () => {
    const { kty, crv, x, y } = ec.key;
    const jwt = { kty, crv, x, y, use: 'jwt-svid' };
    const bad = Array.from({ length: 200 }, (_, i) => ({ ...jwt, x: 'AAAA', kid: `${i}` }));
    assert.deepEqual(read({ keys: [ec.key, ...bad, { ...jwt, kid: 'good' }] }).input?.jwtAuthorities, []);
    const n = Buffer.alloc(4_000, 255).toString('base64url');
    const huge = { kty: 'RSA', e: 'AQAB', n, use: 'jwt-svid', kid: 'huge' };
    assert.deepEqual(read({ keys: [ec.key, huge] }).input?.jwtAuthorities, []);
  });

  test('may have keys of uses and types that nobody knows, with a warning, and needs a certificate', () => {
    const { x5c: _, ...bare } = ec.key;
    const jwt = { ...bare, use: 'jwt-svid', kid: 'a' };
    const { input, warnings } = read({
      keys: [jwt, { kty: 'EC', use: 'wit-svid' }, ec.key, { kty: 'PQ', use: 'x509-svid' }],
    });
    assert.deepEqual(input?.x509Authorities, [ec.der]);
    assert.deepEqual(
      warnings.map(({ path: where }) => where),
      ['/keys/1', '/keys/3'],
    );
    refuses({ keys: [jwt] }, '', /no certificate/);
  });

  test('has keys that the specification says to ignore, each with a warning, whoever brings it', () => {
    const { x5c, ...bare } = ec.key;
    const several = { ...ec.key, x5c: [...(x5c as string[]), 'AAAA'] };
    for (const polled of [false, true]) {
      const { input, warnings } = read(
        { keys: [{ ...rsa.key, kty: undefined }, { ...rsa.key, use: undefined }, bare, { ...bare, x5c: [] }, several] },
        polled,
      );
      assert.deepEqual(input?.x509Authorities, [ec.der]);
      assert.deepEqual(
        warnings.map(({ path: where }) => where),
        ['/keys/0', '/keys/1', '/keys/2/x5c', '/keys/3/x5c', '/keys/4/x5c'],
      );
      assert.match(warnings[4]!.rule, /the first is taken/);
    }
  });

  test('that was polled keeps its good keys and counts as one without faulty numbers', async () => {
    const foreign = await makeCertificate({ uris: ['spiffe://ilinux.io'] });
    const leaf = await makeCertificate({ isCa: false });
    const bad = [
      7,
      { ...ec.key, x5c: ['!'] },
      { ...ec.key, d: 'secret' },
      { ...rsa.key, x5c: ec.key.x5c },
      foreign.key,
      leaf.key,
      { ...ec.key, x5c: [ec.der.subarray(1).toString('base64')] },
    ];
    const document = { spiffe_sequence: '7', spiffe_refresh_hint: 1.5, keys: [...bad, okp.key] };
    const { input, warnings } = read(document, true);
    assert.deepEqual(input, {
      x509Authorities: [okp.der],
      jwtAuthorities: [],
      sequenceNumber: undefined,
      refreshHint: undefined,
    });
    assert.deepEqual(
      [...new Set(warnings.map(({ path: where }) => where.split('/').slice(0, 3).join('/')))],
      ['/spiffe_sequence', '/spiffe_refresh_hint', ...bad.map((_, index) => `/keys/${index}`)],
    );
    assert.ok(read(document).problems.length >= bad.length + 2, 'a person is told each fault');
  });

  test('that was polled may withdraw everything, and needs a list of keys', () => {
    for (const keys of [[], [{ kty: 'AKP', use: 'x509-svid' }], [expired.key]]) {
      const { input } = read({ keys }, true);
      assert.deepEqual(input?.x509Authorities, keys[0] === expired.key ? [expired.der] : []);
    }
    for (const content of [{}, null, [], { keys: null }, { keys: {} }]) {
      assert.ok(read(content, true).problems.length > 0, JSON.stringify(content));
    }
  });

  test('that was polled may have a number of 64 bits', () => {
    for (const number of [0n, 2n ** 63n, 2n ** 64n - 1n]) {
      assert.equal(read({ ...WHOLE, spiffe_sequence: number }, true).input?.sequenceNumber, number);
    }
    for (const number of [-1n, 2n ** 64n, 2 ** 60]) {
      assert.equal(read({ ...WHOLE, spiffe_sequence: number }, true).input?.sequenceNumber, undefined);
    }
  });

  test('that was polled has too many keys: it is refused, since a part of it is not the bundle', async () => {
    const many = await Promise.all(Array.from({ length: 101 }, () => makeCertificate()));
    assert.match(read({ keys: many.map(({ key }) => key) }, true).problems[0]!.problem, /too many/);
    assert.match(read({ keys: Array.from({ length: 1_001 }, () => 1) }, true).problems[0]!.problem, /1001 keys/);
  });

  test('is told each fault with its place', () => {
    const cut = ec.der.subarray(0, -1).toString('base64');
    const rows: readonly (readonly [content: unknown, where: string, problem: RegExp])[] = [
      [undefined, '', /missing/],
      [[ec.key], '', /list/],
      [{}, '/keys', /missing/],
      [{ keys: {} }, '/keys', /object/],
      [{ keys: [] }, '', /no certificate/],
      [{ keys: [7] }, '/keys/0', /7/],
      [{ ...WHOLE, spiffe_sequence: -1 }, '/spiffe_sequence', /-1/],
      [{ ...WHOLE, spiffe_sequence: '7' }, '/spiffe_sequence', /"7"/],
      [{ ...WHOLE, spiffe_sequence: 2 ** 53 }, '/spiffe_sequence', /9007199254740992/],
      [{ ...WHOLE, spiffe_refresh_hint: 1.5 }, '/spiffe_refresh_hint', /1\.5/],
      [{ keys: [{ ...ec.key, x5c: [1] }] }, '/keys/0/x5c/0', /base64/],
      [{ keys: [{ ...ec.key, x5c: [''] }] }, '/keys/0/x5c/0', /base64/],
      [{ keys: [{ ...ec.key, x5c: [`${ec.der.toString('base64')}\n`] }] }, '/keys/0/x5c/0', /base64/],
      [{ keys: [{ ...ec.key, x5c: [cut] }] }, '/keys/0/x5c/0', /no X.509/],
      [
        { keys: [{ ...ec.key, x5c: [Buffer.concat([ec.der, ec.der]).toString('base64')] }] },
        '/keys/0/x5c/0',
        /no X.509/,
      ],
      [{ keys: [{ ...ec.key, x5c: [Buffer.from(ec.pem).toString('base64')] }] }, '/keys/0/x5c/0', /no X.509/],
      [{ keys: [{ ...rsa.key, x5c: ec.key.x5c }] }, '/keys/0', /not the key/],
      [{ keys: [{ ...ec.key, x: 'AA' }] }, '/keys/0', /not the key/],
    ];
    for (const [content, where, problem] of rows) refuses(content, where, problem);
  });

  test('with a private key in it is refused, and the key is not in the answer', () => {
    const secret = 'c2VjcmV0LXNlY3JldA';
    for (const use of ['x509-svid', 'jwt-svid', 'other']) {
      for (const member of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) {
        const { problems } = read({ keys: [{ ...ec.key, use, [member]: secret }] });
        assert.deepEqual(
          problems.map(({ path: where }) => where),
          [`/keys/0/${member}`],
        );
        assert.doesNotMatch(JSON.stringify(problems), new RegExp(secret));
      }
    }
  });

  test('with more than 100 authorities is refused, told once', async () => {
    const many = await Promise.all(Array.from({ length: 101 }, () => makeCertificate()));
    const keys = many.map(({ key }) => key);
    assert.equal(read({ keys: keys.slice(1) }).input?.x509Authorities.length, 100);
    refuses({ keys }, '/keys/100/x5c/0', /too many/);
    refuses({ keys: [...keys, rsa.key, okp.key] }, '/keys/100/x5c/0', /too many/);
  });

  test('tells all faults at once', () => {
    const { problems } = read({ spiffe_sequence: -1, keys: [{ ...ec.key, x5c: [1] }, 1] });
    assert.deepEqual(
      problems.map(({ path: where }) => where),
      ['/spiffe_sequence', '/keys/0/x5c/0', '/keys/1'],
    );
  });
});

describe('a bundle as PEM', () => {
  test('has one certificate or many, with any text around them and any ends of lines', () => {
    assert.deepEqual(read(ec.pem).input, {
      x509Authorities: [ec.der],
      jwtAuthorities: [],
      sequenceNumber: undefined,
      refreshHint: undefined,
    });
    const text = `# ours\nCertificate:\n    Data: é\n${rsa.pem}\n\nanother:\n${okp.pem.trimEnd()}`;
    for (const end of ['\n', '\r\n', '\r', ' \n', '\t\r\n']) {
      assert.deepEqual(
        read(text.replaceAll('\n', end)).input?.x509Authorities,
        [rsa.der, okp.der],
        JSON.stringify(end),
      );
    }
  });

  test('is told each fault with its line', () => {
    const lines = ec.pem.trimEnd().split('\n');
    const rows: readonly (readonly [content: string, where: string, problem: RegExp])[] = [
      ['', '', /no certificate/],
      ['{"keys":[]}', '', /no certificate/],
      [ec.der.toString('latin1'), '', /no certificate/],
      [`\n\n${lines.slice(0, -1).join('\n')}`, 'line 3', /no END line/],
      [lines.slice(1).join('\n'), `line ${lines.length - 1}`, /do not match/],
      [`${lines[0]}\n${ec.pem}`, 'line 1', /no END/],
      [ec.pem.replace('END CERTIFICATE', 'END THING'), 'line 1', /do not match/],
      [ec.pem.replace(lines[1]!, '*'.repeat(64)), 'line 1', /base64/],
      [ec.pem.replace(lines[1]!, ''), 'line 1', /no X.509|base64/],
      ['-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n', 'line 1', /base64/],
      [ec.pem.replaceAll('CERTIFICATE', 'TRUSTED CERTIFICATE'), 'line 1', /TRUSTED CERTIFICATE/],
      [ec.pem.replaceAll('CERTIFICATE', 'CERTIFICATE REQUEST'), 'line 1', /REQUEST/],
    ];
    for (const [content, where, problem] of rows) refuses(content, where, problem);
  });

  test('with a private key in it is refused, and the key is not in the answer', () => {
    const lines = ec.privateKey.split('\n');
    const at = ec.pem.split('\n').length;
    refuses(ec.pem + ec.privateKey, `line ${at}`, /private key/);
    for (const label of ['EC PRIVATE KEY', 'RSA PRIVATE KEY', 'ENCRYPTED PRIVATE KEY', 'OPENSSH PRIVATE KEY']) {
      refuses(ec.pem + ec.privateKey.replaceAll('PRIVATE KEY', label), `line ${at}`, /private key/);
    }
    for (const broken of [ec.privateKey, lines.slice(0, -2).join('\n'), ec.privateKey.replace('END PRIVATE', 'END')]) {
      const { problems } = read(broken);
      assert.ok(problems.length > 0);
      assert.ok(lines.slice(1, 3).every((line) => !JSON.stringify(problems).includes(line)));
    }
  });

  test('made by openssl is read', (t) => {
    if (spawnSync('openssl', ['version']).status !== 0) return t.skip('openssl is not installed');
    const directory = temporaryDirectory(t);
    const file = path.join(directory, 'root.pem');
    const key = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      path.join(directory, 'key'),
    ];
    const names = ['-subj', '/CN=other root', '-addext', 'subjectAltName=URI:spiffe://other.example'];
    execFileSync('openssl', ['req', '-x509', ...key, '-days', '10', ...names, '-text', '-out', file], {
      stdio: 'pipe',
    });
    const { input } = read(readFileSync(file, 'utf8'));
    const der = execFileSync('openssl', ['x509', '-in', file, '-outform', 'DER']);
    assert.deepEqual(input?.x509Authorities, [der]);
  });
});

describe('an authority', () => {
  test('is a CA certificate whose key may sign certificates', async () => {
    const none = await makeCertificate({ isCa: false });
    const wrongUsage = await makeCertificate({ keyUsage: 1 });
    for (const { pem, key } of [none, wrongUsage]) {
      refuses(pem, 'line 1', /"CN=root" is no CA/);
      refuses({ keys: [key] }, '/keys/0/x5c/0', /is no CA/);
    }
    const unsaid = await makeCertificate({ keyUsage: undefined });
    assert.deepEqual(read(unsaid.pem).input?.x509Authorities, [unsaid.der]);
  });

  test('has no SPIFFE ID of another trust domain', async () => {
    const refused = [
      ['spiffe://ilinux.io'],
      ['spiffe://ilinux.io/x'],
      ['spiffe://other.example', 'spiffe://ilinux.io'],
      ['SPIFFE://other.example'],
      ['spiffe://other.example.org'],
      ['spiffe://Other.example'],
      ['spiffe://'],
      ['https://x.example/a,b', 'spiffe://ilinux.io'],
      ['spiffe://ilinux.io/a,b'],
    ];
    for (const uris of refused) refuses((await makeCertificate({ uris })).pem, 'line 1', /spiffe:/i);
    const taken = [
      ['spiffe://other.example'],
      ['spiffe://other.example/ca'],
      ['https://x.example/?a="b", URI:spiffe://ilinux.io'],
      [],
    ];
    for (const uris of taken) {
      const made = await makeCertificate({ uris });
      assert.deepEqual(read(made.pem).input?.x509Authorities, [made.der], uris.join());
    }
  });

  test('that has expired is taken with a warning, as long as another has not', async () => {
    const { input, warnings } = read(expired.pem + ec.pem);
    assert.deepEqual(input?.x509Authorities, [expired.der, ec.der]);
    assert.deepEqual(
      warnings.map((one) => [one.path, one.problem]),
      [['line 1', '"CN=old" expired at 2026-05-31T23:59:59.000Z']],
    );
    refuses(expired.pem, '', /expired/);
    const tomorrow = await makeCertificate({ notBefore: NOW + 86_400_000, keyUsage: SIGNS });
    assert.deepEqual(read(tomorrow.pem).warnings, [], 'one that is to come is announced early, as it should be');
  });
});

test('a bundle is set for another trust domain, by its name or its ID', () => {
  assert.equal(parseForeignTrustDomain('other.example', TRUST_DOMAIN), OTHER);
  assert.equal(parseForeignTrustDomain('spiffe://other.example', TRUST_DOMAIN), OTHER);
  for (const text of ['ilinux.io', 'spiffe://ilinux.io', 'Other', '', 'spiffe://', 'other.example/x', 'spiffe://a/b']) {
    assert.throws(() => parseForeignTrustDomain(text, TRUST_DOMAIN), { code: 'ERR_BAD_INPUT' }, text);
  }
});

test('the same root twice is taken once, with a warning, and a byte order mark is passed over', () => {
  const twice = `\ufeff${ec.pem}${rsa.pem}\n${ec.pem}`;
  const line = 1 + ec.pem.split('\n').length - 1 + rsa.pem.split('\n').length;
  const pem = read(twice);
  assert.deepEqual(pem.input?.x509Authorities, [ec.der, rsa.der]);
  assert.deepEqual(
    pem.warnings.map(({ path: where, problem }) => [where, problem]),
    [[`line ${line}`, 'it is the same as the one at line 1']],
  );
  const json = read({ keys: [ec.key, rsa.key, ec.key] });
  assert.deepEqual(json.input?.x509Authorities, [ec.der, rsa.der]);
  assert.deepEqual(
    json.warnings.map(({ path: where }) => where),
    ['/keys/2/x5c/0'],
  );
  refuses({ keys: [ec.key, { ...rsa.key, x5c: ec.key.x5c }] }, '/keys/1', /not the key/);
});

test('a number that does not grow with a change is warned of', () => {
  const warned = (sequenceNumber: bigint | undefined, x509Authorities = [ec.der]) => {
    const warnings: Problem[] = [];
    const roots = [new X509Certificate(ec.der)];
    const bundle = makeTrustBundle({ trustDomain: OTHER, roots, sequenceNumber: 5, refreshHint: undefined });
    const before = { ...bundle, source: 'manual' as const, statedSequence: undefined, updatedAt: NOW };
    const input = { x509Authorities, jwtAuthorities: [], sequenceNumber, refreshHint: undefined };
    checkSequence(input, before, (one) => void warnings.push(one));
    return warnings.length > 0;
  };
  assert.deepEqual(
    [4n, 5n, 6n, undefined].map((number) => warned(number)),
    [true, false, false, false],
  );
  assert.deepEqual(
    [4n, 5n, 6n, undefined].map((number) => warned(number, [rsa.der])),
    [true, true, false, false],
  );
});

describe('whatever comes', () => {
  test('JSON is read or refused with its faults', () => {
    const part = fc.oneof(
      fc.json().map((text) => JSON.parse(text) as unknown),
      fc.constantFrom(...Object.values(ec.key)),
    );
    const key = fc.oneof(
      fc.constantFrom<unknown>(ec.key, rsa.key),
      fc.record(
        {
          kty: fc.oneof(fc.constantFrom('EC', 'RSA'), part),
          use: fc.oneof(fc.constant('x509-svid'), part),
          x5c: part,
          d: part,
        },
        { requiredKeys: [] },
      ),
    );
    const document = fc.oneof(
      part,
      fc.record({ keys: fc.oneof(fc.array(key), part), spiffe_sequence: part }, { requiredKeys: [] }),
    );
    fc.assert(
      fc.property(document, (content) => {
        const { input, problems } = read(typeof content === 'string' ? { keys: content } : content);
        assert.equal(input === undefined, problems.length > 0);
        assert.ok(input === undefined || input.x509Authorities.length > 0);
      }),
      { numRuns: 300 },
    );
  });

  test('PEM gives the very certificates that are in it, or is refused', () => {
    const pieces = fc.array(fc.constantFrom(ec.pem, rsa.pem, okp.pem, expired.pem, 'text\n', '\n'), { maxLength: 6 });
    fc.assert(
      fc.property(pieces, (list) => {
        const certificates = [...new Set(list.filter((one) => one.startsWith('-----')))];
        const good = certificates.some((one) => one !== expired.pem);
        const { input } = read(list.join(''));
        assert.equal(input !== undefined, good);
        if (input !== undefined) assert.equal(input.x509Authorities.length, certificates.length);
      }),
    );
    const damaged = fc.tuple(fc.nat(ec.pem.length - 1), fc.string({ maxLength: 3 }), fc.nat(3));
    fc.assert(
      fc.property(damaged, ([at, inserted, removed]) => {
        const { input, problems } = read(ec.pem.slice(0, at) + inserted + ec.pem.slice(at + removed));
        assert.equal(input === undefined, problems.length > 0);
      }),
      { numRuns: 300 },
    );
  });
});

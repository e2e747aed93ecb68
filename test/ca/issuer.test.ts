import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { SidekeyError } from '../../src/base/errors.ts';
import type { IssuanceRecord } from '../../src/base/issuance.ts';
import type { Authorities } from '../../src/ca/authorities.ts';
import { makeIntermediate, makeRoot } from '../../src/ca/authority.ts';
import { Issuer } from '../../src/ca/issuer.ts';
import { localSigner } from '../../src/ca/signer.ts';
import type { CertificateAuthority, SvidRequest } from '../../src/ca/types.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { TestClock } from '../support/clock.ts';
import { DAY, HOUR, listeningLog, openTestAuthority, request, SECOND, TRUST_DOMAIN, until, YEAR } from './support.ts';

/** An issuance log whose promises the test resolves or rejects. */
function heldLog() {
  const held: { records: readonly IssuanceRecord[]; keep: () => void; break: (error: unknown) => void }[] = [];
  const issuanceLog = {
    recordIssuances: (records: readonly IssuanceRecord[]) =>
      new Promise<void>((keep, fail) => {
        held.push({ records, keep, break: fail });
      }),
  };
  const next = async () => {
    await until(() => held.length > 0);
    return held.shift()!;
  };
  return { issuanceLog, next };
}

test('an SVID is for the requested entry, and its key matches', async (t) => {
  const { ca, clock } = await openTestAuthority(t);
  const svid = await ca.issue(request({ entryId: 'gray', dnsNames: ['gray.example'] }));
  const certificate = new X509Certificate(svid.certificateChain);
  assert.equal(svid.entryId, 'gray');
  assert.equal(svid.spiffeId, 'spiffe://ilinux.io/front-envoy');
  assert.equal(certificate.subjectAltName, 'URI:spiffe://ilinux.io/front-envoy, DNS:gray.example');
  assert.ok(certificate.checkPrivateKey(createPrivateKey(svid.privateKey)));
  assert.equal(certificate.serialNumber.toLowerCase(), svid.serial);
  assert.equal(svid.authorityId, ca.authorities()[1]!.id);
  assert.equal(svid.notBefore, clock.now() - 30 * SECOND);
});

test('an SVID has the lifetime of its entry, else the default', async (t) => {
  const { ca, clock } = await openTestAuthority(t);
  assert.equal((await ca.issue(request())).notAfter, clock.now() + HOUR);
  assert.equal((await ca.issue(request({ ttl: 90 }))).notAfter, clock.now() + 90 * SECOND);
});

test('an SVID never outlives its entry, and an expired entry gets none', async (t) => {
  const { ca, clock, records } = await openTestAuthority(t);
  const notAfter = clock.now() + 10 * SECOND + 700;
  assert.equal((await ca.issue(request({ notAfter }))).notAfter, clock.now() + 10 * SECOND);
  await assert.rejects(ca.issue(request({ notAfter: clock.now() })), {
    code: 'ERR_CA',
    message: 'the entry entry has expired',
  });
  await assert.rejects(ca.issue(request({ notAfter: clock.now() + 700 })), { code: 'ERR_CA' });
  assert.equal(records.length, 1);
});

test('an SVID never outlives its authority: it is shortened, with one warning per entry', async (t) => {
  const { ca, lines } = await openTestAuthority(t);
  const [, intermediate] = ca.authorities();
  const ttl = (30 * DAY) / SECOND;
  for (const entryId of ['a', 'a', 'b']) {
    assert.equal((await ca.issue(request({ entryId, ttl }))).notAfter, intermediate!.notAfter);
  }
  const warnings = lines().filter((line) => line.level === 'warn');
  assert.deepEqual(
    warnings.map((line) => line.entry_id),
    ['a', 'b'],
  );
});

test('renewal is due at half the life, plus or minus 10 %', async (t) => {
  for (const [random, minutes] of [
    [0, 27],
    [0.5, 30],
    [0.75, 31.5],
  ] as const) {
    const { ca, clock } = await openTestAuthority(t, { random: () => random });
    assert.equal((await ca.issue(request())).renewAt, clock.now() + minutes * 60 * SECOND);
  }
});

test('an SVID that ends with its entry is not renewed, since a new one would end at the same time', async (t) => {
  const { ca, clock } = await openTestAuthority(t);
  const soon = await ca.issue(request({ notAfter: clock.now() + HOUR }));
  assert.equal(soon.renewAt, Number.POSITIVE_INFINITY);
  const later = await ca.issue(request({ notAfter: clock.now() + HOUR + SECOND }));
  assert.equal(later.renewAt, clock.now() + HOUR / 2);
});

test('an identity of another trust domain is refused', async (t) => {
  const { ca, records } = await openTestAuthority(t);
  const spiffeId = parseSpiffeId('spiffe://other.example/front-envoy');
  await assert.rejects(ca.issue({ ...request(), spiffeId }), { code: 'ERR_CA' });
  assert.deepEqual(records, []);
});

test('a request that cannot be signed does not affect the others', async (t) => {
  const { ca } = await openTestAuthority(t);
  const results = await Promise.allSettled([
    ca.issue(request({ entryId: 'a' })),
    ca.issue(request({ entryId: 'b', dnsNames: ['gräy.example'] })),
    ca.issue(request({ entryId: 'c' })),
  ]);
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value.entryId : result.reason.code)),
    ['a', 'ERR_CA', 'c'],
  );
});

test('an SVID is handed out only once it is recorded', async (t) => {
  const { issuanceLog, next } = heldLog();
  const { ca, clock } = await openTestAuthority(t, { issuanceLog });
  let left = false;
  const issued = ca.issue(request()).finally(() => {
    left = true;
  });
  const slice = await next();
  await setImmediate();
  assert.equal(left, false);
  slice.keep();
  const svid = await issued;
  assert.deepEqual(slice.records, [
    {
      kind: 'x509',
      serial: svid.serial,
      spiffeId: svid.spiffeId,
      entryId: svid.entryId,
      authorityId: svid.authorityId,
      notBefore: svid.notBefore,
      notAfter: svid.notAfter,
      issuedAt: clock.now(),
    },
  ]);
});

test('an SVID that cannot be recorded is not handed out; later ones are', async (t) => {
  let failing = true;
  const issuanceLog = {
    async recordIssuances() {
      if (failing) throw new Error('disk full');
    },
  };
  const { ca } = await openTestAuthority(t, { issuanceLog });
  const lost = [ca.issue(request({ entryId: 'a' })), ca.issue(request({ entryId: 'b' }))];
  for (const result of await Promise.allSettled(lost)) {
    assert.ok(result.status === 'rejected' && result.reason instanceof SidekeyError);
    assert.equal(result.reason.code, 'ERR_STORE');
    assert.equal((result.reason.cause as Error).message, 'disk full');
  }
  failing = false;
  assert.equal((await ca.issue(request({ entryId: 'c' }))).entryId, 'c');
});

test('an SVID that expired while it was recorded is not handed out', async (t) => {
  const { issuanceLog, next } = heldLog();
  const { ca, clock } = await openTestAuthority(t, { issuanceLog });
  for (const jump of [HOUR, -2 * HOUR]) {
    const issued = assert.rejects(ca.issue(request()), { code: 'ERR_CA' });
    const slice = await next();
    clock.set(clock.now() + jump);
    slice.keep();
    await issued;
  }
});

test('many requests are signed in order, in slices that share one record, and the event loop runs in between', async (t) => {
  const { ca, records } = await openTestAuthority(t);
  let turns = 0;
  let done = false;
  const all = Promise.all(
    Array.from({ length: 600 }, (_, i) => ca.issue(request({ entryId: `e${i}`, spiffeId: `spiffe://ilinux.io/${i}` }))),
  ).finally(() => {
    done = true;
  });
  while (!done) {
    await setImmediate();
    turns += 1;
  }
  const svids = await all;
  assert.deepEqual(
    svids.map((svid) => svid.entryId),
    Array.from({ length: 600 }, (_, i) => `e${i}`),
  );
  assert.deepEqual(
    records.flat().map((record) => record.serial),
    svids.map((svid) => svid.serial),
  );
  // At least 256 share a record, and 600 take far longer than one slice of 5 ms.
  assert.ok(records.length > 1 && records.length <= 3, `${records.length} records`);
  assert.ok(turns >= records.length, `${turns} turns`);
});

test('SVIDs that their authority did not sign are refused, all of a burst', async (t) => {
  const clock = new TestClock();
  const making = { trustDomain: TRUST_DOMAIN, subject: [], now: clock.now() };
  const root = await makeRoot(making, 10 * YEAR);
  const [authority, other] = [await makeIntermediate(making, root, DAY), await makeIntermediate(making, root, DAY)];
  let signer = localSigner(other);
  const issuer = new Issuer({
    trustDomain: TRUST_DOMAIN,
    authorities: {
      signer: async () => ({ ...localSigner(authority), sign: (toBeSigned) => signer.sign(toBeSigned) }),
    } as Partial<Authorities> as Authorities,
    issuanceLog: { recordIssuances: async () => undefined },
    clock,
    log: listeningLog().log,
    x509SvidTtl: HOUR / SECOND,
    x509SvidKeyType: 'ec-p256',
    random: () => 0.5,
  });
  t.after(() => issuer.close());
  const burst = () =>
    Promise.allSettled([[], [], ['a.example'], []].map((dnsNames) => issuer.issue(request({ dnsNames }))));
  for (const result of await burst()) {
    assert.match(String((result as PromiseRejectedResult).reason), /is withheld: its authority did not sign it/);
  }
  signer = localSigner(authority);
  for (const { status } of await burst()) assert.equal(status, 'fulfilled');
});

test('a request that arrives the moment the queue runs empty is answered', async (t) => {
  const { ca } = await openTestAuthority(t);
  for (let i = 0; i < 20; i += 1) await ca.issue(request());
});

test('when the authority closes, the current slice is finished and the rest is refused', async (t) => {
  const { issuanceLog, next } = heldLog();
  const { ca } = await openTestAuthority(t, { issuanceLog });
  const first = ca.issue(request());
  const slice = await next();
  const second = assert.rejects(ca.issue(request()), { code: 'ERR_CA' });
  const closed = ca.close();
  slice.keep();
  await first;
  await second;
  await closed;
});

test('an SVID has the type of key of its entry, else the default', async (t) => {
  const { ca, restart } = await openTestAuthority(t);
  const typeOf = async (asked: CertificateAuthority, keyType: SvidRequest['keyType']) => {
    const { certificateChain, privateKey } = await asked.issue(request({ keyType, dnsNames: ['gray.example'] }));
    const certificate = new X509Certificate(certificateChain);
    assert.ok(certificate.checkPrivateKey(createPrivateKey(privateKey)));
    const { namedCurve, modulusLength } = certificate.publicKey.asymmetricKeyDetails!;
    return namedCurve ?? modulusLength;
  };
  assert.deepEqual([await typeOf(ca, ''), await typeOf(ca, 'rsa-2048')], ['prime256v1', 2048]);
  const rsa = await restart({ x509SvidKeyType: 'rsa-2048' });
  assert.deepEqual([await typeOf(rsa, ''), await typeOf(rsa, 'ec-p256')], [2048, 'prime256v1']);
});

test('a P-256 SVID does not wait for SVIDs whose RSA keys are being made', async (t) => {
  const { ca } = await openTestAuthority(t);
  let made = 0;
  const rsa = Array.from({ length: 40 }, async (_, i) => {
    await ca.issue(request({ entryId: `rsa ${i}`, keyType: 'rsa-2048' }));
    made += 1;
  });
  for (let i = 0; i < 20; i += 1) await ca.issue(request({ entryId: `ec ${i}` }));
  assert.ok(made < 20, `${made} RSA SVIDs before 20 with P-256, one after the other`);
  await Promise.all(rsa);
});

test('SVIDs that wait for their RSA key are refused when the authority closes', async (t) => {
  const { ca } = await openTestAuthority(t);
  const waiting = Array.from({ length: 20 }, (_, i) => ca.issue(request({ entryId: `${i}`, keyType: 'rsa-2048' })));
  const refused = waiting.map((one) => assert.rejects(one, { code: 'ERR_CA', message: 'the authority is closed' }));
  await ca.close();
  await Promise.all(refused);
});

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { makeRoot } from '../../src/ca/authority.ts';
import { ownBundle } from '../../src/ca/bundle.ts';
import { pemBlocks } from '../../src/ca/pem.ts';
import { DAY, TRUST_DOMAIN, YEAR } from './support.ts';

const root = (now: number) =>
  makeRoot({ trustDomain: TRUST_DOMAIN, subject: [{ type: 'O', value: 'SPIFFE' }], now }, YEAR);
const older = await root(Date.UTC(2026, 5, 1));
const newer = await root(Date.UTC(2026, 5, 1) + DAY);

test('the bundle has the roots, oldest first, as DER and as PEM', () => {
  const bundle = ownBundle({ trustDomain: TRUST_DOMAIN, roots: [newer, older], sequenceNumber: 7 });
  assert.deepEqual(bundle.x509Authorities, [older.certificate.raw, newer.certificate.raw]);
  assert.equal(bundle.pem.toString(), older.certificate.toString() + newer.certificate.toString());
  assert.deepEqual(
    pemBlocks(bundle.pem.toString(), 'CERTIFICATE').map((block) => new X509Certificate(block).fingerprint256),
    [older, newer].map((authority) => authority.certificate.fingerprint256),
  );
  assert.equal(bundle.sequenceNumber, 7);
});

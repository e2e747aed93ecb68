/** Leaf SVIDs on one core, recorded durably, beside bare keys and signatures. */

import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import path from 'node:path';
import { SystemClock } from '../../src/base/clock.ts';
import { openCertificateAuthority } from '../../src/ca/certificate-authority.ts';
import type { CertificateAuthority, IssuanceLog } from '../../src/ca/types.ts';
import { openSqliteStore } from '../../src/registry/sqlite/sqlite-store.ts';
import { parseSpiffeId, parseTrustDomain } from '../../src/spiffe/id.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { makePlace, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, medianShare, percentile } from '../figure.ts';

/** Short and many: what else the machine does meets a round of each alike. */
export const ROUNDS = 40;
export const EACH = 500;
/** About what is signed of a leaf certificate, in bytes. */
const TO_BE_SIGNED = 420;

export async function leafSvids(cleanup: Cleanup): Promise<Figure[]> {
  const ca = await openAuthority(cleanup, (directory) => {
    const trustDomain = parseTrustDomain(TRUST_DOMAIN);
    const store = openSqliteStore({ path: path.join(directory, 'bench.db'), trustDomain });
    cleanup.after(() => store.close());
    return store.issuances;
  });
  const authorityKey = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
  await issue(ca);
  bare(authorityKey);
  const ours: number[] = [];
  const others: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    others.push(bare(authorityKey));
    ours.push(await issue(ca));
  }
  const perSecond = percentile(ours, 0.5);
  return [
    {
      name: 'leaf-svids',
      value: perSecond,
      unit: '1/s',
      compared_with: {
        'bare keys and signatures': percentile(others, 0.5),
        'share of it': medianShare(ours, others),
        reach: 'a share of 0.55',
      },
      how: `medians of ${ROUNDS} rounds in turn of ${EACH}: issued by the authority with a new key each, checked, and on record in SQLite (synchronous=FULL), all asked for at once; beside generateKeyPairSync (P-256) and sign (SHA-256 of ${TO_BE_SIGNED} bytes) and nothing else, one thread each; the share is the median of those of a round and the one before`,
    },
  ];
}

/** @param record opens the record of issuances in a new directory */
export async function openAuthority(
  cleanup: Cleanup,
  record: (directory: string) => IssuanceLog,
): Promise<CertificateAuthority> {
  const { directory } = makePlace(cleanup);
  const ca = await openCertificateAuthority({
    trustDomain: parseTrustDomain(TRUST_DOMAIN),
    dir: path.join(directory, 'ca'),
    clock: new SystemClock(),
    log: createLog('warn'),
    issuanceLog: record(directory),
    caTtl: 86_400,
    rootTtl: 31_536_000,
    rootPublishTime: 86_400,
    rootAckTimeout: 86_400,
    rootAckPolicy: 'wait',
    x509SvidTtl: 3_600,
    x509SvidKeyType: 'ec-p256',
    caKeyType: 'ec-p256',
    caSubject: 'C=US,O=SPIFFE',
  });
  cleanup.after(() => ca.close());
  return ca;
}

/** A second. */
export async function issue(ca: CertificateAuthority): Promise<number> {
  const requests = Array.from({ length: EACH }, (_, i) => {
    const spiffeId = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/bench/${i}`);
    const entryId = createHash('sha1').update(spiffeId).digest('hex');
    return { entryId, spiffeId, dnsNames: [], keyType: '' as const, ttl: 0, notAfter: 0, replacesUntil: 0 };
  });
  const begun = performance.now();
  await Promise.all(requests.map((request) => ca.issue(request)));
  return EACH / ((performance.now() - begun) / 1_000);
}

/** A second. */
function bare(authorityKey: KeyObject): number {
  const bytes = randomBytes(TO_BE_SIGNED);
  const begun = performance.now();
  for (let i = 0; i < EACH; i += 1) {
    generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    sign('sha256', bytes, authorityKey);
  }
  return EACH / ((performance.now() - begun) / 1_000);
}

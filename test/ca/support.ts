/** An authority in its own directory, with a clock that the test sets. */

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import pino from 'pino';
import type { IssuanceRecord } from '../../src/base/issuance.ts';
import { type CertificateAuthorityOptions, openCertificateAuthority } from '../../src/ca/certificate-authority.ts';
import { generateEcKeyPair, generateRsaKeyPair } from '../../src/ca/key-pair.ts';
import type { Leaf, LeafRequest, LeafWriter } from '../../src/ca/leaf.ts';
import { pemBlocks } from '../../src/ca/pem.ts';
import type { CertificateAuthority, SvidRequest, TrustBundle, X509Svid } from '../../src/ca/types.ts';
import { parseSpiffeId, parseTrustDomain } from '../../src/spiffe/id.ts';
import type { Log } from '../../src/telemetry/log.ts';
import { TestClock } from '../support/clock.ts';
import { tempDir } from '../support/temp-dir.ts';

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 3600 * SECOND;
export const DAY = 24 * HOUR;
export const YEAR = 365.25 * DAY;

export const TRUST_DOMAIN = parseTrustDomain('ilinux.io');

/** Keeps the log lines for the test. */
export function listeningLog(): { log: Log; lines: () => { level: string; msg: string; entry_id?: string }[] } {
  const lines: string[] = [];
  const log = pino(
    { level: 'trace', base: null, formatters: { level: (label) => ({ level: label }) } },
    { write: (line: string) => void lines.push(line) },
  );
  return { log, lines: () => lines.map((line) => JSON.parse(line)) };
}

export interface TestAuthority {
  readonly ca: CertificateAuthority;
  readonly dir: string;
  readonly clock: TestClock;
  readonly records: IssuanceRecord[][];
  readonly log: Log;
  readonly lines: ReturnType<typeof listeningLog>['lines'];
  /** Closes the authority and opens it again with the same directory and clock. */
  restart(options?: Partial<CertificateAuthorityOptions>): Promise<CertificateAuthority>;
}

/** Waits for a condition; fails after 10 s instead of hanging. */
export async function until(condition: () => boolean): Promise<void> {
  const giveUp = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < giveUp, `never: ${condition}`);
    await setImmediate();
  }
}

/** Defaults: CA TTL 24 h, SVID TTL 1 h, no jitter. */
export async function openTestAuthority(
  t: TestContext,
  overrides: Partial<Omit<CertificateAuthorityOptions, 'clock'>> = {},
  clock = new TestClock(),
): Promise<TestAuthority> {
  const records: IssuanceRecord[][] = [];
  const { log, lines } = listeningLog();
  const options: CertificateAuthorityOptions = {
    trustDomain: TRUST_DOMAIN,
    dir: path.join(tempDir(t), 'ca'),
    clock,
    log,
    issuanceLog: {
      async recordIssuances(slice) {
        records.push([...slice]);
      },
    },
    caTtl: DAY / SECOND,
    rootTtl: (10 * YEAR) / SECOND,
    rootPublishTime: DAY / SECOND,
    rootAckTimeout: DAY / SECOND,
    rootAckPolicy: 'wait',
    x509SvidTtl: HOUR / SECOND,
    x509SvidKeyType: 'ec-p256',
    caKeyType: 'ec-p256',
    caSubject: 'C=US,O=SPIFFE',
    random: () => 0.5,
    ...overrides,
  };
  let ca = await openCertificateAuthority(options);
  t.after(() => ca.close());
  return {
    ca,
    dir: options.dir,
    clock,
    records,
    log,
    lines,
    async restart(changes = {}) {
      await ca.close();
      ca = await openCertificateAuthority({ ...options, ...changes });
      return ca;
    },
  };
}

export function request(changes: Partial<Omit<SvidRequest, 'spiffeId'>> & { spiffeId?: string } = {}): SvidRequest {
  const { spiffeId = 'spiffe://ilinux.io/front-envoy', ...rest } = changes;
  const given = { dnsNames: [], keyType: '', ttl: 0, notAfter: 0, replacesUntil: 0 } as const;
  return { entryId: 'entry', ...given, ...rest, spiffeId: parseSpiffeId(spiffeId) };
}

/** A leaf with a new key. */
export async function writeLeaf(writer: LeafWriter, leafRequest: LeafRequest): Promise<Leaf> {
  const isRsa = leafRequest.keyType === 'rsa-2048';
  return writer.sign(writer.draft(leafRequest, isRsa ? await generateRsaKeyPair() : generateEcKeyPair()));
}

/** A proxy's check of an SVID: there is a path to a root of the bundle, and every certificate on it is valid now. */
function assertTrusted(svid: X509Svid, bundle: TrustBundle, now: number): void {
  const blocks = pemBlocks(svid.certificateChain, 'CERTIFICATE');
  const [leaf, intermediate] = blocks.map((block) => new X509Certificate(block));
  const issuers = bundle.x509Authorities.map((der) => new X509Certificate(der));
  const root = issuers.find((issuer) => intermediate!.checkIssued(issuer) && intermediate!.verify(issuer.publicKey));
  assert.ok(root !== undefined, 'no root of the bundle signed the intermediate');
  assert.ok(leaf!.checkIssued(intermediate!) && leaf!.verify(intermediate!.publicKey));
  for (const certificate of [leaf!, intermediate!, root]) {
    assert.ok(certificate.validFromDate.getTime() <= now, 'not valid yet');
    assert.ok(now < certificate.validToDate.getTime(), 'not valid any more');
  }
  assert.ok(leaf!.validToDate <= intermediate!.validToDate && intermediate!.validToDate <= root.validToDate);
}

/** Issues an SVID, which is valid now and trusted by the bundle. */
export async function assertIssues({ clock }: TestAuthority, ca: CertificateAuthority): Promise<X509Svid> {
  const svid = await ca.issue(request());
  assertTrusted(svid, ca.bundle(), clock.now());
  return svid;
}

/** An authority in its own directory, with a clock that the test sets. */

import assert from 'node:assert/strict';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import pino from 'pino';
import type { IssuanceRecord } from '../../src/base/issuance.ts';
import { type CertificateAuthorityOptions, openCertificateAuthority } from '../../src/ca/certificate-authority.ts';
import { generateEcKeyPair, generateRsaKeyPair } from '../../src/ca/key-pair.ts';
import type { Leaf, LeafRequest, LeafWriter } from '../../src/ca/leaf.ts';
import type { CertificateAuthority, SvidRequest } from '../../src/ca/types.ts';
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
  overrides: Partial<CertificateAuthorityOptions> = {},
): Promise<TestAuthority> {
  const clock = new TestClock();
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

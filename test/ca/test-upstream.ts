/** An upstream inside of the test's process, which signs with a root that the test sets, and fails when the test says so. */

import assert from 'node:assert/strict';
import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { Listeners } from '../../src/base/listeners.ts';
import { type Authority, makeRoot } from '../../src/ca/authority.ts';
import type { Minted, UpstreamAuthority } from '../../src/ca/upstream/upstream.ts';
import { x509 } from '../support/peculiar.ts';
import { DAY, SECOND, TRUST_DOMAIN, YEAR } from './support.ts';

/** A root that lives a year. @param now milliseconds since the epoch */
export const newRoot = (now: number): Promise<Authority> =>
  makeRoot({ trustDomain: TRUST_DOMAIN, subject: [], now }, YEAR);

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** Signs intermediates under the root that the test sets. */
export class TestUpstream implements UpstreamAuthority {
  readonly kind = 'command';
  readonly description = 'the upstream of the test';
  readonly now: () => number;
  root: Authority;
  /** All roots that its answers list. */
  listed: Authority[];
  life = DAY;
  fault: string | undefined;
  requests = 0;
  /** Called once, when the next answer is made. */
  onAnswer: (() => void) | undefined;
  closed = false;
  readonly changed = new Listeners<void>((error) => assert.fail(String(error)));

  constructor(root: Authority, now: () => number) {
    this.root = root;
    this.listed = [root];
    this.now = now;
  }

  problem(): undefined {}

  async check(): Promise<string> {
    return '';
  }

  async trusted(): Promise<undefined> {
    return undefined;
  }

  async close(): Promise<void> {
    this.closed = true;
  }

  async mint({ privateKey }: { privateKey: KeyObject }): Promise<Minted> {
    this.requests += 1;
    if (this.fault !== undefined) throw new Error(this.fault);
    const certificate = await sign(this.root, privateKey, this.now(), this.life);
    this.onAnswer?.();
    this.onAnswer = undefined;
    return {
      chain: [certificate],
      roots: this.listed.map((one) => one.certificate),
      notBefore: certificate.validFromDate.getTime(),
      notAfter: Math.min(certificate.validToDate.getTime(), this.root.notAfter),
      warnings: [],
    };
  }
}

async function sign(root: Authority, key: KeyObject, now: number, life: number): Promise<X509Certificate> {
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' });
  const publicKey = await new x509.PublicKey(spki).export(P256, ['verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: '01',
    subject: 'CN=intermediate',
    issuer: new x509.Name(root.name),
    notBefore: new Date(now - 30 * SECOND),
    notAfter: new Date(now + life),
    publicKey,
    signingKey: root.privateKey!.toCryptoKey(P256, false, ['sign']),
    signingAlgorithm: P256,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.BasicConstraintsExtension(true, undefined, true),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      new x509.AuthorityKeyIdentifierExtension(root.id),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: `spiffe://${TRUST_DOMAIN}` }]),
    ],
  });
  return new X509Certificate(Buffer.from(certificate.rawData));
}

/**
 * Checks the X.509 authorities of a bundle from user input: each must be a CA certificate that its trust domain may
 * have.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md sections 3.2, 4.1 and 6.2
 */

import { X509Certificate } from 'node:crypto';
import type { Problem } from '../base/index.ts';
import { type TrustDomain, trustDomainId, urisOf } from '../spiffe/index.ts';
import { type Place, show } from './place.ts';

/** What the checks of a bundle depend on. */
export interface BundleRules {
  /** The trust domain of the bundle. */
  readonly trustDomain: TrustDomain;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Called for input that is accepted but probably a mistake. */
  readonly warn: (warning: Problem) => void;
  /** The document came from a bundle endpoint, and nobody is there who could correct it. */
  readonly polled?: true;
}

const MAX_AUTHORITIES = 100;

const CERTIFICATE_RULE = 'an authority is one X.509 certificate in DER';
const CA_RULE = 'an authority is a CA certificate: basic constraints say so, and its key may sign certificates';
const KEY_RULE = 'its key is of a type that a JWK has: EC, RSA or OKP';
const NUMBER_RULE = `a bundle has 1 to ${MAX_AUTHORITIES} authorities; to stop trusting the domain, delete its bundle`;

export class BundleAuthorities {
  readonly #rules: BundleRules;
  /** Places of the certificates so far, by DER in base64. */
  readonly #places = new Map<string, Place>();
  readonly #certificates: X509Certificate[] = [];
  /** Number of certificates so far, valid or not. */
  #given = 0;

  constructor(rules: BundleRules) {
    this.#rules = rules;
  }

  /** Reads and checks a certificate. @returns undefined with its faults recorded if it can't be an authority */
  read(der: Buffer, place: Place): X509Certificate | undefined {
    this.#given += 1;
    if (this.#given > MAX_AUTHORITIES) {
      if (this.#given === MAX_AUTHORITIES + 1) place.fault('there are too many authorities', NUMBER_RULE);
      return undefined;
    }
    const certificate = readCertificate(der);
    if (certificate === undefined) return place.fault('it is no X.509 certificate', CERTIFICATE_RULE);
    return this.#check(certificate, place) ? certificate : undefined;
  }

  /** Takes a certificate that was read; a repeated one is taken once. */
  add(certificate: X509Certificate, place: Place): void {
    const text = certificate.raw.toString('base64');
    const earlier = this.#places.get(text);
    if (earlier !== undefined) {
      // Bundles are often concatenated from files that contain the same root.
      const problem = `it is the same as the one at ${earlier.path}`;
      this.#rules.warn({ path: place.path, problem, rule: 'it is taken once' });
      return;
    }
    this.#places.set(text, place);
    this.#certificates.push(certificate);
    if (!this.#hasEnded(certificate)) return;
    const problem = `${subjectOf(certificate)} expired at ${certificate.validToDate.toISOString()}`;
    this.#rules.warn({ path: place.path, problem, rule: 'peers no longer accept SVIDs that it signed' });
  }

  /**
   * All accepted certificates, DER, in their order. At least one has not expired, except in a polled bundle: a partner
   * that publishes none withdraws its trust.
   */
  finish(place: Place): Buffer[] | undefined {
    if (this.#rules.polled !== true) {
      if (this.#certificates.length === 0) return place.fault('it has no certificate', NUMBER_RULE);
      if (this.#certificates.every((one) => this.#hasEnded(one))) {
        return place.fault('every one of its certificates has expired', 'at least one is valid still');
      }
    }
    if (this.#given > MAX_AUTHORITIES) return place.fault('there are too many authorities', NUMBER_RULE);
    return this.#certificates.map(({ raw }) => raw);
  }

  /** True if it can be an authority; else its faults are recorded. */
  #check(certificate: X509Certificate, place: Place): boolean {
    let isGood = true;
    const fault = (problem: string, rule: string) => {
      isGood = false;
      place.fault(problem, rule);
    };
    // OpenSSL checks the basic constraints, and keyCertSign if there is a key usage.
    if (!certificate.ca) fault(`${subjectOf(certificate)} is no CA certificate`, CA_RULE);
    if (!hasJwk(certificate)) fault(`the key of ${subjectOf(certificate)} is of another type`, KEY_RULE);
    for (const uri of urisOf(certificate)) {
      const rule = `the authority of ${this.#rules.trustDomain} has the URI ${trustDomainId(this.#rules.trustDomain)}, or none of SPIFFE`;
      if (/^spiffe:/i.test(uri) && !isIn(uri, this.#rules.trustDomain)) fault(`its URI is ${show(uri)}`, rule);
    }
    return isGood;
  }

  #hasEnded({ validToDate }: X509Certificate): boolean {
    return validToDate.getTime() < this.#rules.now;
  }
}

/**
 * Undefined unless the bytes are exactly one certificate: OpenSSL would also read PEM, and ignore bytes that follow.
 */
function readCertificate(der: Buffer): X509Certificate | undefined {
  try {
    const certificate = new X509Certificate(der);
    return certificate.raw.equals(der) ? certificate : undefined;
  } catch {
    return undefined;
  }
}

function hasJwk(certificate: X509Certificate): boolean {
  try {
    certificate.publicKey.export({ format: 'jwk' });
    return true;
  } catch {
    return false;
  }
}

function subjectOf({ subject, serialNumber }: X509Certificate): string {
  // Undefined, despite its type, if the subject is empty.
  return subject ? show(subject.split('\n').join(', ')) : `the certificate ${serialNumber}`;
}

/** True for the ID of the trust domain and IDs in it; false for malformed IDs. */
function isIn(uri: string, trustDomain: TrustDomain): boolean {
  const id = trustDomainId(trustDomain);
  return uri === id || uri.startsWith(`${id}/`);
}

/**
 * The authorities of a bundle that is given, one by one: each a CA certificate that may stand for its trust domain.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md sections 3.2, 4.1 and 6.2
 */

import { X509Certificate } from 'node:crypto';
import type { Problem } from '../base/errors.ts';
import { type TrustDomain, trustDomainId } from '../spiffe/id.ts';
import { type Place, show } from './place.ts';

/** What the reading of bundles depends on. */
export interface BundleRules {
  /** Whose bundle it is. */
  readonly trustDomain: TrustDomain;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Told of what is accepted but will hardly do what was meant. */
  readonly warn: (warning: Problem) => void;
}

const MAX_AUTHORITIES = 100;

const CERTIFICATE_RULE = 'an authority is one X.509 certificate in DER';
const CA_RULE = 'an authority is a CA certificate: basic constraints say so, and its key may sign certificates';
const KEY_RULE = 'its key is of a type that a JWK has: EC, RSA or OKP';
const NUMBER_RULE = `a bundle has 1 to ${MAX_AUTHORITIES} authorities; delete the bundle to trust the domain no more`;

export class BundleAuthorities {
  readonly #rules: BundleRules;
  /** Certificates in DER, base64, and where they stand. */
  readonly #places = new Map<string, Place>();
  readonly #certificates: X509Certificate[] = [];
  /** How many were given, good or not. */
  #given = 0;

  constructor(rules: BundleRules) {
    this.#rules = rules;
  }

  /** Takes one in, or puts its faults on the list. Undefined where it can't be read at all. */
  add(der: Buffer, place: Place): X509Certificate | undefined {
    this.#given += 1;
    if (this.#given > MAX_AUTHORITIES) {
      if (this.#given === MAX_AUTHORITIES + 1) place.fault('there are too many', NUMBER_RULE);
      return undefined;
    }
    const certificate = readCertificate(der);
    if (certificate === undefined) return place.fault('it is no X.509 certificate', CERTIFICATE_RULE);
    const text = der.toString('base64');
    const earlier = this.#places.get(text);
    if (earlier !== undefined) {
      // Bundles are joined with cat, and the same root is often in two of the files.
      const problem = `it is the same as the one at ${earlier.path}`;
      this.#rules.warn({ path: place.path, problem, rule: 'it is taken once' });
      return certificate;
    }
    this.#places.set(text, place);
    this.#check(certificate, place);
    this.#certificates.push(certificate);
    return certificate;
  }

  /** All that were taken in, DER, in order; at least one of them has not ended. */
  finish(place: Place): Buffer[] | undefined {
    if (this.#given === 0) return place.fault('it has no certificate', NUMBER_RULE);
    if (this.#certificates.length > 0 && this.#certificates.every((one) => this.#hasEnded(one))) {
      return place.fault('every one of its certificates has expired', 'at least one is valid still');
    }
    return this.#certificates.map(({ raw }) => raw);
  }

  #check(certificate: X509Certificate, place: Place): void {
    // OpenSSL's word: basic constraints, and keyCertSign where there is a key usage.
    if (!certificate.ca) place.fault(`${subjectOf(certificate)} is no CA certificate`, CA_RULE);
    if (!hasJwk(certificate)) place.fault(`the key of ${subjectOf(certificate)} is of another type`, KEY_RULE);
    for (const uri of urisOf(certificate)) {
      const rule = `the authority of ${this.#rules.trustDomain} has the URI ${trustDomainId(this.#rules.trustDomain)}, or none of SPIFFE`;
      if (/^spiffe:/i.test(uri) && !isIn(uri, this.#rules.trustDomain)) place.fault(`its URI is ${show(uri)}`, rule);
    }
    if (this.#hasEnded(certificate)) {
      const problem = `${subjectOf(certificate)} expired at ${certificate.validToDate.toISOString()}`;
      this.#rules.warn({ path: place.path, problem, rule: 'nothing that it signed is accepted any more' });
    }
  }

  #hasEnded({ validToDate }: X509Certificate): boolean {
    return validToDate.getTime() < this.#rules.now;
  }
}

/** Undefined for what is none, or has more behind it: OpenSSL would also read PEM, and overlook what follows. */
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
  // Undefined, whatever the types say, where the subject is empty.
  return subject ? show(subject.split('\n').join(', ')) : `the certificate ${serialNumber}`;
}

/** The URI SANs. Node writes those that have a comma, a quote or the like as a JSON string. */
function urisOf({ subjectAltName }: X509Certificate): string[] {
  const names = (subjectAltName ?? '').matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)/g);
  return [...names]
    .filter(([, type]) => type === 'URI')
    .map(([, , value]) => (value!.startsWith('"') ? (JSON.parse(value!) as string) : value!));
}

/** True for the ID of the trust domain and those under it: what is no SPIFFE ID at all is in none. */
function isIn(uri: string, trustDomain: TrustDomain): boolean {
  const id = trustDomainId(trustDomain);
  return uri === id || uri.startsWith(`${id}/`);
}

/**
 * Verifies the path from a new intermediate to a root as Envoy, Go and OpenSSL will: names, key identifiers,
 * signatures,
 * CA flags, path lengths, key usages, dates. Where they differ, or where Sidekey does not know an extension, the path
 * is
 * refused.
 *
 * @see RFC 5280 section 6.1; https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md sections 3 to 5
 */

import type { X509Certificate } from 'node:crypto';
import { printable } from '../../base/index.ts';
import { type TrustDomain, trustDomainId } from '../../spiffe/index.ts';
import { isIssuedBy } from '../authority.ts';
import { CERT_SIGN, type CertificateFields, readCertificateFields } from '../certificate-fields.ts';
import { keyFault } from './keys.ts';

export interface PathTerms {
  readonly trustDomain: TrustDomain;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** A verified path, or the reason why there is none: a sentence. */
export type FoundPath =
  | { readonly path: readonly X509Certificate[]; readonly fault?: undefined }
  | { readonly fault: string };

/** Maximum number of certificates from the intermediate to the root, since each makes every SVID larger. */
const MAX_PATH = 8;
/** Maximum number of paths that are tried; cross-signed certificates allow several. */
const MAX_TRIES = 64;

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

/**
 * The shortest good path from `first` to one of `roots` through `pool`; else the fault of the first bad one.
 * @param isConfigured the roots come from the settings, not from the answer
 */
export function findPath(
  first: X509Certificate,
  pool: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  isConfigured: boolean,
  terms: PathTerms,
): FoundPath {
  const own = faultOf(first, 0, false, terms);
  if (own !== undefined) return { fault: own };
  let fault: string | undefined;
  let tries = 0;
  let paths: X509Certificate[][] = [[first]];
  for (let length = 1; length < MAX_PATH && paths.length > 0; length += 1) {
    const longer: X509Certificate[][] = [];
    for (const path of paths) {
      const last = path.at(-1)!;
      for (const root of roots) {
        if (!isLinked(last, root)) continue;
        const whole = [...path, root];
        const found = pathFault(whole, terms);
        if (found === undefined) return { path: whole };
        fault ??= found;
      }
      const next = pool.filter((one) => !path.includes(one) && !isSelfSigned(one) && isLinked(last, one));
      tries += next.length;
      if (tries > MAX_TRIES) return { fault: `more than ${MAX_TRIES} chains begin at the new certificate` };
      longer.push(...next.map((one) => [...path, one]));
      if (next.length === 0) fault ??= deadEnd(path, pool, roots, isConfigured);
    }
    paths = longer;
  }
  return { fault: fault ?? `the path from the new certificate to a root has more than ${MAX_PATH} certificates` };
}

/** The first fault of a path from an intermediate to a root, a sentence; undefined if there is none. */
function pathFault(path: readonly X509Certificate[], terms: PathTerms): string | undefined {
  for (const [i, certificate] of path.entries()) {
    const isLast = i === path.length - 1;
    const fault = isLast ? rootFault(certificate, terms, i) : faultOf(certificate, i, false, terms);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/**
 * The fault of a certificate as a root of the bundle; undefined if there is none.
 * @param below how many CAs of the path are under it
 */
export function rootFault(root: X509Certificate, terms: PathTerms, below = 0): string | undefined {
  if (!isSelfSigned(root)) return `${nameOf(root)} is not self-signed, so it is not a root`;
  return faultOf(root, below, true, terms);
}

export function isSelfSigned(certificate: X509Certificate): boolean {
  return isLinked(certificate, certificate);
}

function isLinked(certificate: X509Certificate, issuer: X509Certificate): boolean {
  // An Ed25519 or DSA key, or one that OpenSSL cannot read, throws.
  try {
    return isIssuedBy(certificate, { certificate: issuer, publicKey: issuer.publicKey });
  } catch {
    return false;
  }
}

/** Why the path has no next certificate. */
function deadEnd(
  path: readonly X509Certificate[],
  pool: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  isConfigured: boolean,
): string {
  const last = path.at(-1)!;
  const end = path.length === 1 ? 'the new certificate' : nameOf(last);
  const others = [...roots, ...pool].filter((one) => one !== last);
  const named = others.find((one) => one.subject === last.issuer);
  if (named !== undefined && isSelfSigned(named) && !roots.includes(named) && isLinked(last, named)) {
    return `the chain ends at the root ${nameOf(named)}, which is not in the bundle file`;
  }
  if (named !== undefined) {
    return `the chain does not link: ${end} names ${nameOf(named)} as its issuer, but that one's key did not sign it`;
  }
  const remedy = isConfigured
    ? 'add it to the answer, or its root to the bundle file'
    : 'the upstream has to give the whole chain up to a self-signed root, or a bundle file (--upstream-bundle-file) has to name the root';
  return `the chain ends at ${end}, which is not self-signed, and its issuer ${quoted(last.issuer)} is missing: ${remedy}`;
}

/** @param below how many CAs of the path are under it */
function faultOf(
  certificate: X509Certificate,
  below: number,
  isRoot: boolean,
  { trustDomain, now }: PathTerms,
): string | undefined {
  const isNew = below === 0 && !isRoot;
  const name = isNew ? 'the new certificate' : nameOf(certificate);
  let fields: CertificateFields;
  try {
    fields = readCertificateFields(certificate.raw);
  } catch (error) {
    return `${name} cannot be read: ${(error as Error).message}`;
  }
  const { isCa, pathLength, keyUsage, extendedKeyUsage, uris } = fields;
  if (!isCa) return `${name} is not a CA certificate (its basic constraints lack CA:TRUE)`;
  if (pathLength !== undefined && pathLength < below) {
    const cas = pathLength === 0 ? 'no CA' : `no more than ${pathLength} CAs`;
    return `${name} has path length ${pathLength}: it allows ${cas} under it, and ${below} ${below === 1 ? 'is' : 'are'} in the chain`;
  }
  if (keyUsage === undefined ? isNew : (keyUsage & CERT_SIGN) === 0) {
    return `${name} may not sign certificates (its key usage lacks keyCertSign)`;
  }
  if (extendedKeyUsage !== undefined) {
    const isEnough = [SERVER_AUTH, CLIENT_AUTH].every((usage) => extendedKeyUsage.includes(usage));
    if (!isEnough)
      return `${name} has an extended key usage without serverAuth and clientAuth, so no SVID under it is accepted`;
  }
  const dates = dateFault(certificate, name, now);
  if (dates !== undefined) return dates;
  const key = keyFault(certificate.publicKey);
  if (key !== undefined) return `the key of ${name} ${key}`;
  if (!isRoot && /sha-?1|md\d/i.test(certificate.signatureAlgorithm ?? '')) {
    return `${name} is signed with ${certificate.signatureAlgorithm}, which proxies refuse`;
  }
  if (fields.unknownCritical.length > 0) {
    return `${name} has a critical extension that Sidekey does not know: ${fields.unknownCritical.join(', ')}`;
  }
  if (fields.hasNameConstraints) {
    return `${name} has name constraints, which Sidekey does not support: use an issuer without them`;
  }
  if (fields.isNameless) return `${name} has an empty subject, and certificate paths are looked up by name`;
  if (isNew && fields.keyId === undefined) return `${name} has no subject key identifier`;
  return nameFault(name, uris, isNew, trustDomain);
}

function dateFault({ validFromDate, validToDate }: X509Certificate, name: string, now: number): string | undefined {
  const at = new Date(now).toISOString();
  if (now < validFromDate.getTime()) {
    return `${name} is not valid before ${validFromDate.toISOString()}, and it is ${at} here: compare the clocks`;
  }
  if (now >= validToDate.getTime()) return `${name} expired at ${validToDate.toISOString()}, and it is ${at} here`;
  return undefined;
}

/**
 * An authority of another trust domain could sign SVIDs of this one if it came into the bundle. The new certificate has
 * to have the trust domain's ID: the specification says SHOULD, SPIRE and Sidekey's own authorities do.
 */
function nameFault(
  name: string,
  uris: readonly string[],
  isNew: boolean,
  trustDomain: TrustDomain,
): string | undefined {
  const id = trustDomainId(trustDomain);
  const spiffe = uris.filter((uri) => /^spiffe:/i.test(uri));
  const other = spiffe.find((uri) => uri !== id);
  if (other !== undefined) return `${name} belongs to ${quoted(other)}, not to ${id}`;
  if (!isNew || (uris.length === 1 && spiffe.length === 1)) return undefined;
  if (spiffe.length === 0) {
    return `${name} lacks the URI ${id} among its alternative names: the upstream has to keep the names of the CSR`;
  }
  return `${name} has ${uris.length} URIs among its alternative names; it may have only ${id}`;
}

/** A certificate in a sentence, by the last part of its subject. */
function nameOf({ subject }: X509Certificate): string {
  return quoted(subject);
}

/** A distinguished name on one line, cut off at a maximum length, since the upstream chooses it. */
function quoted(name: string): string {
  const line = name.trimEnd().replaceAll('\n', ',');
  const shown = printable(line.slice(0, 200));
  return `"${shown}"`;
}

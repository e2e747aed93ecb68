/**
 * Verifies the certificate of an agent up to an authority of the operator's. Node verifies chains only in TLS, so the rules
 * are here: what this code does not know is refused.
 *
 * @see RFC 5280 section 6.1; names constraints and policies are not supported
 */

import type { X509Certificate } from 'node:crypto';
import { DerReader, extensionsOf, TAG } from '../../ca/index.ts';
import { AttestationError } from './types.ts';

/** A certificate with those of its extensions that Node does not show. */
export interface ChainLink {
  readonly certificate: X509Certificate;
  /** Bits of the key usage, the first one highest; undefined: it has none, which allows all. */
  readonly keyUsage: number | undefined;
  /** Maximum number of authorities below it, apart from those that it issued itself for. */
  readonly pathLength: number;
}

const DIGITAL_SIGNATURE = 0x80;
const CERTIFICATE_SIGN = 0x04;

const KEY_USAGE = '551d0f';
const BASIC_CONSTRAINTS = '551d13';
const NAME_CONSTRAINTS = '551d1e';
/** Extensions that may be critical: key usage, basic constraints, subject alternative name, extended key usage. */
const KNOWN: readonly string[] = [KEY_USAGE, BASIC_CONSTRAINTS, '551d11', '551d25'];

/** @throws AttestationError if it has an extension that must not be ignored; Error if it is malformed */
export function readLink(certificate: X509Certificate): ChainLink {
  let keyUsage: number | undefined;
  let pathLength = Number.POSITIVE_INFINITY;
  for (const { id, critical, value } of extensionsOf(certificate.raw)) {
    if ((critical && !KNOWN.includes(id)) || id === NAME_CONSTRAINTS) {
      throw new AttestationError('a certificate has an extension that is not supported here, such as name constraints');
    }
    if (id === KEY_USAGE) keyUsage = new DerReader(value).contents(TAG.bitString)[1] ?? 0;
    if (id === BASIC_CONSTRAINTS) pathLength = readPathLength(value);
  }
  return { certificate, keyUsage, pathLength };
}

function readPathLength(value: Buffer): number {
  return new DerReader(value).inside(TAG.sequence, (constraints) => {
    if (constraints.tag === TAG.boolean) constraints.contents(TAG.boolean);
    return constraints.tag === undefined ? Number.POSITIVE_INFINITY : constraints.number(TAG.integer);
  });
}

/**
 * The authorities above a leaf, up to one of the roots.
 * @param links the leaf, then certificates that may be between it and a root
 * @throws AttestationError if there is no such chain, or the leaf may not sign
 */
export function findChain(
  [leaf, ...between]: readonly [ChainLink, ...ChainLink[]],
  roots: readonly ChainLink[],
  now: number,
): X509Certificate[] {
  // An agent's certificate says that it may sign: one for encryption alone proves nothing.
  if (((leaf.keyUsage ?? 0) & DIGITAL_SIGNATURE) === 0) {
    throw new AttestationError('the certificate is not for signatures: it needs the key usage digitalSignature');
  }
  if (!isValid(leaf, now)) throw new AttestationError('the certificate has expired, or is not valid yet');
  const chain = climb(leaf, between, roots, now, 0);
  if (chain === undefined) throw new AttestationError('the certificate is of no authority of --agent-x509pop-ca');
  return chain.map(({ certificate }) => certificate);
}

/** @param below number of authorities below the next one */
function climb(
  link: ChainLink,
  between: readonly ChainLink[],
  roots: readonly ChainLink[],
  now: number,
  below: number,
): ChainLink[] | undefined {
  const root = roots.find((one) => issued(one, link, now, below));
  if (root !== undefined) return [root];
  for (const one of between) {
    if (!issued(one, link, now, below)) continue;
    const above = climb(
      one,
      between.filter((other) => other !== one),
      roots,
      now,
      below + 1,
    );
    if (above !== undefined) return [one, ...above];
  }
  return undefined;
}

function issued(authority: ChainLink, { certificate }: ChainLink, now: number, below: number): boolean {
  const { certificate: above, keyUsage = CERTIFICATE_SIGN, pathLength } = authority;
  return (
    above.ca &&
    (keyUsage & CERTIFICATE_SIGN) !== 0 &&
    below <= pathLength &&
    isValid(authority, now) &&
    certificate.checkIssued(above) &&
    certificate.verify(above.publicKey)
  );
}

function isValid({ certificate: { validFromDate, validToDate } }: ChainLink, now: number): boolean {
  return validFromDate.getTime() <= now && now <= validToDate.getTime();
}

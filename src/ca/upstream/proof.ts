/**
 * Verifies an answer before any part of it is used. Upstreams make mistakes: they drop names, end the chain at an
 * intermediate,
 * answer with a leaf, sign under an issuer that may not have CAs below it, and let the child outlive its issuer.
 */

import { createPublicKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { printable, SidekeyError } from '../../base/index.ts';
import { readCertificates } from './answer.ts';
import { findPath, isSelfSigned, type PathTerms, rootFault } from './path.ts';
import { tryLeaf } from './trial.ts';
import type { Minted, UpstreamAnswer } from './upstream.ts';

export interface ProofTerms extends PathTerms {
  /** The key whose certificate was requested. */
  readonly privateKey: KeyObject;
  /** The roots of the settings, at one of which the chain must end; undefined: at a root in the answer. */
  readonly trusted?: readonly X509Certificate[] | undefined;
  /** The minimum remaining lifetime, in milliseconds. */
  readonly leastLife: number;
}

/** A warning may come from the upstream, and goes to the log. */
const MAX_WARNINGS = 8;
const MAX_WARNING_LENGTH = 300;

/**
 * Finds the new certificate by its key, its path to a root, and signs a leaf under it. Certificates may come in any
 * order; unneeded ones are left out.
 * @throws ERR_UPSTREAM with one reason
 */
export async function proveAnswer(answer: UpstreamAnswer, terms: ProofTerms): Promise<Minted> {
  const refuse = (reason: string) => new SidekeyError('ERR_UPSTREAM', `the answer is refused: ${reason}`);
  let pool: X509Certificate[];
  try {
    pool = readCertificates(answer.certificates);
  } catch (error) {
    throw refuse(`it ${(error as Error).message}`);
  }
  const warnings = [...(answer.warnings ?? [])];
  const roots = terms.trusted ?? pool.filter(isSelfSigned);
  const path = choosePath(pool, roots, terms);
  if (typeof path === 'string') throw refuse(path);
  const chain = path.slice(0, -1);
  const root = path.at(-1)!;
  const notBefore = Math.max(...path.map(({ validFromDate }) => validFromDate.getTime()));
  const notAfter = Math.min(...path.map(({ validToDate }) => validToDate.getTime()));
  const left = notAfter - terms.now;
  if (left < terms.leastLife) {
    const shortest = path.find(({ validToDate }) => validToDate.getTime() === notAfter)!;
    throw refuse(
      `its remaining lifetime is too short: ${shortest === chain[0] ? 'it' : 'a certificate above it'} ends in ${seconds(left)} s, and at least ${seconds(terms.leastLife)} s are needed`,
    );
  }
  const leaf = { trustDomain: terms.trustDomain, privateKey: terms.privateKey, notBefore, notAfter };
  try {
    await tryLeaf(chain[0]!, leaf);
  } catch (error) {
    throw refuse((error as Error).message);
  }
  const others = roots.filter((one) => one !== root && isUsable(one, terms, warnings));
  return {
    chain,
    roots: [root, ...others],
    notBefore,
    notAfter,
    warnings: warnings.slice(0, MAX_WARNINGS).map((text) => printable(text.slice(0, MAX_WARNING_LENGTH))),
  };
}

/** The path from the requested certificate to a root, or the reason why there is none. */
function choosePath(
  pool: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  terms: ProofTerms,
): readonly X509Certificate[] | string {
  const key = createPublicKey(terms.privateKey);
  const candidates = pool.filter(({ publicKey }) => publicKey.equals(key));
  if (candidates.length === 0) {
    return pool.length === 1
      ? 'its certificate has another key than the one that was requested'
      : `none of its ${pool.length} certificates has the key that was requested`;
  }
  // The answer may include earlier certificates of the same key.
  candidates.sort((a, b) => b.validToDate.getTime() - a.validToDate.getTime());
  let reason: string | undefined;
  for (const candidate of candidates) {
    if (isSelfSigned(candidate)) {
      reason ??= 'the new certificate is self-signed';
      continue;
    }
    const others = pool.filter((one) => one !== candidate);
    const found = findPath(candidate, others, roots, terms.trusted !== undefined, terms);
    if (found.fault === undefined) return found.path;
    reason ??= found.fault;
  }
  return reason!;
}

/** True for a root that belongs into the bundle. Others, such as an expired one in an old list, are left out. */
function isUsable(root: X509Certificate, terms: PathTerms, warnings: string[]): boolean {
  const fault = rootFault(root, terms);
  if (fault !== undefined) warnings.push(`a root is left out of the bundle: ${fault}`);
  return fault === undefined;
}

function seconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000);
}

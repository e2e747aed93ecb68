/** The roots of another server of the same trust domain, which the bundle carries for a limited time. */

import { X509Certificate } from 'node:crypto';
import { isValidAt, type Problem, SidekeyError } from '../../base/index.ts';
import { type TrustDomain, trustDomainId } from '../../spiffe/index.ts';
import { type Authority, upstreamRoot } from '../authority.ts';
import { readCertificateFields } from '../certificate-fields.ts';
import { pemBlocks } from '../pem.ts';
import type { AuditedMove } from '../types.ts';

export interface CarriedRoot {
  readonly authority: Authority;
  /** When it came into the bundle, and when it leaves it, in milliseconds since the epoch. */
  readonly since: number;
  readonly until: number;
}

/** The stored form of carried roots, by their IDs. */
export interface CarriedState {
  /** Of the first bundle with these roots. */
  readonly sequenceNumber: number;
  readonly roots: Readonly<Record<string, StoredCarriedRoot>>;
}

interface StoredCarriedRoot {
  readonly since: number;
  readonly until: number;
  /** DER in base64. */
  readonly certificate: string;
}

export interface CarriedStore {
  state(): CarriedState;
  /** Stores the state, and in the same write the moves that led to it. */
  save(state: CarriedState, moves: readonly AuditedMove[]): Promise<void>;
}

export const NO_CARRIED: CarriedState = { sequenceNumber: 0, roots: {} };

/** Maximum number of carried roots. SPIRE has two while it rotates. */
export const MAX_CARRIED = 8;
/** The longest time for which a root is carried, in milliseconds. */
export const MAX_CARRIED_MS = 90 * 86_400_000;

const PEM_RULE = 'give the roots of the other server, PEM, as spire-server bundle show prints them';

/**
 * The roots of a PEM text.
 * @param now milliseconds since the epoch
 * @throws ERR_BAD_INPUT with the problem of each certificate
 */
export function readCarriedRoots(text: string, trustDomain: TrustDomain, now: number): Authority[] {
  const problems: Problem[] = [];
  const blocks = pemBlocks(text, 'CERTIFICATE');
  if (blocks.length === 0) problems.push({ path: '/certificates', problem: 'it has no certificate', rule: PEM_RULE });
  if (blocks.length > MAX_CARRIED)
    problems.push({ path: '/certificates', problem: `it has ${blocks.length}`, rule: `give at most ${MAX_CARRIED}` });
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text))
    problems.push({ path: '/certificates', problem: 'it has a private key', rule: 'give certificates only' });
  const roots = new Map<string, Authority>();
  for (const [index, block] of blocks.slice(0, MAX_CARRIED).entries()) {
    try {
      const root = readRoot(block, trustDomain, now);
      roots.set(root.id, root);
    } catch (error) {
      const what = (error as Error).message.replace(/^contains a certificate that /, '');
      const problem = `certificate ${index + 1} ${what}`;
      problems.push({ path: '/certificates', problem, rule: PEM_RULE });
    }
  }
  if (problems.length > 0) throw SidekeyError.badInput(problems);
  return [...roots.values()];
}

function readRoot(block: string, trustDomain: TrustDomain, now: number): Authority {
  const root = upstreamRoot(parse(block));
  const { uris } = readCertificateFields(root.certificate.raw);
  const own = trustDomainId(trustDomain);
  if (uris.some((uri) => uri !== own)) throw new Error(`is of ${uris[0]}, and this trust domain is ${own}`);
  if (!isValidAt(root, now)) throw new Error('is not valid now');
  return root;
}

function parse(block: string): X509Certificate {
  try {
    return new X509Certificate(block);
  } catch {
    throw new Error('cannot be read');
  }
}

/** @throws {Error} if a member is missing or is no root */
export function parseCarriedState(value: unknown): CarriedState {
  const { sequenceNumber, roots } = value as CarriedState;
  const isGood = Object.values(roots).every(
    ({ since, until, certificate }) =>
      Number.isSafeInteger(since) && Number.isSafeInteger(until) && typeof certificate === 'string',
  );
  if (!Number.isSafeInteger(sequenceNumber) || !isGood) throw new Error('the carried roots are damaged');
  for (const { certificate } of Object.values(roots)) upstreamRoot(certificateOf(certificate));
  return { sequenceNumber, roots };
}

/** The roots of a state, in the order in which they came. */
export function carriedRoots({ roots }: CarriedState): CarriedRoot[] {
  return Object.values(roots)
    .map(({ since, until, certificate }) => ({ authority: upstreamRoot(certificateOf(certificate)), since, until }))
    .sort((a, b) => a.since - b.since || (a.authority.id < b.authority.id ? -1 : 1));
}

export function storedRoots(roots: readonly CarriedRoot[]): CarriedState['roots'] {
  return Object.fromEntries(
    roots.map(({ authority, since, until }) => {
      const certificate = authority.certificate.raw.toString('base64');
      return [authority.id, { since, until, certificate }];
    }),
  );
}

function certificateOf(base64: string): X509Certificate {
  return new X509Certificate(Buffer.from(base64, 'base64'));
}

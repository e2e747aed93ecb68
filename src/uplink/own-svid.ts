/** The agent's own SVID and its key, which never leaves this host. The server's answer is checked before it is used. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { authorityKeyIdOf, type KeyPair, KeyPairs, makeCsr } from '../ca/index.ts';
import type { X509SVID } from '../gen/spire/api/types.ts';
import {
  parseSpiffeId,
  type SpiffeId,
  SpiffeIdError,
  type TrustDomain,
  trustDomainId,
  urisOf,
} from '../spiffe/index.ts';
import { Failure } from './failure.ts';
import { MAX_CHAIN } from './limits.ts';

/** Times in milliseconds since the epoch. */
export interface OwnSvid {
  readonly id: SpiffeId;
  /** Leaf and intermediates, PEM. */
  readonly certificateChain: string;
  /** PKCS#8, PEM. */
  readonly privateKey: string;
  /** Key identifiers of the authorities above it, lower-case hex. */
  readonly authorityIds: readonly string[];
  readonly notBefore: number;
  readonly notAfter: number;
  /** The agent may attest itself again, and must instead of a renewal. */
  readonly reattestable: boolean;
}

/** A new key of this host with its request. */
export interface Requested {
  readonly keyPair: KeyPair;
  readonly csr: Buffer;
}

export async function requestSvid(): Promise<Requested> {
  const keyPair = await new KeyPairs().make('ec-p256');
  return { keyPair, csr: await makeCsr(keyPair) };
}

interface Answered {
  readonly svid: X509SVID | undefined;
  readonly requested: Requested;
  /** Roots of the own trust domain, DER. */
  readonly roots: readonly Buffer[];
  readonly trustDomain: TrustDomain;
  /** The ID of the SVID that is renewed; undefined: any agent's. */
  readonly id: SpiffeId | undefined;
  readonly reattestable: boolean;
  readonly now: number;
}

/** @throws Failure if the SVID is not one for this key and an agent of this trust domain */
export function acceptSvid({
  svid,
  requested: { keyPair },
  roots,
  trustDomain,
  id,
  reattestable,
  now,
}: Answered): OwnSvid {
  const refuse = (problem: string) => Failure.protocol(`the SVID that it made for this agent ${problem}`);
  if (svid === undefined || svid.certChain.length === 0) throw refuse('is missing');
  if (svid.certChain.length > MAX_CHAIN) throw refuse(`has more than ${MAX_CHAIN} certificates`);
  const chain = svid.certChain.map((der) => {
    try {
      return new X509Certificate(der);
    } catch {
      throw refuse('has a certificate that cannot be read');
    }
  });
  const [leaf, ...above] = chain as [X509Certificate, ...X509Certificate[]];
  if (!leaf.publicKey.export({ type: 'spki', format: 'der' }).equals(keyPair.spki)) throw refuse('is for another key');
  const found = idOf(leaf, trustDomain);
  if (found === undefined || leaf.ca) throw refuse(`is not of an agent of ${trustDomainId(trustDomain)}`);
  if (id !== undefined && found !== id) throw refuse(`is of another agent than ${id}`);
  if (above.some(({ ca }) => !ca)) throw refuse('has a certificate above it that is not of an authority');
  const authorities = roots.map((der) => new X509Certificate(der));
  const isWhole = chain.every((one, at) => {
    const issuers = at + 1 < chain.length ? [chain[at + 1]!] : authorities;
    return issuers.some((issuer) => one.checkIssued(issuer) && one.verify(issuer.publicKey));
  });
  if (!isWhole) throw refuse('is under no root of its bundle');
  const own = read(chain, found, reattestable);
  if (now < own.notBefore || now >= own.notAfter)
    throw new Failure('clock', `the server's SVID for this agent ${clocks(own, now)}`);
  const key = createPrivateKey({ key: keyPair.pkcs8, format: 'der', type: 'pkcs8' });
  return { ...own, privateKey: key.export({ type: 'pkcs8', format: 'pem' }) as string };
}

/** Reads a kept one. @throws Error */
export function readSvid(
  kept: Pick<OwnSvid, 'certificateChain' | 'privateKey' | 'reattestable'>,
  trustDomain: TrustDomain,
): OwnSvid {
  const blocks = kept.certificateChain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g) ?? [];
  const chain = blocks.map((block) => new X509Certificate(block));
  const [leaf] = chain;
  if (leaf === undefined) throw new Error('it has no certificate');
  const id = idOf(leaf, trustDomain);
  if (id === undefined) throw new Error(`its certificate is not of an agent of ${trustDomainId(trustDomain)}`);
  if (!leaf.checkPrivateKey(createPrivateKey(kept.privateKey))) throw new Error('its key is of another certificate');
  return { ...read(chain, id, kept.reattestable), privateKey: kept.privateKey };
}

/** @returns why it is not valid now, for people: the clocks may be apart */
export function clocks({ notBefore, notAfter }: Pick<OwnSvid, 'notBefore' | 'notAfter'>, now: number): string {
  const [from, until, at] = [notBefore, notAfter, now].map((instant) => new Date(instant).toISOString());
  return `is valid from ${from} to ${until}, and this host's clock says ${at}: compare the clocks of both hosts`;
}

/** The SPIFFE ID of the certificate; undefined: it is not one that an agent of this trust domain has. */
function idOf(leaf: X509Certificate, trustDomain: TrustDomain): SpiffeId | undefined {
  const uris = urisOf(leaf);
  if (uris.length !== 1 || !uris[0]!.startsWith(`${trustDomainId(trustDomain)}/spire/agent/`)) return undefined;
  try {
    return parseSpiffeId(uris[0]!);
  } catch (error) {
    if (error instanceof SpiffeIdError) return undefined;
    throw error;
  }
}

function read(chain: readonly X509Certificate[], id: SpiffeId, reattestable: boolean): Omit<OwnSvid, 'privateKey'> {
  return {
    ...{ id, reattestable },
    certificateChain: chain.map(String).join(''),
    authorityIds: chain.map(authorityKeyIdOf),
    notBefore: chain[0]!.validFromDate.getTime(),
    notAfter: Math.min(...chain.map(({ validToDate }) => validToDate.getTime())),
  };
}

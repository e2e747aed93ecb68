/**
 * SVIDs that another server signed for keys of this host. Its answer is checked before a proxy gets it: the key, the
 * SPIFFE ID, the chain up to a root of the bundle, and the dates.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md section 5.2
 */

import { X509Certificate } from 'node:crypto';
import { SidekeyError } from '../base/index.ts';
import { type SpiffeId, urisOf } from '../spiffe/index.ts';
import { isIssuedBy } from './authority.ts';
import { authorityKeyIdOf } from './extensions.ts';
import type { KeyPair } from './key-pair.ts';
import { pem } from './pem.ts';
import { renewalOf } from './svid-terms.ts';
import type { SvidRequest, X509Svid } from './types.ts';

export interface ReceivedSvid {
  readonly request: SvidRequest;
  readonly keyPair: Pick<KeyPair, 'spki' | 'pkcs8'>;
  /** Leaf, then the chain without the root, DER. */
  readonly certificates: readonly Buffer[];
  /** The roots that it may be under, DER. */
  readonly roots: readonly Buffer[];
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Returns a number in [0, 1), for the renewal. */
  readonly random: () => number;
}

/** More would be no chain of a workload. */
const MOST_CERTIFICATES = 8;

/** The SVID with its key. @throws ERR_CA if the answer is not what was asked for, or proxies would refuse it */
export function receivedSvid(received: ReceivedSvid): X509Svid {
  const { request, keyPair, now } = received;
  const { entryId, grant = entryId, spiffeId } = request;
  const chain = chainOf(received);
  const [leaf] = chain as [X509Certificate];
  const notBefore = leaf.validFromDate.getTime();
  const notAfter = Math.min(...chain.map(({ validToDate }) => validToDate.getTime()));
  if (now < notBefore || now >= notAfter) {
    const when = `it is valid from ${leaf.validFrom} to ${new Date(notAfter).toISOString()}`;
    throw refused(spiffeId, `${when}, and this host's clock says ${new Date(now).toISOString()}`);
  }
  return {
    ...{ entryId, grant, spiffeId, notBefore, notAfter },
    certificateChain: chain.map(({ raw }) => pem('CERTIFICATE', raw)).join(''),
    privateKey: pem('PRIVATE KEY', keyPair.pkcs8),
    serial: leaf.serialNumber.toLowerCase(),
    authorityId: authorityKeyIdOf(leaf),
    renewAt: renewalOf({ now, notAfter, endsWithEntry: notAfter === request.notAfter }, received.random),
  };
}

function chainOf({ request: { spiffeId }, keyPair, certificates, roots }: ReceivedSvid): X509Certificate[] {
  if (certificates.length === 0 || certificates.length > MOST_CERTIFICATES) {
    throw refused(spiffeId, `it has ${certificates.length} certificates, not 1 to ${MOST_CERTIFICATES}`);
  }
  let chain: X509Certificate[];
  try {
    chain = certificates.map((der) => new X509Certificate(der));
  } catch (cause) {
    throw refused(spiffeId, 'one of its certificates cannot be read', cause);
  }
  const [leaf, ...above] = chain as [X509Certificate, ...X509Certificate[]];
  if (!leaf.publicKey.export({ type: 'spki', format: 'der' }).equals(keyPair.spki)) {
    throw refused(spiffeId, 'its key is not the requested one');
  }
  const uris = urisOf(leaf);
  if (uris.length !== 1 || uris[0] !== spiffeId)
    throw refused(spiffeId, `it is for ${uris.join(', ') || 'no SPIFFE ID'}`);
  if (leaf.ca) throw refused(spiffeId, 'it is the certificate of an authority');
  if (above.some(({ ca }) => !ca)) throw refused(spiffeId, 'a certificate above it is not of an authority');
  const links = chain.every((certificate, at) => {
    const issuer = chain[at + 1];
    if (issuer !== undefined) return isIssuedBy(certificate, { certificate: issuer, publicKey: issuer.publicKey });
    return roots.some((der) => {
      const root = new X509Certificate(der);
      return isIssuedBy(certificate, { certificate: root, publicKey: root.publicKey });
    });
  });
  if (!links) throw refused(spiffeId, 'its chain does not end at a root of the trust domain');
  return chain;
}

function refused(spiffeId: SpiffeId, problem: string, cause?: unknown): SidekeyError {
  return new SidekeyError('ERR_CA', `the SVID that the server made for ${spiffeId} is refused: ${problem}`, { cause });
}

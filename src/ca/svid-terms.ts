/** The terms of an SVID: its trust domain, start, end and renewal. */

import { type Clock, SidekeyError } from '../base/index.ts';
import { type SvidKeyType, type TrustDomain, trustDomainOf } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { LeafRequest } from './leaf.ts';
import type { MadeLeaf } from './leaf-batch.ts';
import type { Signer } from './signer.ts';
import type { SvidRequest, X509Svid } from './types.ts';

export interface SvidTermsOptions {
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  readonly log: Log;
  /** Default lifetime of an SVID, in seconds. */
  readonly x509SvidTtl: number;
  /** Default type of an SVID's key. */
  readonly x509SvidKeyType: SvidKeyType;
  /** Returns a number in [0, 1). */
  readonly random: () => number;
}

/** A request without its key. */
type Terms = Pick<SvidRequest, 'entryId' | 'spiffeId' | 'dnsNames' | 'ttl' | 'notAfter'>;

/** Maximum shift of a renewal, as a fraction of half a life. */
const JITTER = 0.1;
/** Maximum number of remembered entries; beyond it, warnings may repeat. */
const WARNED = 10_000;
const NEVER = Number.POSITIVE_INFINITY;

/**
 * When to renew an SVID: after half its life, with jitter; Infinity if it ends with its entry, since a new one would too.
 * @param now when it was issued, in milliseconds since the epoch @param random returns a number in [0, 1)
 */
export function renewalOf(
  { now, notAfter, endsWithEntry }: { now: number; notAfter: number; endsWithEntry: boolean },
  random: () => number,
): number {
  const halfLife = (notAfter - now) / 2;
  return endsWithEntry ? NEVER : Math.round(now + halfLife * (1 + JITTER * (2 * random() - 1)));
}

export class SvidTerms {
  readonly #options: SvidTermsOptions;
  /** Entries whose shortened SVIDs were warned of. */
  readonly #warned = new Set<string>();

  constructor(options: SvidTermsOptions) {
    this.#options = options;
  }

  /**
   * Determines the contents of an SVID. @throws ERR_CA if the ID is in another trust domain, or the entry has expired
   */
  request(request: SvidRequest, signer: Signer): LeafRequest {
    return { ...this.terms(request, signer), keyType: this.keyType(request) };
  }

  /** The same, whatever the key. @throws ERR_CA */
  terms(request: Terms, signer: Signer): Omit<LeafRequest, 'keyType'> {
    const { spiffeId, dnsNames } = request;
    const { trustDomain, clock } = this.#options;
    if (trustDomainOf(spiffeId) !== trustDomain) {
      throw new SidekeyError('ERR_CA', `${spiffeId} is not in the trust domain ${trustDomain}`);
    }
    const now = clock.now();
    return { spiffeId, dnsNames, now, notAfter: this.#endOf(request, signer, now) };
  }

  keyType({ keyType }: Pick<SvidRequest, 'keyType'>): SvidKeyType {
    return keyType === '' ? this.#options.x509SvidKeyType : keyType;
  }

  /** Builds the SVID from its request and the signed leaf. */
  svid(request: SvidRequest, leaf: MadeLeaf, { now, notAfter: asked }: LeafRequest, signer: Signer): X509Svid {
    const { entryId, grant = entryId, spiffeId } = request;
    const { certificateChain, privateKey, serial, notBefore, notAfter } = leaf;
    const endsWithEntry = asked === request.notAfter;
    return {
      ...{ entryId, grant, spiffeId, certificateChain, privateKey, serial, authorityId: signer.id },
      ...{ notBefore, notAfter, renewAt: renewalOf({ now, notAfter, endsWithEntry }, this.#options.random) },
    };
  }

  /** The requested end, limited by those of the entry and the authority; in milliseconds since the epoch. */
  #endOf({ entryId, spiffeId, ttl, notAfter }: Terms, signer: Signer, now: number): number {
    if (notAfter !== 0 && notAfter <= now) throw new SidekeyError('ERR_CA', `the entry ${entryId} has expired`);
    const asked = now + (ttl === 0 ? this.#options.x509SvidTtl : ttl) * 1000;
    const wanted = notAfter === 0 ? asked : Math.min(asked, notAfter);
    if (wanted <= signer.notAfter) return wanted;
    if (!this.#warned.has(entryId)) {
      if (this.#warned.size >= WARNED) this.#warned.clear();
      this.#warned.add(entryId);
      this.#options.log.warn(
        { entry_id: entryId, spiffe_id: spiffeId, asked: new Date(wanted), not_after: new Date(signer.notAfter) },
        'SVID expires earlier than requested, because its intermediate does; use a TTL of at most half of --ca-ttl',
      );
    }
    return signer.notAfter;
  }
}

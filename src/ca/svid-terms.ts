/** What stands in an SVID: the trust domain that it may be of, and when it begins, is renewed and ends. */

import type { Clock } from '../base/clock.ts';
import { SidekeyError } from '../base/errors.ts';
import { type TrustDomain, trustDomainOf } from '../spiffe/id.ts';
import type { Log } from '../telemetry/log.ts';
import type { Authority } from './authority.ts';
import type { LeafRequest } from './leaf.ts';
import type { MadeLeaf } from './leaf-batch.ts';
import type { SvidRequest, X509Svid } from './types.ts';

export interface SvidTermsOptions {
  readonly trustDomain: TrustDomain;
  readonly clock: Clock;
  readonly log: Log;
  /** The default, in seconds. */
  readonly x509SvidTtl: number;
  /** From 0 (included) to 1 (not included). */
  readonly random: () => number;
}

/** How far renewals spread, as a part of half a life. */
const JITTER = 0.1;
/** Of more entries than this, some are warned of again. */
const WARNED = 10_000;
const NEVER = Number.POSITIVE_INFINITY;

export class SvidTerms {
  readonly #options: SvidTermsOptions;
  /** Entries whose cut lives were warned of. */
  readonly #warned = new Set<string>();

  constructor(options: SvidTermsOptions) {
    this.#options = options;
  }

  /** What is to be signed. @throws ERR_CA for another trust domain's ID, or an entry that has ended */
  request(request: SvidRequest, authority: Authority): LeafRequest {
    const { spiffeId, dnsNames } = request;
    const { trustDomain, clock } = this.#options;
    if (trustDomainOf(spiffeId) !== trustDomain) {
      throw new SidekeyError('ERR_CA', `${spiffeId} is not of the trust domain ${trustDomain}`);
    }
    const now = clock.now();
    return { spiffeId, dnsNames, now, notAfter: this.#endOf(request, authority, now) };
  }

  /** The SVID of what was signed. */
  svid(request: SvidRequest, leaf: MadeLeaf, { now, notAfter: asked }: LeafRequest, authority: Authority): X509Svid {
    const { entryId, spiffeId } = request;
    const { certificateChain, privateKey, serial, notBefore, notAfter } = leaf;
    const halfLife = (notAfter - now) / 2;
    const renewAt = Math.round(now + halfLife * (1 + JITTER * (2 * this.#options.random() - 1)));
    const endsWithEntry = asked === request.notAfter;
    return {
      ...{ entryId, spiffeId, certificateChain, privateKey, serial, authorityId: authority.id },
      ...{ notBefore, notAfter, renewAt: endsWithEntry ? NEVER : renewAt },
    };
  }

  /** As asked, but no later than its entry and its authority; in milliseconds since the epoch. */
  #endOf({ entryId, spiffeId, ttl, notAfter }: SvidRequest, authority: Authority, now: number): number {
    if (notAfter !== 0 && notAfter <= now) throw new SidekeyError('ERR_CA', `the entry ${entryId} has ended`);
    const asked = now + (ttl === 0 ? this.#options.x509SvidTtl : ttl) * 1000;
    const wanted = notAfter === 0 ? asked : Math.min(asked, notAfter);
    if (wanted <= authority.notAfter) return wanted;
    if (!this.#warned.has(entryId)) {
      if (this.#warned.size >= WARNED) this.#warned.clear();
      this.#warned.add(entryId);
      this.#options.log.warn(
        { entry_id: entryId, spiffe_id: spiffeId, asked: new Date(wanted), not_after: new Date(authority.notAfter) },
        'an SVID ends earlier than asked, since its authority does; ask for less than half of the CA TTL',
      );
    }
    return authority.notAfter;
  }
}

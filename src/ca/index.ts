/** The certificate authority of one trust domain: {@link openCertificateAuthority}. */

import type { Clock } from '../base/clock.ts';
import type { TrustDomain } from '../spiffe/id.ts';
import type { Log } from '../telemetry/log.ts';
import { Authorities } from './authorities.ts';
import { Issuer } from './issuer.ts';
import { KeyStore } from './key-store.ts';
import { parseName } from './name.ts';
import type { CertificateAuthority, IssuanceLog } from './types.ts';

export interface CertificateAuthorityOptions {
  readonly trustDomain: TrustDomain;
  /** Where authorities are kept; made with mode 0700 if it isn't there. Nothing else may be kept there. */
  readonly dir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly issuanceLog: IssuanceLog;
  /** How long an intermediate lives, in seconds. */
  readonly caTtl: number;
  /** How long an SVID lives whose entry does not say, in seconds. */
  readonly x509SvidTtl: number;
  /** `C=US,O=SPIFFE`: what the subjects of new authorities begin with. */
  readonly caSubject: string;
  /** Spreads the renewals; from 0 (included) to 1 (not included). */
  readonly random?: () => number;
  /** For tests: another program for the second thread; see `LeafThread`. */
  readonly threadFile?: string | undefined;
}

/** True if authorities are kept in this directory; false where it isn't there. */
export { hasAuthorities } from './key-store.ts';

/** The longest life of an SVID that is always kept, in seconds: an intermediate signs until half of its own is over. */
export function longestKeptSvidTtl(caTtl: number): number {
  return Math.floor(caTtl / 2);
}

/**
 * Opens the authority, making what is missing: at first a root, then an intermediate under it.
 * @throws ERR_CONFIG for a subject that breaks a rule; ERR_CA for a stored authority that can't be used, with the file
 *   and what mends it
 */
export async function openCertificateAuthority(options: CertificateAuthorityOptions): Promise<CertificateAuthority> {
  const { trustDomain, dir, clock, log, issuanceLog, caTtl, x509SvidTtl, random = Math.random, threadFile } = options;
  const subject = parseName(options.caSubject, 'caSubject');
  const store = await KeyStore.open(dir, trustDomain);
  const authorities = await Authorities.open({ trustDomain, store, clock, log, caTtl, subject });
  const issuer = new Issuer({ trustDomain, authorities, issuanceLog, clock, log, x509SvidTtl, random, threadFile });
  return {
    trustDomain,
    issue: (request) => issuer.issue(request),
    bundle: () => authorities.bundle(),
    authorities: () => authorities.list(),
    onBundleChange: (listener) => authorities.bundleChange.add(listener),
    onReplaced: (listener) => authorities.replaced.add(listener),
    close: async () => {
      await issuer.close();
      await authorities.close();
    },
  };
}

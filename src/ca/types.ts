/** What the certificate authority gives out and what it needs. */

import type { IssuanceRecord } from '../base/issuance.ts';
import type { TrustBundle } from '../spiffe/bundle.ts';
import type { SpiffeId, TrustDomain } from '../spiffe/id.ts';

export type { TrustBundle } from '../spiffe/bundle.ts';

/** What to issue. Only the registry's entry decides what stands in it. */
export interface SvidRequest {
  readonly entryId: string;
  readonly spiffeId: SpiffeId;
  readonly dnsNames: readonly string[];
  /** Seconds; 0: the authority's default. */
  readonly ttl: number;
  /** The SVID ends by then, in milliseconds since the epoch; 0: no such end. */
  readonly notAfter: number;
}

/**
 * An X.509-SVID with its key. Times in milliseconds since the epoch, on whole seconds. Its PEM is text, since that lies in
 * V8's heap: buffers of their own for ten thousand SVIDs have the garbage collector stop the event loop.
 */
export interface X509Svid {
  readonly entryId: string;
  readonly spiffeId: SpiffeId;
  /** Leaf, then intermediate, PEM. */
  readonly certificateChain: string;
  /** PKCS#8, PEM. */
  readonly privateKey: string;
  /** Lower-case hex. */
  readonly serial: string;
  /** The signing authority's subject key identifier, lower-case hex. */
  readonly authorityId: string;
  readonly notBefore: number;
  readonly notAfter: number;
  /** When it is to be renewed: half its life, with jitter; infinity if it ends with its entry, as a new one would. */
  readonly renewAt: number;
}

/** An authority, root or intermediate, as `GET /v1/doctor` and the log tell of it. Times in milliseconds since the epoch. */
export interface AuthorityInfo {
  readonly id: string;
  readonly role: 'root' | 'intermediate';
  readonly notBefore: number;
  readonly notAfter: number;
  readonly subject: string;
}

/** Where issuances go on record; the promise is kept when they are durable. */
export interface IssuanceLog {
  recordIssuances(records: readonly IssuanceRecord[]): Promise<void>;
}

/** Signs SVIDs under the live intermediate. */
export interface CertificateAuthority {
  readonly trustDomain: TrustDomain;
  /** On record when the promise is kept. @throws ERR_CA when nothing may be signed; ERR_STORE when it can't be recorded */
  issue(request: SvidRequest): Promise<X509Svid>;
  bundle(): TrustBundle;
  authorities(): AuthorityInfo[];
  onBundleChange(listener: (bundle: TrustBundle) => void): () => void;
  /**
   * Told when SVIDs of an earlier authority should be replaced at once (a root that ended was replaced): everything
   * that `issue` gave before is to be issued anew.
   */
  onReplaced(listener: () => void): () => void;
  close(): Promise<void>;
}

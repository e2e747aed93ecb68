/** Revocation of single X.509-SVIDs, as the admin API uses it. */

import type { Actor } from '../audit/index.ts';
import type { Revocation, RevocationReason } from '../base/index.ts';
import type { RevocationListInfo } from '../ca/index.ts';
import type { IssuanceTarget } from '../registry/index.ts';

/** What to revoke: one certificate, or all unexpired ones that were issued for a SPIFFE ID or for an entry. */
export type RevocationTarget = IssuanceTarget;

export interface RevokeOptions {
  readonly reason: RevocationReason;
  readonly by: Actor;
  /** Publish the lists at once, before the holders of revoked SVIDs have new ones. */
  readonly immediately?: boolean;
  /** How long to wait for proxies to acknowledge the lists, in milliseconds. */
  readonly waitMs?: number;
}

/** What is known of the streams of other hosts, by their agents. */
export interface Fleet {
  /** Those of these SPIFFE IDs of which a stream may still use a revoked SVID. */
  holders(spiffeIds: ReadonlySet<string>): Set<string>;
  /** What the streams of each agent do with the bundle of this number. */
  revocations(
    sequenceNumber: number,
  ): Iterable<Pick<RevocationProxy, 'state' | 'since' | 'rejection'> & { readonly agent: string }>;
}

/** What a connected proxy does with the present lists. */
export interface RevocationProxy {
  /** 0 for an agent of another host, which stands for all its streams. */
  readonly pid: number;
  readonly uid: number;
  /** Its node ID. */
  readonly node: string | undefined;
  /** The name of the secret, or the method of the Workload API. */
  readonly name: string;
  /**
   * `refusing`: it acknowledged the lists. `informed`: it read them over the Workload API, whose clients may ignore them.
   * `waiting`: it was sent them, or is about to be. `unreachable`: it requests no bundle that has them.
   */
  readonly state: 'refusing' | 'informed' | 'waiting' | 'unreachable';
  /** Since when it refuses, or when it read the lists, in milliseconds since the epoch; undefined in other states. */
  readonly since: number | undefined;
  /** The error text of its NACK; undefined if it sent none. */
  readonly rejection: string | undefined;
}

export interface RevocationOutcome {
  /** Those that were revoked, or restored, by this call. */
  readonly changed: readonly Revocation[];
  /** The number of certificates that the target names and that were revoked before. */
  readonly already: number;
  /** The number of holders' SPIFFE IDs that got new SVIDs first, and how many of them acknowledged them in time. */
  readonly replaced: { readonly asked: number; readonly acknowledged: number };
  /** When the lists were published, in milliseconds since the epoch. */
  readonly publishedAt: number;
  readonly proxies: readonly RevocationProxy[];
}

export interface Revoker {
  /** Why no certificate can be revoked now, with the remedy; undefined if one can. */
  whyNot(): string | undefined;
  /**
   * Revokes the unexpired certificates that the target names. They are recorded when the promise resolves, and the lists
   * are published.
   * @throws ERR_NOT_FOUND if no unexpired certificate is on record; ERR_REVOCATION if they cannot be revoked, or too many
   * are; ERR_STORE; ERR_CA
   */
  revoke(target: RevocationTarget, options: RevokeOptions): Promise<RevocationOutcome>;
  /**
   * Revokes no more: only a certificate that was revoked with the reason `certificate-hold`.
   * @throws ERR_NOT_FOUND; ERR_REVOCATION if its reason is another one; ERR_STORE; ERR_CA
   */
  restore(serial: string, options: Pick<RevokeOptions, 'by' | 'waitMs'>): Promise<RevocationOutcome>;
  /** The unexpired revocations, newest first. */
  list(): readonly Revocation[];
  lists(): readonly RevocationListInfo[];
  /** What each connected proxy does with the present lists. */
  proxies(): readonly RevocationProxy[];
}

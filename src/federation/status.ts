/** What is known of a relationship besides its parameters. */

import type { TrustDomain } from '../spiffe/index.ts';
import type { FetchFailure } from './fetch-error.ts';

export const RELATIONSHIP_STATES = [
  /** It has not been fetched since the start. */
  'new',
  /** The last fetch succeeded. */
  'fresh',
  /** The last fetch failed; the bundle of the last good one is in use, if there was one. */
  'failing',
  /**
   * The bundle by which the https_spiffe endpoint is known is missing, empty, or no longer its own: only a new one, given by
   * hand, helps.
   */
  'stale-bootstrap',
  /** The partner published a bundle without authorities: none of its SVIDs is trusted. */
  'revoked',
] as const;
export type RelationshipState = (typeof RELATIONSHIP_STATES)[number];

/** Times are milliseconds since the epoch; undefined: not since the start. */
export interface RelationshipStatus {
  readonly state: RelationshipState;
  readonly lastAttemptAt: number | undefined;
  readonly lastSuccessAt: number | undefined;
  /** Undefined while a fetch runs. */
  readonly nextPollAt: number | undefined;
  /** Failures since the last success. */
  readonly failures: number;
  readonly error:
    | { readonly reason: FetchFailure; readonly message: string; readonly fix: string | undefined }
    | undefined;
  /** The address that answered last. */
  readonly address: string | undefined;
  /** Parts of the last document that were ignored. */
  readonly ignored: readonly string[];
}

/** Of `GET /v1/events`. */
export interface RelationshipMove {
  readonly at: number;
  readonly trustDomain: TrustDomain;
  readonly state: RelationshipState;
  readonly before: RelationshipState;
  readonly detail: string | undefined;
}

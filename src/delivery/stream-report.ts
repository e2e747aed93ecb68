/** The state of one stream and its secrets, as in `sidekey proxies` and `GET /v1/proxies`. */

import type { HeldReason } from '../identity/index.ts';
import type { TrustBundle } from '../spiffe/index.ts';

/** The bundles of a message, by what tells their versions apart. */
export type Trust = readonly Pick<TrustBundle, 'trustDomain' | 'sequenceNumber'>[];

/**
 * - `held`: no secret may be sent now; the proxy keeps what it was sent before, if anything
 * - `unknown`: held for ever, since no entry and no bundle can give the name a secret
 * - `sent`: sent, not answered yet
 * - `in_sync`: acknowledged
 * - `rejected`: the last answer was a NACK; the proxy keeps what it had
 * - `stale`: sent {@link STALE_MS} ago or earlier and not answered
 */
export type SecretState = 'held' | 'unknown' | 'sent' | 'in_sync' | 'rejected' | 'stale';

/** After this time without an answer a secret is `stale`, in milliseconds. */
export const STALE_MS = 30_000;

/** One name on one stream. Times in milliseconds since the epoch; undefined if the event has not happened. */
export interface SecretReport {
  readonly name: string;
  readonly state: SecretState;
  /** Why the name is held; `pending` while its secret is looked up or issued. */
  readonly held:
    | {
        readonly reason: HeldReason | 'pending';
        readonly detail: string;
        readonly since: number;
        /** The decision id; undefined while pending. */
        readonly decision: string | undefined;
      }
    | undefined;
  /** The version sent last. */
  readonly version: string | undefined;
  readonly sentAt: number | undefined;
  /** The version acknowledged last. */
  readonly acked: string | undefined;
  readonly ackedAt: number | undefined;
  readonly rejection: { readonly version: string; readonly message: string; readonly at: number } | undefined;
  /** The following fields describe the certificate sent last, if any. */
  readonly spiffeId: string | undefined;
  readonly serial: string | undefined;
  readonly authorityId: string | undefined;
  readonly notBefore: number | undefined;
  readonly notAfter: number | undefined;
  /** The bundles in what was sent last, and in what was acknowledged last, if any. */
  readonly trust: Trust | undefined;
  readonly ackedTrust: Trust | undefined;
}

/** One open stream. */
export interface StreamReport {
  /** Counted from 1 since the start. */
  readonly id: number;
  readonly service: 'sds' | 'ads' | 'workload-api';
  /** The variant of SDS, or what a stream of the Workload API sends. */
  readonly variant: 'sotw' | 'delta' | 'x509-svids' | 'x509-bundles' | 'jwt-bundles';
  /** Milliseconds since the epoch. */
  readonly openedAt: number;
  /** Generated while read, since one stream may have thousands of names. */
  readonly secrets: Iterable<SecretReport>;
}

/** What is known of one stream and of its names, as `sidekey proxies` and `GET /v1/proxies` show it. */

import type { Held, HeldReason } from '../identity/held.ts';
import type { AskedName } from './subscription.ts';
import type { WatchedName } from './watched-names.ts';

/**
 * - `held`: there is nothing for the name now; what was sent before, if anything, the proxy still has
 * - `sent`: on its way, no answer yet
 * - `in_sync`: acknowledged; with no NACK pending, in force
 * - `rejected`: the last answer was a NACK; the proxy goes on with what it had
 * - `stale`: sent {@link STALE_MS} ago or earlier, and never answered
 */
export type SecretState = 'held' | 'sent' | 'in_sync' | 'rejected' | 'stale';

/** A proxy that has not answered for so long, in milliseconds, is not just slow. */
export const STALE_MS = 30_000;

/** One name on one stream. Times in milliseconds since the epoch; undefined where there was none. */
export interface SecretReport {
  readonly name: string;
  readonly state: SecretState;
  /** Why there is nothing for the name; `pending` while it is looked for. */
  readonly held:
    | {
        readonly reason: HeldReason | 'pending';
        readonly detail: string;
        readonly since: number;
        /** The id of the record; undefined while it is pending. */
        readonly decision: string | undefined;
      }
    | undefined;
  /** The version that was sent last. */
  readonly version: string | undefined;
  readonly sentAt: number | undefined;
  /** The version that was acknowledged last. */
  readonly acked: string | undefined;
  readonly ackedAt: number | undefined;
  readonly rejection: { readonly version: string; readonly message: string; readonly at: number } | undefined;
  /** Of a certificate that was sent last. */
  readonly spiffeId: string | undefined;
  readonly serial: string | undefined;
  readonly notBefore: number | undefined;
  readonly notAfter: number | undefined;
}

/** One stream that is open. */
export interface StreamReport {
  /** Counted from 1 since the start. */
  readonly id: number;
  readonly service: 'sds' | 'ads';
  readonly variant: 'sotw' | 'delta';
  /** Milliseconds since the epoch. */
  readonly openedAt: number;
  /** Made while it is read, since one stream may ask for very many. */
  readonly secrets: Iterable<SecretReport>;
}

type Known = Omit<WatchedName, 'name' | 'respelled'>;

/** What is known of a name before its secret is looked for. */
export const NOT_LOOKED_FOR: Known = {
  held: undefined,
  heldSince: 0,
  decision: undefined,
  certificate: undefined,
};

/** What is known of one name on one stream. */
export function reportSecret(asked: AskedName, watched: Known, now: number): SecretReport {
  const { name, version, acked, rejection } = asked;
  const { held, heldSince, decision, certificate } = watched;
  const state = stateOf(asked, watched, now);
  const pending = {
    reason: 'pending',
    detail: 'it is being looked for',
    since: heldSince,
    decision: undefined,
  } as const;
  return {
    name,
    state,
    held: held !== undefined ? reportHeld(held, heldSince, decision?.id) : state === 'held' ? pending : undefined,
    version,
    sentAt: version === undefined || asked.sentAt === 0 ? undefined : asked.sentAt,
    acked,
    ackedAt: acked === undefined ? undefined : asked.ackedAt,
    rejection,
    spiffeId: certificate?.spiffeId,
    serial: certificate?.serial,
    notBefore: certificate?.notBefore,
    notAfter: certificate?.notAfter,
  };
}

function reportHeld({ reason, detail }: Held, since: number, decision: string | undefined): SecretReport['held'] {
  return { reason, detail, since, decision };
}

function stateOf({ version, acked, rejection, sentAt }: AskedName, { held }: Known, now: number): SecretState {
  if (held !== undefined || version === undefined) return 'held';
  if (rejection !== undefined) return 'rejected';
  if (acked === version) return 'in_sync';
  return now - sentAt >= STALE_MS ? 'stale' : 'sent';
}

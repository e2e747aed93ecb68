/** The state of one name on one stream. */

import { type SecretReport, type SecretState, STALE_MS } from '../delivery/index.ts';
import { canCome, type Held } from '../identity/index.ts';
import type { AskedName } from './subscription.ts';
import type { WatchedName } from './watched-names.ts';

type NameState = Omit<WatchedName, 'name' | 'respelled' | 'stopReason' | 'hadSecret'>;

/** The state of a name before its first lookup. */
export const NOT_LOOKED_FOR: NameState = {
  held: undefined,
  heldSince: 0,
  decision: undefined,
  certificate: undefined,
};

/** The report of one name on one stream. */
export function reportSecret(asked: AskedName, watched: NameState, now: number): SecretReport {
  const { name, version, acked, trust, ackedTrust, rejection } = asked;
  const { held, heldSince, decision, certificate } = watched;
  const state = stateOf(asked, watched, now);
  const pending = {
    reason: 'pending',
    detail: 'its secret is being looked up or issued',
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
    authorityId: certificate?.authorityId,
    notBefore: certificate?.notBefore,
    notAfter: certificate?.notAfter,
    trust,
    ackedTrust,
  };
}

function reportHeld({ reason, detail }: Held, since: number, decision: string | undefined): SecretReport['held'] {
  return { reason, detail, since, decision };
}

function stateOf({ version, acked, rejection, sentAt }: AskedName, { held }: NameState, now: number): SecretState {
  if (held !== undefined && !canCome(held)) return 'unknown';
  if (held !== undefined || version === undefined) return 'held';
  if (rejection !== undefined) return 'rejected';
  if (acked === version) return 'in_sync';
  return now - sentAt >= STALE_MS ? 'stale' : 'sent';
}

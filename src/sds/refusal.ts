/** What a caller does not get: what it is told, and the record of why, tied by a decision id. */

import type { Peer } from '../attest/types.ts';
import type { SidekeyError } from '../base/errors.ts';
import type { Caller } from '../identity/caller.ts';
import type { Decisions, Noted } from '../identity/decisions.ts';
import type { DecisionKind } from '../registry/decision.ts';
import type { Log } from '../telemetry/log.ts';
import { Status, StatusError } from '../wire/types.ts';
import type { Node } from './node.ts';

/** Who is told, as a record has it. */
export interface Asker {
  readonly peer: Peer;
  readonly caller: Caller;
  readonly node: Node | undefined;
}

/** A record of what an asker does not get. */
export function notedOf(
  kind: DecisionKind,
  { peer, caller, node }: Asker,
  about: Pick<Noted, 'reason' | 'detail'> & Partial<Pick<Noted, 'name' | 'spiffeId' | 'candidates'>>,
): Noted {
  const { pid, uid, gid } = peer.credentials;
  const who = {
    pid,
    uid,
    gid,
    connection: peer.id,
    node: node?.id,
    facts: caller.recordedSelectors,
    contained: caller.contained,
  };
  return { kind, ...who, name: undefined, spiffeId: undefined, candidates: [], ...about };
}

/** How a text tells which record has the reason. */
export function recordText(decision: string | undefined): string {
  return decision === undefined ? ' (not on record: this caller had too many refusals)' : ` (decision ${decision})`;
}

/** UNAVAILABLE, so that an Envoy tries again. `log` says who the caller is. */
export function refuseCaller(failure: SidekeyError, asker: Asker, decisions: Decisions, log: Log): StatusError {
  const decision = decisions.note(asker.peer.owner, () =>
    notedOf('refused', asker, { reason: failure.code, detail: failure.message }),
  );
  // What refuses callers by a rule does so as often as they come back, and a stack says nothing about it.
  const why = failure.cause === undefined ? { code: failure.code, reason: failure.message } : { err: failure };
  log.warn({ ...why, decision }, 'the caller is refused');
  return new StatusError(Status.UNAVAILABLE, `${failure.message}${recordText(decision)}`, { cause: failure });
}

/** Refusals: the status that the caller gets and the record of the reason, linked by a decision id. */

import type { Peer } from '../attest/index.ts';
import type { SidekeyError } from '../base/index.ts';
import { ErrorInfo } from '../gen/google/rpc/error_details.ts';
import type { Caller, Decisions, Noted } from '../identity/index.ts';
import type { DecisionKind } from '../registry/index.ts';
import type { Log } from '../telemetry/index.ts';
import { Status, type StatusDetail, StatusError } from '../wire/index.ts';
import type { Node } from './node.ts';

/** The caller, as a decision records it. */
export interface Asker {
  readonly peer: Peer;
  readonly caller: Caller;
  readonly node: Node | undefined;
}

/** Builds the record of a hold or a refusal. */
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

/** The part of a message that names the record of the reason. */
export function recordText(decision: string | undefined): string {
  return decision === undefined ? ' (not recorded: too many refusals for this caller)' : ` (decision ${decision})`;
}

const ERROR_INFO_TYPE = 'type.googleapis.com/google.rpc.ErrorInfo';

/**
 * The same for programs: the reason and the decision id.
 * @param reason constant upper-case text; it must tell the caller nothing that the status does not
 * @see google/rpc/error_details.proto
 */
export function refusalDetails(reason: string, decision: string | undefined): StatusDetail[] {
  const metadata: Record<string, string> = decision === undefined ? {} : { decision };
  const info = ErrorInfo.fromPartial({ reason, domain: 'sidekey', metadata });
  return [{ typeUrl: ERROR_INFO_TYPE, value: ErrorInfo.encode(info).finish() }];
}

/** Logs and records the refusal. The status is UNAVAILABLE, so that Envoy tries again. `log` must name the caller. */
export function refuseCaller(failure: SidekeyError, asker: Asker, decisions: Decisions, log: Log): StatusError {
  const { owner, credentials } = asker.peer;
  const decision = decisions.refuse(owner, failure.code, credentials, () =>
    notedOf('refused', asker, { reason: failure.code, detail: failure.message }),
  );
  // Refusals by a rule repeat with every retry, and their stack has no information, so it is not logged.
  const why = failure.cause === undefined ? { code: failure.code, reason: failure.message } : { err: failure };
  log.warn({ ...why, decision }, 'caller refused');
  const options = { cause: failure, details: refusalDetails(failure.code, decision) };
  return new StatusError(Status.UNAVAILABLE, `${failure.message}${recordText(decision)}`, options);
}

/** Refusals of the Workload API, each with a record that says why. */

import { type Asker, notedOf, refusalDetails } from '../delivery/index.ts';
import type { Decisions, Held } from '../identity/index.ts';
import type { Counters, Log } from '../telemetry/index.ts';
import { Status, StatusError } from '../wire/index.ts';

export interface RefusalParts {
  readonly counters: Counters;
  readonly decisions: Decisions;
}

/** The text that clients recognize. @see Workload Endpoint, section 6, and SPIRE's agent */
const NO_IDENTITY = 'no identity issued';

/**
 * The refusal of a caller that has no identity, or whose identity cannot be issued now.
 * @param log names the caller
 */
export function refusalOf(held: Held, asker: Asker, { counters, decisions }: RefusalParts, log: Log): StatusError {
  const isFailure = isPassing(held);
  const text = isFailure ? 'the identity could not be issued' : NO_IDENTITY;
  const decision = decisions.note(asker.peer.owner, () => notedOf('refused', asker, held));
  const { reason, detail } = held;
  log.info({ reason, detail, decision, selectors: asker.caller.shownSelectors }, `caller refused: ${text}`);
  if (!isFailure) counters.add('callers_without_identity_total');
  const details = refusalDetails(isFailure ? 'ISSUANCE_FAILED' : 'NO_IDENTITY', decision);
  return new StatusError(isFailure ? Status.UNAVAILABLE : Status.PERMISSION_DENIED, text, { details });
}

/** True if the caller has an identity, and only the authority, the store or the attestors lack something now. */
export function isPassing({ reason }: Held): boolean {
  return reason === 'issuance-failed' || reason === 'no-bundle' || reason === 'facts-missing';
}

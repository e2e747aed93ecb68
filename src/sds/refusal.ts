/** Refusing a caller: what it is told, and the record of why, tied by a decision id. */

import type { SidekeyError } from '../base/errors.ts';
import { newDecisionId } from '../identity/decision.ts';
import type { Log } from '../telemetry/log.ts';
import { Status, StatusError } from '../wire/types.ts';

/** UNAVAILABLE, so that an Envoy tries again. `log` says who the caller is. */
export function refuseCaller(failure: SidekeyError, log: Log): StatusError {
  const decision = newDecisionId();
  log.warn({ err: failure, decision }, 'the caller is refused');
  return new StatusError(Status.UNAVAILABLE, `${failure.message} (decision ${decision})`, { cause: failure });
}

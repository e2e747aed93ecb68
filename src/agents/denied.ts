/** How calls are denied: agents decide by the reason whether to attest themselves again, to wait, or to end. */

import { PermissionDeniedDetails, PermissionDeniedDetails_Reason } from '../gen/spire/api/types.ts';
import { Status, StatusError } from '../wire/index.ts';
import type { Denial } from './counts.ts';

const TYPE_URL = 'type.googleapis.com/spire.api.types.PermissionDeniedDetails';
const WORDS: Readonly<Record<Denial, string>> = {
  'no-svid': 'this call needs the SVID of an agent',
  expired: 'the SVID of the agent has expired',
  'not-attested': 'the agent is not known here: it was never attested, or was evicted',
  'not-active': 'the agent has a newer SVID than this one, or this one was revoked',
  banned: 'the agent is banned',
  'must-reattest': 'the agent can attest itself again, and must',
};
const REASONS: Readonly<Record<Exclude<Denial, 'no-svid'>, PermissionDeniedDetails_Reason>> = {
  expired: PermissionDeniedDetails_Reason.AGENT_EXPIRED,
  'not-attested': PermissionDeniedDetails_Reason.AGENT_NOT_ATTESTED,
  'not-active': PermissionDeniedDetails_Reason.AGENT_NOT_ACTIVE,
  banned: PermissionDeniedDetails_Reason.AGENT_BANNED,
  'must-reattest': PermissionDeniedDetails_Reason.AGENT_MUST_REATTEST,
};

/** PERMISSION_DENIED, with the reason that agents read; without an SVID there is none. */
export function denied(denial: Denial): StatusError {
  const details =
    denial === 'no-svid'
      ? []
      : [{ typeUrl: TYPE_URL, value: PermissionDeniedDetails.encode({ reason: REASONS[denial] }).finish() }];
  return new StatusError(Status.PERMISSION_DENIED, WORDS[denial], { details });
}

/** What the agent port counts, for the metrics. */

import { Tally } from '../telemetry/index.ts';

/** Why connections were closed before any call. */
export const CONNECTION_REFUSALS = ['connections', 'rate', 'handshakes', 'certificate', 'starting'] as const;
export type ConnectionRefusal = (typeof CONNECTION_REFUSALS)[number];

/** Why calls were denied, in SPIRE's words for it. */
export const DENIALS = ['no-svid', 'expired', 'not-attested', 'not-active', 'banned', 'must-reattest'] as const;
export type Denial = (typeof DENIALS)[number];

export class AgentCounts {
  readonly refusedConnections = new Tally<ConnectionRefusal>(CONNECTION_REFUSALS);
  readonly denied = new Tally<Denial>(DENIALS);
  readonly attestations = new Tally<'ok' | 'refused'>(['ok', 'refused']);
  /** SVIDs signed for agents and their workloads. */
  readonly svids = new Tally<'ok' | 'refused'>(['ok', 'refused']);
}

/** Agents of other hosts: SPIRE's server API on a TLS port. */

export type { AgentMove, AttachedAgent, Attachments } from './attachments.ts';
export { AgentCounts } from './counts.ts';
export { openAgentPort } from './open.ts';
export type { AgentPortParts } from './port.ts';

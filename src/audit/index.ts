/** The audit: who changed what, as a chain of hashed rows, and its verification. */

export { type Actor, actorName, SERVER } from './actor.ts';
export { chainHash, headerLine, issuanceLine, LineDigest, NO_HASH, recordOf, rowLine } from './chain.ts';
export type { AuditAction, AuditEvent, AuditRecord, IssuedDetail, PrunedDetail } from './event.ts';
export { type Refusal, Refusals } from './refusals.ts';

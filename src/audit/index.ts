/** The audit: who changed what, as a chain of hashed rows, and its verification. */

export { ACTOR_KINDS, type Actor, actorName, SERVER, sourceOfActor } from './actor.ts';
export { bodyOf, chainHash, headerLine, issuanceLine, LineDigest, NO_HASH, recordOf, rowLine } from './chain.ts';
export {
  AUDIT_ACTIONS,
  type AuditAction,
  type AuditEvent,
  type AuditRecord,
  type EventBody,
  type IssuedDetail,
  type PrunedDetail,
  type TokensPrunedDetail,
} from './event.ts';
export { type Refusal, Refusals } from './refusals.ts';
export { ChainVerifier } from './verifier.ts';

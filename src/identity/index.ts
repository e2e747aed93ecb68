/** The identities that a caller holds now, and the reasons for those that it does not get. */

export type { Caller } from './caller.ts';
export { Decisions, type Noted, type NotedHold } from './decisions.ts';
export { defaultEntry } from './default-entry.ts';
export { type ExplainedMiss, type Explanation, type ExplanationQuery, explain } from './explanation.ts';
export { type Grant, keyOf } from './grant.ts';
export {
  canCome,
  dependsOnFacts,
  HELD_REASONS,
  type Held,
  type HeldReason,
  isStillGiven,
  nothingFor,
  whyNothing,
} from './held.ts';
export { Identities } from './identities.ts';
export type { CallerPreview } from './preview.ts';
export { type WithheldParts, withheldEntries } from './withheld.ts';

/** Entries, bundles of other domains and aliases: their rules, their store, and which of them match a caller. */

export { type Agent, ATTESTATION_TYPES, type JoinToken, joinedAgentId } from './agent.ts';
export type { Attested } from './agents.ts';
export type { Alias } from './alias.ts';
export { parseAliasHost, parseAliasTarget } from './alias-input.ts';
export { checkSequence, parseBundleDocument, parseBundlePem, parseForeignTrustDomain } from './bundle-input.ts';
export { isForContained } from './contained.ts';
export type { Candidate, DecisionKind, DecisionRecord } from './decision.ts';
export { compareAge, differingFields, isExpired, isFederated, isNodeAlias, storedAs, TwinFinder } from './entry.ts';
export { type EntryFault, type EntryFaultsParts, entryFaults } from './entry-faults.ts';
export {
  ENTRY_FIELD_LIST,
  ENTRY_FIELDS,
  type Entry,
  type EntryJson,
  type Flag,
} from './entry-fields.ts';
export { parseEntryInput, parseEntryInputs, parseEntryPatch, readEntryInputs } from './entry-input.ts';
export { entryFromJson, entryToJson } from './entry-json.ts';
export { PAGE_TOKEN, PAGE_TOKEN_RULE, snakeCase } from './entry-names.ts';
export { isReservedSegment } from './entry-readers.ts';
export type { EntryRules } from './entry-rules.ts';
export { GIVEN_FIELDS, GIVEN_PROPERTIES } from './entry-schema.ts';
export {
  createWarningsOf,
  declaredWarning,
  type EntryWarning,
  logEntryWarnings,
  MOST_WARNINGS,
  programWarning,
  type WarningsOf,
} from './entry-warnings.ts';
export { type BundleInput, bundleEnd, type FederatedBundle } from './federated-bundle.ts';
export { localAgentId } from './indexed-entries.ts';
export { parseRfc3339 } from './instant.ts';
export { parseJoinTokenInput } from './join-token-input.ts';
export { everyEntry } from './list.ts';
export { MatchIndex, missing } from './match.ts';
export { MirroredRegistry } from './mirrored.ts';
export { Place, readObject, show } from './place.ts';
export { openRegistry } from './registry.ts';
export { ENDPOINT_PROFILES, type Relationship } from './relationship.ts';
export { type GivenRelationship, parseRelationship, urlFault } from './relationship-input.ts';
export { relationshipToJson } from './relationship-json.ts';
export { MAX_RELATIONSHIPS, type PutRelationship } from './relationships.ts';
export type { Revocations } from './revocations.ts';
export { copyDatabase } from './sqlite/copy.ts';
export { checkDatabase, trustDomainIn } from './sqlite/restored-database.ts';
export { openSqliteStore } from './sqlite/sqlite-store.ts';
export type { AuditRow, AuditStore } from './store/audit-store.ts';
export { twinProblem } from './store/conflict.ts';
export type { DecisionPage, DecisionQuery, DecisionStore } from './store/decision-store.ts';
export type { IssuanceStore, IssuanceTarget } from './store/issuance-store.ts';
export type { Store } from './store/store.ts';
export { StoreTimes } from './store/store-times.ts';
export { templateOf } from './templates.ts';
export { FILE_TOKEN_NAME, isExpiredToken, type Token } from './token.ts';
export { parseTokenInput, TOKEN_NAME } from './token-input.ts';
export type { Tokens } from './tokens.ts';
export type {
  EntriesView,
  EntryChange,
  EntryInput,
  ListQuery,
  NearMiss,
  PlannedWrite,
  Registry,
  RegistryView,
  SourceChanges,
} from './types.ts';

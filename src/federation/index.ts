/** Federation with other trust domains: publishes the own bundle, and fetches those of others. */

export { openFederation } from './open.ts';
export type { Federation, RelationshipView } from './relationships.ts';
export { RELATIONSHIP_STATES, type RelationshipMove } from './status.ts';

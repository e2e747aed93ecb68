/** Federation with other trust domains: publishes the own bundle, and fetches those of others. */

export { openBundleEndpoint, openPublishedFile } from './endpoint/open.ts';
export { type EndpointState, type PublishedFileState, PublishingCounts } from './endpoint/state.ts';
export { openFederation } from './open.ts';
export type { Federation, RelationshipView } from './relationships.ts';
export { RELATIONSHIP_STATES, type RelationshipMove } from './status.ts';

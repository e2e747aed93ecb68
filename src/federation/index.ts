/** Federation with other trust domains: publishes the own bundle, and fetches those of others. */

export { documentText } from './endpoint/document.ts';
export { ENDPOINT_ENTRY_ID } from './endpoint/endpoint-id.ts';
export { openBundleEndpoint, openPublishedFile } from './endpoint/open.ts';
export { type EndpointState, type PublishedFileState, PublishingCounts } from './endpoint/state.ts';
export { openFederation } from './open.ts';
export type { Federation, RelationshipView } from './relationships.ts';
export { RELATIONSHIP_STATES, type RelationshipMove } from './status.ts';

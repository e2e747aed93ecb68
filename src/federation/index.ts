/** Federation with other trust domains: publishes the own bundle, and fetches those of others. */

export { openBundleEndpoint, openPublishedFile } from './endpoint/open.ts';
export { type EndpointState, type PublishedFileState, PublishingCounts } from './endpoint/state.ts';

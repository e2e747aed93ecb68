/** The Secret Discovery Service. */

export { SecretCounts } from './counts.ts';
export { secretDiscoveryService } from './service.ts';

/** The Secret Discovery Service. */

export { secretDiscoveryService } from './service.ts';

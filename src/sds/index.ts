/** The Secret Discovery Service. */

export { Nobody } from './nobody.ts';
export { secretDiscoveryService } from './service.ts';

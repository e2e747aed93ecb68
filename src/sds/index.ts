/** The Secret Discovery Service, and the record of what each stream was sent. */

export { SecretCounts } from './counts.ts';
export { Ledger, type ProxyConnection } from './ledger.ts';
export { PushQueue } from './push-queue.ts';
export { secretDiscoveryService } from './service.ts';
export type { StreamEvent } from './stream-event.ts';
export type { SecretReport } from './stream-report.ts';

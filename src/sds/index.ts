/** The Secret Discovery Service, and the record of what each stream was sent. */

export { type Connection, Ledger } from './ledger.ts';
export { secretDiscoveryService } from './service.ts';
export type { StreamEvent } from './stream-event.ts';
export type { SecretReport } from './stream-report.ts';

/** What each stream of the pipe was sent and answered, the order of the pushes, and the records of refusals. */

export { AttestationRetry } from './attestation-retry.ts';
export { DeliveryCounts, type FetchResult, type StreamCounts } from './counts.ts';
export { Ledger, type LedgerStream, type ProxyConnection } from './ledger.ts';
export type { Node } from './node.ts';
export { type Pushing, PushQueue, type QueuePlace } from './push-queue.ts';
export { type Asker, notedOf, recordText, refusalDetails, refuseCaller } from './refusal.ts';
export type { StreamEvent } from './stream-event.ts';
export { StreamEvents } from './stream-events.ts';
export { type SecretReport, type SecretState, STALE_MS, type StreamReport, type Trust } from './stream-report.ts';

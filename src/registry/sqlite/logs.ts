import type { AuditLog } from './audit-table.ts';
import type { ChangeLog } from './change-table.ts';

/** What a write of a table adds in its own transaction: changes for the feed, and rows of the audit. */
export interface Logs {
  readonly changes: ChangeLog;
  readonly audit: AuditLog;
}

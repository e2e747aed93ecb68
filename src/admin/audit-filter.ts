/** Which rows of the audit, and which issuances, a query asks for. */

import { type AuditRecord, actorName, type IssuedDetail } from '../audit/index.ts';
import type { IssuanceRecord } from '../base/index.ts';
import type { AuditRow } from '../registry/index.ts';

/** All given members must match. Times in milliseconds since the epoch. */
export interface AuditFilter {
  /** `unix:0`, `token:ci`, `file:/path`, `server`, or a kind alone. */
  readonly actor: string | undefined;
  /** `entry.created`, or the part before the dot. */
  readonly action: string | undefined;
  readonly target: string | undefined;
  readonly spiffeId: string | undefined;
  /** Of issuances. */
  readonly serial: string | undefined;
  readonly since: number | undefined;
  readonly until: number | undefined;
}

/** A row with its record parsed. */
export interface ReadRow {
  readonly row: AuditRow;
  readonly record: AuditRecord;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

export function readRow(row: AuditRow): ReadRow {
  const record = JSON.parse(row.record) as AuditRecord;
  return { row, record, at: Date.parse(record.at) };
}

/** The issuances of a row; undefined if it has none. */
export function issuedIn({ action, detail }: AuditRecord): IssuedDetail | undefined {
  return action === 'svid.issued' ? (detail as unknown as IssuedDetail) : undefined;
}

/** For rows other than those of issuances. A serial number is also that of a revocation. */
export function matchesRow({ record, at }: ReadRow, filter: AuditFilter): boolean {
  if (!isOf(record, filter) || !isOfSerial(record, filter.serial)) return false;
  if (filter.target !== undefined && record.target !== filter.target) return false;
  if (filter.spiffeId !== undefined && record.spiffe_id !== filter.spiffeId) return false;
  return isBetween(at, filter);
}

function isOfSerial({ action, target }: AuditRecord, serial: string | undefined): boolean {
  return serial === undefined || ((action === 'svid.revoked' || action === 'svid.restored') && target === serial);
}

/** Whether any issuance of a row may match, as far as the row says. */
export function mayHaveIssuances({ record, at }: ReadRow, filter: AuditFilter): boolean {
  return isOf(record, filter) && isBetween(at, filter);
}

/** @param row the row that has its digest */
export function matchesIssuance(issuance: IssuanceRecord, row: ReadRow, filter: AuditFilter): boolean {
  if (!mayHaveIssuances(row, filter)) return false;
  if (filter.target !== undefined && issuance.entryId !== filter.target) return false;
  if (filter.serial !== undefined && issuance.serial !== filter.serial) return false;
  return filter.spiffeId === undefined || issuance.spiffeId === filter.spiffeId;
}

function isOf({ action, actor }: AuditRecord, filter: AuditFilter): boolean {
  if (filter.action !== undefined && action !== filter.action && !action.startsWith(`${filter.action}.`)) return false;
  return filter.actor === undefined || actor.kind === filter.actor || actorName(actor) === filter.actor;
}

function isBetween(at: number, { since, until }: AuditFilter): boolean {
  return (since === undefined || at >= since) && (until === undefined || at < until);
}

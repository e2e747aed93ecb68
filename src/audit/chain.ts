/**
 * The hash chain, as docs/audit.md defines it: the hash of a row is SHA-256 of the previous row's hash (32 bytes) and of
 * the row's record (UTF-8). A line of an export is the record with the hash as its last member, so any program can check it.
 */

import { createHash, type Hash } from 'node:crypto';
import type { IssuanceRecord } from '../base/index.ts';
import { sourceOfActor } from './actor.ts';
import type { AuditEvent, EventBody } from './event.ts';

/** The hash before the first row: 32 zero bytes, hex. */
export const NO_HASH = '0'.repeat(64);

/** The name of the format, in the first line of an export. */
export const CHAIN_FORMAT = 'sidekey-audit/1';

/** The record of an event: JSON, of which exactly these bytes are hashed. */
export function recordOf(sequence: number, event: AuditEvent | EventBody): string {
  const body = typeof event === 'string' ? event : bodyOf(event);
  return `{"sequence":${sequence},${body.slice(1)}`;
}

/** The record without its sequence number. */
export function bodyOf({ at, action, by, target, spiffeId, before, after, detail }: AuditEvent): EventBody {
  return JSON.stringify({
    at: new Date(at).toISOString(),
    action,
    actor: by,
    source: sourceOfActor(by),
    target,
    spiffe_id: spiffeId,
    before,
    after,
    detail,
  }) as EventBody;
}

/** @param previous the previous row's hash, 64 hex digits @returns 64 hex digits */
export function chainHash(previous: string, record: string): string {
  return createHash('sha256').update(previous, 'hex').update(record, 'utf8').digest('hex');
}

/** The line of a row in an export, without a line feed. */
export function rowLine(record: string, hash: string): string {
  return `${record.slice(0, -1)},"hash":"${hash}"}`;
}

const ROW_LINE = /^(\{.*),"hash":"([0-9a-f]{64})"\}$/s;

/** The record and the hash in a line of an export; undefined if it has another form. */
export function splitRowLine(line: string): { record: string; hash: string } | undefined {
  const match = ROW_LINE.exec(line);
  return match === null ? undefined : { record: `${match[1]}}`, hash: match[2]! };
}

/** The first line of an export: the row before the next line, and its hash. */
export function headerLine(sequence: number, hash: string): string {
  return JSON.stringify({ chain: CHAIN_FORMAT, after: { sequence, hash } });
}

/** The line of an issuance in an export, without a line feed. Times in milliseconds since the epoch. */
export function issuanceLine(number: number, record: IssuanceRecord): string {
  return JSON.stringify({
    issuance: number,
    issued_at: record.issuedAt,
    kind: record.kind,
    spiffe_id: record.spiffeId,
    serial: record.serial,
    entry_id: record.entryId,
    authority_id: record.authorityId,
    not_before: record.notBefore,
    not_after: record.notAfter,
  });
}

/** Characters that are hashed at once: many short calls take longer than the hashing. */
const HASHED_AT_ONCE = 64 * 1024;

/** SHA-256 of lines, each with its line feed. */
export class LineDigest {
  readonly #hash: Hash = createHash('sha256');
  #text = '';

  add(line: string): void {
    this.#text += line;
    this.#text += '\n';
    if (this.#text.length < HASHED_AT_ONCE) return;
    this.#hash.update(this.#text);
    this.#text = '';
  }

  /** Lower-case hex. Call it once. */
  hex(): string {
    return this.#hash.update(this.#text).digest('hex');
  }
}

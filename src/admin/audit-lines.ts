/**
 * The audit as lines, for exports: each row, after a row of issuances these, and at first the hash before the first row.
 * `docs/audit.md` defines the format.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { headerLine, issuanceLine, rowLine } from '../audit/index.ts';
import { SidekeyError } from '../base/index.ts';
import type { AuditStore } from '../registry/index.ts';
import { type AuditFilter, issuedIn, matchesIssuance, matchesRow, readRow } from './audit-filter.ts';

/** An export works this long at a time, then rests, in milliseconds: so it takes at most a tenth of the event loop. */
const WORK_MS = 1;
const REST_MS = 9;
/** Rows per read. One read takes less than a millisecond. */
const ROWS_AT_ONCE = 50;
/** Size of a chunk, in characters. */
const CHUNK = 16 * 1024;

export interface ExportQuery {
  /** Rows after this one; undefined: from the oldest. */
  readonly after: number | undefined;
  /** Undefined: all. A filtered export is no chain, so it has no first line. */
  readonly filter: AuditFilter | undefined;
}

/** The rows that exist now, oldest first, in chunks of whole lines; later ones too if they explain what is missing. @throws ERR_STORE if pruning overtakes it */
export async function* auditLines(store: AuditStore, { after, filter }: ExportQuery): AsyncGenerator<string> {
  const pace = new Pace();
  const head = await store.head();
  let at = Math.min(Math.max(after ?? 0, head.after.sequence), head.sequence);
  let chunk = '';
  if (filter === undefined) chunk += `${headerLine(at, await hashOf(store, at, head.after))}\n`;
  let end = head.sequence;
  while (at < end) {
    const rows = await store.rows({ after: at, limit: Math.min(ROWS_AT_ONCE, end - at) });
    for (const row of rows) {
      // A row that is missing for another reason is for the reader of the export to find.
      if (row.sequence !== at + 1 && (await store.head()).after.sequence > at) throw overtaken(at + 1);
      at = row.sequence;
      const read = readRow(row);
      const issued = issuedIn(read.record);
      if (filter === undefined || (issued === undefined && matchesRow(read, filter))) {
        chunk += `${rowLine(row.record, row.hash)}\n`;
      }
      if (issued !== undefined) {
        const issuances = await store.issuances(issued.first, issued.last);
        if (filter === undefined && issued.kind === 'jwt' && issuances.length <= issued.last - issued.first) {
          // Ended tokens are removed, each group as a whole in the end. Then the row that says so belongs to the export.
          end = (await store.head()).sequence;
          issuances.length = 0;
        }
        for (const { number, record } of issuances) {
          if (filter !== undefined && !matchesIssuance(record, read, filter)) continue;
          chunk += `${issuanceLine(number, record)}\n`;
        }
      }
      if (chunk.length >= CHUNK) {
        yield chunk;
        chunk = '';
      }
      await pace.rest();
    }
    if (rows.length === 0) break;
  }
  if (chunk !== '') yield chunk;
}

async function hashOf(store: AuditStore, sequence: number, after: { sequence: number; hash: string }): Promise<string> {
  if (sequence === after.sequence) return after.hash;
  const [row] = await store.rows({ after: sequence - 1, limit: 1 });
  if (row?.sequence === sequence) return row.hash;
  throw overtaken(sequence);
}

function overtaken(sequence: number): SidekeyError {
  return new SidekeyError('ERR_STORE', `row ${sequence} of the audit was pruned during the export: begin again`);
}

/** Bounds the share of the event loop that a long job takes. */
class Pace {
  #end = performance.now() + WORK_MS;

  async rest(): Promise<void> {
    if (performance.now() < this.#end) return;
    await sleep(REST_MS);
    this.#end = performance.now() + WORK_MS;
  }
}

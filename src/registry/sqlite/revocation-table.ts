/** The table of revocations; times are milliseconds since the epoch. */

import { isRevocationReason, type Revocation } from '../../base/index.ts';
import { noSuchRevocation, staleRevocation } from '../store/conflict.ts';
import type { RevocationStore } from '../store/revocation-store.ts';
import { type Access, RowError } from './access.ts';
import type { Logs } from './logs.ts';

const COLUMNS = `serial, authority_id AS authorityId, spiffe_id AS spiffeId, entry_id AS entryId, not_after AS notAfter,
  revoked_at AS revokedAt, reason`;

export interface RevocationTable {
  readonly store: RevocationStore;
  /** Inside a transaction. */
  get(serial: string): Revocation | undefined;
}

export function revocationTable({ db, read, write }: Access, logs: Logs): RevocationTable {
  const insert = db.prepare<[Revocation]>(`
    INSERT INTO revocations (serial, authority_id, spiffe_id, entry_id, not_after, revoked_at, reason)
    VALUES (@serial, @authorityId, @spiffeId, @entryId, @notAfter, @revokedAt, @reason)
    ON CONFLICT (serial) DO UPDATE SET revoked_at = excluded.revoked_at, reason = excluded.reason
      WHERE revocations.reason = 'certificate-hold' AND excluded.reason <> 'certificate-hold'`);
  const remove = db.prepare<[string]>('DELETE FROM revocations WHERE serial = ?');
  const removeEnded = db
    .prepare<[number], string>('DELETE FROM revocations WHERE not_after < ? RETURNING serial')
    .pluck();
  const all = db.prepare<[], Revocation>(`SELECT ${COLUMNS} FROM revocations`);
  const one = db.prepare<[string], Revocation>(`SELECT ${COLUMNS} FROM revocations WHERE serial = ?`);

  return {
    get: (serial) => {
      const row = one.get(serial);
      return row && checked(row);
    },
    store: {
      load: async () => read(() => all.all().map(checked)),
      add: async (revocations, events = []) =>
        write(() => {
          const added = revocations.filter((revocation) => insert.run(revocation).changes === 1);
          logs.changes.note('revocation', serialsOf(added));
          logs.audit.add(events);
        }),
      remove: async (revocations, events = []) =>
        write(() => {
          for (const { serial, revokedAt, reason } of revocations) {
            const present = one.get(serial);
            if (present === undefined) throw noSuchRevocation(serial);
            if (present.revokedAt !== revokedAt || present.reason !== reason) throw staleRevocation(serial);
            remove.run(serial);
          }
          logs.changes.note('revocation', serialsOf(revocations));
          logs.audit.add(events);
        }),
      removeEnded: async (before) =>
        write(() => {
          const serials = removeEnded.all(before);
          logs.changes.note('revocation', serials);
          return serials;
        }),
    },
  };
}

/** @throws {RowError} if the row is invalid, which means that the database was edited by hand */
function checked(row: Revocation): Revocation {
  // The serial number and the authority go into a list, which a wrong one would make useless.
  if (!/^([0-9a-f]{2}){1,20}$/.test(row.serial))
    throw new RowError(`revocation ${row.serial}: it is not a serial number`);
  if (!isRevocationReason(row.reason))
    throw new RowError(`revocation ${row.serial}: ${JSON.stringify(row.reason)} is not a reason`);
  return row;
}

function serialsOf(revocations: readonly Revocation[]): string[] {
  return revocations.map(({ serial }) => serial);
}

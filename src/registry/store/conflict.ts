/**
 * What a write throws that does not fit what is there: each names what is there now. The registry throws them for what it
 * has in memory; a store throws them for what is stored, which another server may have changed meanwhile.
 */

import { SidekeyError } from '../../base/errors.ts';
import type { Entry } from '../entry-fields.ts';
import { entryToJson } from '../entry-json.ts';

/** ERR_NOT_FOUND: a write changes or deletes an entry that does not exist. */
export function noSuchEntry(id: string): SidekeyError {
  return new SidekeyError('ERR_NOT_FOUND', `there is no entry with the id ${id}`);
}

/** ERR_REVISION: a write changes or deletes another revision of the entry than the present one. */
export function staleEntry(id: string, revision: { present: number; given: number }): SidekeyError {
  return new SidekeyError(
    'ERR_REVISION',
    `entry ${id} is at revision ${revision.present}, not ${revision.given}: read it again`,
    { extra: { revision_number: revision.present } },
  );
}

/**
 * ERR_ENTRY_EXISTS: a write makes an entry with the id, or with the SPIFFE ID, selectors and parent, of an existing one.
 *
 * @param index the place of the refused entry in the caller's list, from 0, where the caller gave a list
 */
export function entryExists(
  existing: Entry,
  refused: { readonly id: string | undefined },
  index?: number,
): SidekeyError {
  const same = existing.id === refused.id ? 'this id' : 'this SPIFFE ID, these selectors and this parent';
  return new SidekeyError(
    'ERR_ENTRY_EXISTS',
    `entry ${existing.id} (${existing.spiffeId}, source ${existing.source}) has ${same}: change or delete that one`,
    { extra: { entry: entryToJson(existing), ...(index === undefined ? {} : { index }) } },
  );
}

/** ERR_NOT_FOUND: a write replaces or deletes a bundle or alias that does not exist. @param what `bundle` or `alias` */
export function noSuchName(what: string, name: string): SidekeyError {
  return new SidekeyError('ERR_NOT_FOUND', `there is no ${what} of ${name}`);
}

/**
 * ERR_REVISION: a write replaces or deletes another revision of the bundle or alias than the present one.
 *
 * @param what `bundle` or `alias`
 */
export function staleName(
  what: string,
  name: string,
  revision: { present: number; given: number | undefined },
): SidekeyError {
  const given = revision.given === undefined ? 'new' : `at revision ${revision.given}`;
  return new SidekeyError(
    'ERR_REVISION',
    `${what} ${name} is at revision ${revision.present}, not ${given}: read it again`,
    { extra: { revision_number: revision.present } },
  );
}

/**
 * Errors for writes that conflict with the present state, which each error names. The registry throws them for the
 * state in memory; a store throws them for the stored state, which another server may have changed.
 */

import { FILE_SOURCE, type Problem, type Revocation, SidekeyError } from '../../base/index.ts';
import type { Entry } from '../entry-fields.ts';
import { entryToJson } from '../entry-json.ts';

/** ERR_NOT_FOUND: the write changes or deletes an entry that does not exist. */
export function noSuchEntry(id: string): SidekeyError {
  return new SidekeyError('ERR_NOT_FOUND', `there is no entry with the id ${id}`);
}

/** ERR_REVISION: the write changes or deletes a revision of the entry that is not the present one. */
export function staleEntry(id: string, revision: { present: number; given: number }): SidekeyError {
  return new SidekeyError(
    'ERR_REVISION',
    `entry ${id} is at revision ${revision.present}, not ${revision.given}: read it again`,
    { extra: { revision_number: revision.present } },
  );
}

/**
 * ERR_ENTRY_EXISTS: the write creates an entry with the id, or with the SPIFFE ID, selectors and parent, of an existing
 * one.
 *
 * @param index the index of the refused entry in the caller's list, if there is one
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

/**
 * ERR_ENTRY_EXISTS: a source declares an entry with the id of another source's entry, which is not the same.
 * @param index its position in the declared list
 */
export function entryOfOther(existing: Entry, index: number): SidekeyError {
  const isOfFile = existing.source === FILE_SOURCE;
  const problem = `entry ${existing.id} (${existing.spiffeId}) is of the source ${existing.source}, and differs`;
  const rule = isOfFile
    ? 'change it in the file of --entries, or leave out the id'
    : 'leave it as it is, or take it over with adopt=true (sidekey apply --adopt)';
  return new SidekeyError('ERR_ENTRY_EXISTS', `${problem}: ${rule}`, {
    extra: { entry: entryToJson(existing), index },
    problems: [{ path: `/entries/${index}`, problem, rule }],
  });
}

/** The problem of two inputs that are the same. A reader that knows the lines puts them in place of the paths. */
export function twinProblem(earlier: number, index: number): Problem {
  return {
    path: `/entries/${index}`,
    problem: `it is the same as /entries/${earlier}`,
    rule: 'no two entries have one id, or the same SPIFFE ID, selectors and parent',
  };
}

/** ERR_ENTRY_EXISTS: two entries of one write are the same. @param index the later of the two in the caller's list */
export function sameEntries(earlier: number, index: number, spiffeId: string): SidekeyError {
  return new SidekeyError(
    'ERR_ENTRY_EXISTS',
    `entries ${earlier} and ${index} of this write have the same id, or the same SPIFFE ID, selectors and parent (${spiffeId}): leave one out`,
    { extra: { index }, problems: [twinProblem(earlier, index)] },
  );
}

/**
 * ERR_NOT_FOUND: the write replaces or deletes a bundle, alias, token or relationship that does not exist.
 * @param what `bundle`, `alias`, `token` or `relationship`
 */
export function noSuchName(what: string, name: string): SidekeyError {
  if (what === 'relationship') return noSuchRelationship(name);
  return new SidekeyError('ERR_NOT_FOUND', `there is no ${what}${what === 'token' ? '' : ' of'} ${name}`);
}

/**
 * ERR_REVISION: the write replaces or deletes a revision of the bundle or alias that is not the present one.
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

/** ERR_NOT_FOUND: there is no relationship with this trust domain. */
export function noSuchRelationship(trustDomain: string): SidekeyError {
  return new SidekeyError(
    'ERR_NOT_FOUND',
    `there is no federation relationship with ${trustDomain}; sidekey federation list shows those that exist`,
  );
}

/** ERR_NOT_FOUND: the write removes the revocation of a certificate that is not revoked. */
export function noSuchRevocation(serial: string): SidekeyError {
  return new SidekeyError('ERR_NOT_FOUND', `the certificate with the serial number ${serial} is not revoked`);
}

/** ERR_REVOCATION: the write undoes a revocation that is final. */
export function finalRevocation({ serial, reason }: Pick<Revocation, 'serial' | 'reason'>): SidekeyError {
  return new SidekeyError(
    'ERR_REVOCATION',
    `the certificate ${serial} was revoked with the reason ${reason}, which is final (RFC 5280 section 5.3.1): only certificate-hold can be undone`,
  );
}

/** ERR_REVISION: the write removes another revocation of the certificate than the present one. */
export function staleRevocation(serial: string): SidekeyError {
  return new SidekeyError(
    'ERR_REVISION',
    `somebody else has revoked the certificate with the serial number ${serial} anew: read its revocation again`,
  );
}

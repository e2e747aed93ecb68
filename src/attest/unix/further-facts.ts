/** What negative selectors and templates need of the unix attestor. */

import type { UnmappedIds } from '../../base/index.ts';
import type { Accounts } from '../accounts.ts';
import type { FurtherFacts, PlaceholderValue } from '../types.ts';
import type { UNIX_SELECTOR_KINDS } from './kinds.ts';

/** The facts that the attestor has read. */
export interface UnixFacts {
  readonly uid: number;
  readonly gid: number;
  /** Its supplementary groups. */
  readonly groups: readonly number[];
  /** Undefined if it could not be read. */
  readonly path: string | undefined;
  /** Undefined if it was not or could not be read. */
  readonly sha256: string | undefined;
}

type UnixKind = keyof typeof UNIX_SELECTOR_KINDS;

/**
 * A name is only excluded if the file has it, as the name of another id: else the user or group may exist elsewhere
 * (LDAP), or the name may be a second one of the caller's id. Groups that are not mapped here appear as one gid, so
 * nothing is known of them.
 */
export function furtherFacts(
  { uid, gid, groups, path, sha256 }: UnixFacts,
  accounts: Accounts,
  unmapped: UnmappedIds,
): FurtherFacts {
  const isMapped = (id: number) => id !== unmapped.gid;
  const lacks: Readonly<Record<UnixKind, (value: string) => boolean>> = {
    uid: (value) => Number(value) !== uid,
    user: (name) => accounts.hasUser(name) && accounts.user(uid) !== name,
    gid: (value) => isMapped(gid) && isMapped(Number(value)) && Number(value) !== gid,
    group: (name) => isMapped(gid) && accounts.hasGroup(name) && accounts.group(gid) !== name,
    supplementary_gid: (value) => groups.every((id) => isMapped(id) && id !== Number(value)),
    supplementary_group: (name) =>
      accounts.hasGroup(name) && groups.every((id) => isMapped(id) && accounts.group(id) !== name),
    path: (value) => path !== undefined && path !== value,
    sha256: (value) => sha256 !== undefined && sha256 !== value,
  };
  const valueFor = (kind: string): PlaceholderValue => {
    if (kind === 'uid') return { value: String(uid) };
    if (kind === 'user') return named(accounts.user(uid), `the server's /etc/passwd has no name for uid ${uid}`);
    if (!isMapped(gid)) return { why: "the caller's group is not mapped in the user namespace of the server" };
    if (kind === 'gid') return { value: String(gid) };
    return named(accounts.group(gid), `the server's /etc/group has no name for gid ${gid}`);
  };
  return {
    lacks: ({ value: text }) => {
      const colon = text.indexOf(':');
      return lacks[text.slice(0, colon) as UnixKind]?.(text.slice(colon + 1)) ?? false;
    },
    valueFor: ({ kind }) => valueFor(kind),
  };
}

function named(name: string | undefined, why: string): PlaceholderValue {
  return name === undefined ? { why } : { value: name };
}

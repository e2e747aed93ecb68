/** Finds selectors of users and groups that no process on this host can have. */

import { looksMistyped, nearest, type UnmappedIds } from '../../base/index.ts';
import { formatSelector, type Selector } from '../../spiffe/index.ts';
import type { Accounts } from '../accounts.ts';
import { PTRACE_REMEDY } from '../proc-view.ts';

/** The reason why no process can have the selector `unix:<value>`; undefined if one can. */
export function whyNever(value: string, accounts: Accounts, unmapped: UnmappedIds): string | undefined {
  const colon = value.indexOf(':');
  const [kind, name] = [value.slice(0, colon), value.slice(colon + 1)];
  const { uid, gid } = unmapped;
  if (uid !== undefined && isId(kind, name, ['uid', 'user'], uid, accounts.user(uid))) return whyUnmapped('user', uid);
  const groupKinds = kind.startsWith('supplementary_')
    ? ['supplementary_gid', 'supplementary_group']
    : ['gid', 'group'];
  if (gid !== undefined && isId(kind, name, groupKinds, gid, accounts.group(gid))) return whyUnmapped('group', gid);
  if (kind === 'user') return whyNoName(name, accounts.users(), '/etc/passwd of the server has no user');
  const isGroup = kind === 'group' || kind === 'supplementary_group';
  return isGroup ? whyNoName(name, accounts.groups(), '/etc/group of the server has no group') : undefined;
}

/**
 * The reason why a process of the user that the entry asks for can not have the selector `unix:<value>`, which needs a look
 * at its program; undefined if it can.
 */
export function whyUnread(
  value: string,
  beside: readonly Selector[],
  accounts: Accounts,
  readsOthers: () => boolean,
): string | undefined {
  const kind = /^(path|sha256):/.exec(value)?.[1];
  if (kind === undefined) return undefined;
  const own = process.geteuid!();
  const other = beside.find(({ type, value: one, negated }) => {
    if (type !== 'unix' || negated === true) return false;
    if (one.startsWith('uid:')) return one !== `uid:${own}`;
    const uid = one.startsWith('user:') ? accounts.uid(one.slice('user:'.length)) : undefined;
    return uid !== undefined && uid !== own;
  });
  if (other === undefined || readsOthers()) return undefined;
  return `the server (uid ${own}) may not read the programs of other users, so no process with ${formatSelector(other)} has a unix:${kind}; ${PTRACE_REMEDY}`;
}

/** The value with the one name here that it is likely mistyped from. */
export function meant(value: string, accounts: Accounts): string | undefined {
  const colon = value.indexOf(':');
  const [kind, name] = [value.slice(0, colon), value.slice(colon + 1)];
  const names = kind === 'user' ? accounts.users() : /^(supplementary_)?group$/.test(kind) ? accounts.groups() : [];
  const alike = names.filter((one) => looksMistyped(one, name));
  return alike.length === 1 ? `${kind}:${alike[0]}` : undefined;
}

function isId(kind: string, name: string, kinds: readonly string[], id: number, called: string | undefined): boolean {
  const [byNumber, byName] = kinds;
  return (kind === byNumber && name === String(id)) || (kind === byName && name === called);
}

function whyUnmapped(what: string, id: number): string {
  return `the server's user namespace shows every unmapped ${what} as ${id}, so ${id} identifies none of them`;
}

function whyNoName(name: string, names: readonly string[], problem: string): string | undefined {
  if (names.includes(name)) return undefined;
  const meant = nearest(name, names);
  return `${problem} ${name}${meant === undefined ? '' : `; did you mean ${meant}?`}`;
}

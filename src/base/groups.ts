/** Groups of this host. A minimal container image may have neither file; then no group or user has a name. */

import { readRegularFile } from './input-file.ts';

/**
 * The gid of a group, given its name in `/etc/group` or its number; undefined if there is no such name. @see group(5)
 */
export function groupId(group: string): number | undefined {
  if (/^\d{1,10}$/.test(group)) return Number(group);
  for (const line of linesOf('/etc/group')) {
    const [name, , gid] = line.split(':');
    if (name === group && gid !== undefined && /^\d+$/.test(gid)) return Number(gid);
  }
  return undefined;
}

/** True if `/etc/group` has a name for the gid. In containers, callers often have groups without a name. */
export function isNamedGroup(gid: number): boolean {
  return groupName(gid) !== undefined;
}

/** The name of a group in `/etc/group`; undefined if it has none. */
export function groupName(gid: number): string | undefined {
  return linesOf('/etc/group')
    .map((line) => line.split(':'))
    .find(([, , id]) => id !== undefined && id !== '' && Number(id) === gid)?.[0];
}

/** The users of this host in a group, as primary or listed members. @see passwd(5), group(5) */
export function groupMembers(gid: number): { readonly name: string; readonly uid: number }[] {
  const listed = new Set<string>();
  for (const line of linesOf('/etc/group')) {
    const [, , id, members = ''] = line.split(':');
    if (Number(id) === gid) for (const name of members.split(',')) listed.add(name);
  }
  return linesOf('/etc/passwd').flatMap((line) => {
    const [name, , uid, own] = line.split(':');
    const isIn = name !== undefined && uid !== undefined && (Number(own) === gid || listed.has(name));
    return isIn ? [{ name, uid: Number(uid) }] : [];
  });
}

export interface UserAccount {
  readonly name: string;
  /** Its primary group. */
  readonly gid: number;
  /** The groups that list it. */
  readonly groups: readonly number[];
}

/** A user of `/etc/passwd`; undefined if there is no such user. */
export function accountOf(uid: number): UserAccount | undefined {
  const line = linesOf('/etc/passwd').find((one) => Number(one.split(':')[2] || Number.NaN) === uid);
  const [name, , , gid] = line?.split(':') ?? [];
  if (name === undefined || gid === undefined) return undefined;
  const groups = linesOf('/etc/group').flatMap((one) => {
    const [, , id, members = ''] = one.split(':');
    return id !== undefined && id !== '' && members.split(',').includes(name) ? [Number(id)] : [];
  });
  return { name, gid: Number(gid), groups };
}

/** The user of a name in `/etc/passwd`, or of a number; undefined if there is no such name. @see passwd(5) */
export function userOf(user: string): { readonly uid: number; readonly gid: number | undefined } | undefined {
  if (/^\d{1,10}$/.test(user)) return { uid: Number(user), gid: accountOf(Number(user))?.gid };
  const line = linesOf('/etc/passwd').find((one) => one.split(':')[0] === user);
  const [, , uid, gid] = line?.split(':') ?? [];
  return uid !== undefined && /^\d+$/.test(uid) ? { uid: Number(uid), gid: Number(gid) } : undefined;
}

/** Maximum size of the file, in bytes: hundreds of thousands of users. */
const MAX_BYTES = 64 * 1024 * 1024;

function linesOf(file: string): string[] {
  try {
    return readRegularFile(file, MAX_BYTES).toString('utf8').split('\n');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

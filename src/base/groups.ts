/** Groups of this host. */

import { readFileSync } from 'node:fs';

/** The gid of a group by its name in `/etc/group` or its number; undefined where there is none. @see group(5) */
export function groupId(group: string): number | undefined {
  if (/^\d{1,10}$/.test(group)) return Number(group);
  for (const line of readFileSync('/etc/group', 'utf8').split('\n')) {
    const [name, , gid] = line.split(':');
    if (name === group && gid !== undefined && /^\d+$/.test(gid)) return Number(gid);
  }
  return undefined;
}

/** Users of this host that are in a group, by their own entry or the group's. @see passwd(5), group(5) */
export function groupMembers(gid: number): { readonly name: string; readonly uid: number }[] {
  const listed = new Set<string>();
  for (const line of readFileSync('/etc/group', 'utf8').split('\n')) {
    const [, , id, members = ''] = line.split(':');
    if (Number(id) === gid) for (const name of members.split(',')) listed.add(name);
  }
  return readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .flatMap((line) => {
      const [name, , uid, own] = line.split(':');
      const isIn = name !== undefined && uid !== undefined && (Number(own) === gid || listed.has(name));
      return isIn ? [{ name, uid: Number(uid) }] : [];
    });
}

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

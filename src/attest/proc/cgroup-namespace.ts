/** /proc/self/ns/cgroup: whether paths of cgroups are whole for this process. @see cgroup_namespaces(7) */

import fs from 'node:fs';

/** The kernel's number of the first cgroup namespace: PROC_CGROUP_INIT_INO. */
const FIRST_NAMESPACE = 'cgroup:[4026531835]';

/**
 * True if this process reads the whole path of each cgroup: it is in the first cgroup namespace, or the kernel has none.
 * In another namespace paths begin below the cgroup that was its first member's.
 * @throws the error of readlink(2)
 */
export function seesWholePaths(): boolean {
  try {
    return fs.readlinkSync('/proc/self/ns/cgroup') === FIRST_NAMESPACE;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw error;
  }
}

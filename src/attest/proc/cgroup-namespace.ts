/** /proc/self/ns/cgroup: shows whether this process is in the first cgroup namespace. @see cgroup_namespaces(7) */

import fs from 'node:fs';

/** The inode of the first cgroup namespace, PROC_CGROUP_INIT_INO. */
const FIRST_NAMESPACE = 'cgroup:[4026531835]';

/**
 * True if this process sees the whole path of each cgroup: it is in the first cgroup namespace, or the kernel has none.
 * In other namespaces, paths are relative to the cgroup of the process that created the namespace.
 * @throws an error of readlink(2)
 */
export function seesWholePaths(): boolean {
  try {
    return fs.readlinkSync('/proc/self/ns/cgroup') === FIRST_NAMESPACE;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw error;
  }
}

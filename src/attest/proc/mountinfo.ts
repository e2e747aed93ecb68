/**
 * /proc/PID/mountinfo: what a process has mounted. @see proc_pid_mountinfo(5)
 *
 * In paths and sources the kernel writes space, tab, `\n`, `\` (and `#` in sources) as a backslash and three octal digits,
 * so that a line is split at spaces; every other byte, `\r` too, stands as it is.
 */

import { linesOf, otherForm, readProcRecords } from '../../base/proc/text.ts';

/** Strings are latin1. */
export interface Mount {
  /** `major:minor` of the file system. */
  readonly device: string;
  /** The path within the mounted file system that is the mount's root. */
  readonly root: string;
  /** Where it is, from this process's root. */
  readonly mountPoint: string;
  /** `ext4`, `proc`, … */
  readonly type: string;
  /** The file system's own options, such as `hidepid=2`; in these, what is escaped stays so. */
  readonly options: readonly string[];
}

/** The mounts of this process; see {@link readMounts}. */
export function readOwnMounts(): Mount[] {
  return readMounts('self');
}

/**
 * In the order of mounting; of several on one place the last one is seen.
 * @throws ENOENT, ESRCH, EACCES; ERR_PROC where the file has another form
 */
export function readMounts(pid: number | 'self'): Mount[] {
  return parseMountinfo(readProcRecords(`/proc/${pid}/mountinfo`));
}

/** Lines `ID PARENT MAJOR:MINOR ROOT MOUNT_POINT OPTIONS [TAG]… - TYPE SOURCE SUPER_OPTIONS`. @throws ERR_PROC */
export function parseMountinfo(text: string): Mount[] {
  return linesOf(text, 'mountinfo').map((line) => {
    const fields = line.split(' ');
    const [id, , device, root, mountPoint] = fields;
    const dash = fields.indexOf('-', 6);
    const [type, , options] = dash === -1 ? [] : fields.slice(dash + 1);
    const hasForm = /^[0-9]+$/.test(id!) && /^[0-9]+:[0-9]+$/.test(device ?? '');
    if (!hasForm || root === undefined || mountPoint === undefined || type === undefined || options === undefined) {
      throw otherForm('mountinfo has a line of another form');
    }
    return {
      device: device!,
      root: unescapeOctal(root),
      mountPoint: unescapeOctal(mountPoint),
      type,
      options: options.split(','),
    };
  });
}

function unescapeOctal(field: string): string {
  return field.replaceAll(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/**
 * /proc/PID/mountinfo: the mounts of a process. @see proc_pid_mountinfo(5)
 *
 * In paths and sources the kernel escapes space, tab, `\n`, `\` (and `#` in sources) as a backslash and three octal
 * digits, so lines can be split at spaces. All other bytes appear unchanged, including `\r`.
 */

import { linesOf, otherForm, readProcRecords } from '../../base/index.ts';

/** Strings are latin1. */
export interface Mount {
  /** `major:minor` of the file system. */
  readonly device: string;
  /** The directory within the file system that is mounted. */
  readonly root: string;
  /** Relative to this process's root directory. */
  readonly mountPoint: string;
  /** `ext4`, `proc`, … */
  readonly type: string;
  /** The options of the file system, such as `hidepid=2`; escapes in them are kept. */
  readonly options: readonly string[];
}

interface MountLimits {
  /** Maximum size of the file. */
  readonly bytes: number;
  readonly mounts: number;
}

/** Any user can make 100,000 mounts (`fs.mount-max`) in a namespace of its own. A container has about 50. */
const FOREIGN: MountLimits = { bytes: 2 * 1024 * 1024, mounts: 5_000 };
/** A host with many containers may have thousands. */
const OWN: MountLimits = { bytes: 32 * 1024 * 1024, mounts: 100_000 };

/** The mounts of this process; see {@link readMounts}. */
export function readOwnMounts(): Mount[] {
  return read('self', OWN);
}

/**
 * In the order of mounting; the last mount at a mount point hides earlier ones.
 * @throws ENOENT, ESRCH, EACCES; ERR_PROC if the file is malformed or too large, or has too many mounts
 */
export function readMounts(pid: number): Mount[] {
  return read(pid, FOREIGN);
}

function read(pid: number | 'self', { bytes, mounts }: MountLimits): Mount[] {
  const file = `/proc/${pid}/mountinfo`;
  const lines = linesOf(readProcRecords(file, bytes), file);
  if (lines.length > mounts) throw otherForm(`${file} has ${lines.length} mounts, more than ${mounts}`);
  return lines.map(parseLine);
}

/**
 * Parses lines `ID PARENT MAJOR:MINOR ROOT MOUNT_POINT OPTIONS [TAG]… - TYPE SOURCE SUPER_OPTIONS`.
 * @throws ERR_PROC
 */
export function parseMountinfo(text: string): Mount[] {
  return linesOf(text, 'mountinfo').map(parseLine);
}

function parseLine(line: string): Mount {
  const fields = line.split(' ');
  const [id, , device, root, mountPoint] = fields;
  const dash = fields.indexOf('-', 6);
  const [type, , options] = dash === -1 ? [] : fields.slice(dash + 1);
  const hasForm = /^[0-9]+$/.test(id!) && /^[0-9]+:[0-9]+$/.test(device ?? '');
  if (!hasForm || root === undefined || mountPoint === undefined || type === undefined || options === undefined) {
    throw otherForm('mountinfo has a malformed line');
  }
  return {
    device: device!,
    root: unescapeOctal(root),
    mountPoint: unescapeOctal(mountPoint),
    type,
    options: options.split(','),
  };
}

function unescapeOctal(field: string): string {
  if (!field.includes('\\')) return field;
  return field.replaceAll(/\\([0-3][0-7]{2})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

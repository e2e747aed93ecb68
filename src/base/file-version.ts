/** Detects whether a file has changed since it was read. */

/** The fields of `fs.BigIntStats` that are used. */
export interface FileStat {
  readonly dev: bigint;
  readonly ino: bigint;
  /** In bytes. */
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** Equal as long as nobody has written to the file: the kernel sets ctime, whatever a process sets mtime to. */
export function fileVersion({ dev, ino, mtimeNs, ctimeNs, size }: FileStat): string {
  return `${dev}:${ino}:${mtimeNs}:${ctimeNs}:${size}`;
}

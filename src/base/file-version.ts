/** Whether a file is still what was read of it. */

/** In the numbers of `fs.BigIntStats`. */
export interface FileStat {
  readonly dev: bigint;
  readonly ino: bigint;
  /** In bytes. */
  readonly size: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** Equal for a file that nobody wrote to: ctime is the kernel's, whatever mtime is set to. */
export function fileVersion({ dev, ino, mtimeNs, ctimeNs, size }: FileStat): string {
  return `${dev}:${ino}:${mtimeNs}:${ctimeNs}:${size}`;
}

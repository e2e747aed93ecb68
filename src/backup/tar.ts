/**
 * The part of the tar format that backups use: regular files with short names. Every header is written in one form, so
 * that a reader can compare it byte by byte. @see POSIX.1-2024, pax, "ustar Interchange Format"
 */

/** Headers and contents take whole blocks, in bytes. */
export const BLOCK = 512;
/** The end of an archive: two blocks of zeros. */
export const END = Buffer.alloc(2 * BLOCK);
/** The size field has 11 octal digits. */
export const MAX_SIZE = 8 ** 11 - 1;

const MAX_NAME = 100;
const CHECKSUM_AT = 148;

/**
 * The header of a file of mode 0600 that belongs to root.
 * @param name up to 100 ASCII characters
 * @param size in bytes, up to {@link MAX_SIZE}
 * @param mtime in seconds since the epoch
 */
export function tarHeader(name: string, size: number, mtime: number): Buffer {
  if (!/^[\x21-\x7e]+$/.test(name) || name.length > MAX_NAME) throw new Error(`a tar archive cannot name ${name}`);
  if (size > MAX_SIZE) throw new Error(`a tar archive holds files of up to ${MAX_SIZE} bytes; ${name} has ${size}`);
  const header = Buffer.alloc(BLOCK);
  const put = (at: number, text: string) => header.write(text, at, 'latin1');
  put(0, name);
  put(100, `${octal(0o600, 7)}\0`);
  put(108, `${octal(0, 7)}\0`);
  put(116, `${octal(0, 7)}\0`);
  put(124, `${octal(size, 11)}\0`);
  put(136, `${octal(mtime, 11)}\0`);
  put(CHECKSUM_AT, ' '.repeat(8));
  put(156, '0');
  put(257, 'ustar\x0000');
  put(265, 'root');
  put(297, 'root');
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(CHECKSUM_AT, `${octal(sum, 6)}\0 `);
  return header;
}

export interface TarMember {
  readonly name: string;
  readonly size: number;
  /** In seconds since the epoch. */
  readonly mtime: number;
}

/** Undefined for anything that {@link tarHeader} does not write: links, directories, extensions, damage. */
export function readTarHeader(block: Buffer): TarMember | undefined {
  const text = (at: number, length: number) => block.toString('latin1', at, at + length).replace(/\0.*$/s, '');
  const name = text(0, MAX_NAME);
  const [size, mtime] = [text(124, 12), text(136, 12)].map((digits) => Number.parseInt(digits, 8));
  if (!/^[\x21-\x7e]+$/.test(name) || !Number.isSafeInteger(size) || !Number.isSafeInteger(mtime)) return undefined;
  if (size! < 0 || size! > MAX_SIZE || mtime! < 0 || mtime! > MAX_SIZE) return undefined;
  const member = { name, size: size!, mtime: mtime! };
  return tarHeader(name, member.size, member.mtime).equals(block) ? member : undefined;
}

/** The zeros after a file's content, up to the next block. */
export function paddingOf(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}

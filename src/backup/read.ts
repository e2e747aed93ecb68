/**
 * Unpacks a backup into an empty directory. It accepts exactly what `write.ts` writes: the known files in their order,
 * each once and within its largest size, with matching digests, and nothing else. So a changed byte is always refused.
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import { type FileHandle, mkdir, open, statfs } from 'node:fs/promises';
import path from 'node:path';
import {
  AUTHORITIES,
  CHECKSUMS,
  isInOrder,
  MANIFEST,
  MAX_AUTHORITY_FILES,
  type Manifest,
  readManifest,
  sizeLimitOf,
} from './contents.ts';
import { BLOCK, END, paddingOf, readTarHeader, type TarMember } from './tar.ts';
import { sumLine } from './write.ts';

/** It is not a backup, or it is damaged; the message completes a sentence that begins with "the backup". */
export class BackupError extends Error {}

/** Free space that stays on the file system, in bytes. */
const SPARE = 16 * 1024 * 1024;

/**
 * Writes the files of a backup below `into`, mode 0600, and syncs them to the disk.
 * @param into an empty directory
 * @throws BackupError; Error of the source or of the file system. Then the directory may have some of the files
 */
export async function readBackup(source: AsyncIterable<Uint8Array>, into: string): Promise<Manifest> {
  const reader = new BlockReader(source);
  try {
    return await unpack(reader, into);
  } finally {
    await reader.close();
  }
}

async function unpack(reader: BlockReader, into: string): Promise<Manifest> {
  await mkdir(path.join(into, AUTHORITIES), { mode: 0o700 });
  const sums: string[] = [];
  let manifest: Manifest | undefined;
  let before: string | undefined;
  for (;;) {
    const member = readTarHeader(await reader.exactly(BLOCK));
    if (member === undefined) throw new BackupError(before === undefined ? NOT_ONE : `is damaged after ${before}`);
    const { name } = member;
    checkPlace(member, before, sums.length);
    if (manifest !== undefined && member.mtime !== Math.floor(manifest.createdAt / 1000)) {
      throw new BackupError(`is damaged: ${name} has another time than the backup`);
    }
    before = name;
    if (name === CHECKSUMS) {
      const listed = await reader.exactly(member.size);
      const found = Buffer.from(sums.join(''));
      if (listed.length !== found.length || !timingSafeEqual(listed, found)) {
        throw new BackupError(`is damaged: its files differ from its ${CHECKSUMS}`);
      }
      await skipPadding(reader, member);
      if (!(await reader.exactly(END.length)).equals(END) || !(await reader.isAtEnd())) {
        throw new BackupError('has more content after its last file');
      }
      if (!manifest || !sums.some((line) => line.endsWith('  sidekey.db\n'))) throw new BackupError('has no database');
      await syncDirectory(path.join(into, AUTHORITIES));
      await syncDirectory(into);
      return manifest;
    }
    let digest: string;
    if (name === MANIFEST) {
      const bytes = await reader.exactly(member.size);
      manifest = asBackupError(() => readManifest(bytes));
      digest = createHash('sha256').update(bytes).digest('hex');
      if (member.mtime !== Math.floor(manifest.createdAt / 1000)) throw new BackupError(`is damaged in ${MANIFEST}`);
    } else digest = await unpackFile(reader, member, into);
    sums.push(sumLine(digest, name));
    await skipPadding(reader, member);
  }
}

const NOT_ONE = 'is not a backup of Sidekey, or is damaged';

/** @throws BackupError for a file that a backup does not have, or not here, or not as large */
function checkPlace({ name, size }: TarMember, before: string | undefined, count: number): void {
  const limit = sizeLimitOf(name);
  if (limit === undefined || !isInOrder(before, name)) {
    throw new BackupError(
      before === undefined ? NOT_ONE : `is damaged: ${name} is not a file of a backup at this place`,
    );
  }
  if (size > limit) throw new BackupError(`has ${size} bytes in ${name}; at most ${limit} are read`);
  // The manifest, the token and the database are no files of the authorities.
  if (count > MAX_AUTHORITY_FILES + 3) throw new BackupError(`has more than ${MAX_AUTHORITY_FILES} files in ca/`);
}

async function unpackFile(reader: BlockReader, { name, size }: TarMember, into: string): Promise<string> {
  const { bavail, bsize } = await statfs(into);
  if (size + SPARE > bavail * bsize) {
    throw new BackupError(`needs ${size} bytes for ${name}, and the file system of ${into} has ${bavail * bsize} left`);
  }
  const hash = createHash('sha256');
  const file = await open(path.join(into, name), 'wx', 0o600);
  try {
    await file.chmod(0o600);
    for (let left = size; left > 0; ) {
      const piece = await reader.upTo(left);
      hash.update(piece);
      await writeAll(file, piece);
      left -= piece.length;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return hash.digest('hex');
}

async function writeAll(file: FileHandle, piece: Buffer): Promise<void> {
  for (let at = 0; at < piece.length; ) at += (await file.write(piece, at)).bytesWritten;
}

async function skipPadding(reader: BlockReader, { name, size }: TarMember): Promise<void> {
  const padding = await reader.exactly(paddingOf(size));
  if (padding.some((byte) => byte !== 0)) throw new BackupError(`is damaged after ${name}`);
}

async function syncDirectory(place: string): Promise<void> {
  const directory = await open(place, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function asBackupError<T>(read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    throw new BackupError(`cannot be read: ${(thrown as Error).message}`, { cause: thrown });
  }
}

/** Reads a source of pieces of any size in the sizes that the caller needs. */
class BlockReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** @throws BackupError if the source ends before */
  async exactly(length: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (let left = length; left > 0; ) {
      const piece = await this.upTo(left);
      pieces.push(piece);
      left -= piece.length;
    }
    return Buffer.concat(pieces);
  }

  /** At least one byte. @throws BackupError at the end of the source */
  async upTo(length: number): Promise<Buffer> {
    if (await this.isAtEnd()) throw new BackupError('is not complete: it ends too early');
    const piece = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return piece;
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#source.next();
      if (done === true) return true;
      this.#rest = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    return false;
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }
}

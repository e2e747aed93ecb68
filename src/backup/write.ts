/** Writes a backup: a tar archive with the digest of each file. */

import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { CHECKSUMS, DATABASE, MANIFEST, type Manifest, writeManifest } from './contents.ts';
import { END, paddingOf, tarHeader } from './tar.ts';

export interface BackupContents {
  readonly manifest: Manifest;
  /** All other files except the database, by name. */
  readonly files: ReadonlyMap<string, Buffer>;
  readonly database: Pick<FileHandle, 'read' | 'stat'>;
}

/** The database is read and sent in pieces of this size, in bytes. */
const PIECE = 64 * 1024;

/** The archive, in pieces; the database is read while its pieces are asked for. @throws Error if it cannot be read */
export async function* writeBackup({ manifest, files, database }: BackupContents): AsyncGenerator<Buffer> {
  const mtime = Math.floor(manifest.createdAt / 1000);
  const sums: string[] = [];
  const small = [[MANIFEST, writeManifest(manifest)] as const, ...[...files].toSorted(byName)];
  for (const [name, bytes] of small) {
    sums.push(sumLine(createHash('sha256').update(bytes).digest('hex'), name));
    yield* member(name, bytes, mtime);
  }
  const { size } = await database.stat();
  yield tarHeader(DATABASE, size, mtime);
  const digest = createHash('sha256');
  for (let at = 0; at < size; ) {
    const piece = Buffer.allocUnsafe(Math.min(PIECE, size - at));
    const { bytesRead } = await database.read(piece, 0, piece.length, at);
    if (bytesRead === 0) throw new Error('the copy of the database became shorter while it was read');
    at += bytesRead;
    digest.update(piece.subarray(0, bytesRead));
    yield piece.subarray(0, bytesRead);
  }
  yield Buffer.alloc(paddingOf(size));
  sums.push(sumLine(digest.digest('hex'), DATABASE));
  yield* member(CHECKSUMS, Buffer.from(sums.join('')), mtime);
  yield END;
}

function* member(name: string, bytes: Buffer, mtime: number): Iterable<Buffer> {
  yield Buffer.concat([tarHeader(name, bytes.length, mtime), bytes, Buffer.alloc(paddingOf(bytes.length))]);
}

/** A line as `sha256sum` prints it. */
export function sumLine(digest: string, name: string): string {
  return `${digest}  ${name}\n`;
}

/** The order of names in `isInOrder`. */
function byName([a]: readonly [string, Buffer], [b]: readonly [string, Buffer]): number {
  const rank = (name: string) => (name.startsWith('ca/') ? 0 : 1);
  return rank(a) - rank(b) || (a < b ? -1 : 1);
}

/** Backups made in memory. */

import { createHash } from 'node:crypto';
import { open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { CHECKSUMS } from '../../src/backup/contents.ts';
import { END, paddingOf, tarHeader } from '../../src/backup/tar.ts';
import { writeBackup } from '../../src/backup/write.ts';
import { tempDir } from '../support/temp-dir.ts';

export const MADE_AT = Date.parse('2026-11-30T10:00:00.123Z');
export const MANIFEST_VALUE = { sidekey: '0.1.0', trustDomain: 'ilinux.io', createdAt: MADE_AT };

/** The archive that Sidekey writes of these files. */
export async function archiveOf(t: TestContext, files: ReadonlyMap<string, Buffer>, database: Buffer): Promise<Buffer> {
  const file = path.join(tempDir(t), 'db');
  await writeFile(file, database);
  const handle = await open(file, 'r');
  try {
    return await buffer(writeBackup({ manifest: MANIFEST_VALUE, files, database: handle }));
  } finally {
    await handle.close();
  }
}

/** An archive of any members, with right headers and checksums: what somebody hostile can make. */
export function forgedArchive(members: readonly (readonly [name: string, bytes: Buffer])[]): Buffer {
  const sums = members.map(([name, bytes]) => `${createHash('sha256').update(bytes).digest('hex')}  ${name}\n`);
  const all = [...members, [CHECKSUMS, Buffer.from(sums.join(''))] as const];
  const mtime = Math.floor(MADE_AT / 1000);
  return Buffer.concat([
    ...all.flatMap(([name, bytes]) => [
      tarHeader(name, bytes.length, mtime),
      bytes,
      Buffer.alloc(paddingOf(bytes.length)),
    ]),
    END,
  ]);
}

/** The bytes in pieces of this size. */
export async function* pieces(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

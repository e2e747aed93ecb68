/** Gets a backup from the server, encrypts it and writes it to a file. */

import { once } from 'node:events';
import { lstatSync, rmSync } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import path from 'node:path';
import { encrypt } from '../backup/index.ts';
import type { BackupFlags } from './backup-flags.ts';
import { readEncryption } from './backup-secrets.ts';
import { UsageError } from './errors.ts';
import { printFields, printView } from './output.ts';
import { openClient } from './target.ts';

/** @throws UsageError; AdminError if the server refuses; Error if the file cannot be written */
export async function backup(file: string, flags: BackupFlags): Promise<void> {
  if (file !== '-') checkTarget(file);
  else if (process.stdout.isTTY) throw new UsageError('the backup is not written to a terminal: give a file');
  const how = await readEncryption(flags);
  const client = await openClient(flags);
  const archive = await client.bytes('POST', '/v1/backup');
  const bytes = how === undefined ? archive : await encrypt(archive, how);
  if (file === '-') return toStdout(bytes);
  const size = await writeSafely(file, bytes);
  const encryption =
    how === undefined
      ? 'none'
      : 'passphrase' in how
        ? 'passphrase'
        : `to ${how.recipients.length} ${how.recipients.length === 1 ? 'recipient' : 'recipients'}`;
  if (how === undefined) process.stderr.write(`warning: ${file} has the keys of the authorities in clear\n`);
  await printView(flags.output, {
    value: { file, bytes: size, encryption },
    names: [file],
    table: () =>
      printFields([
        ['backup', file],
        ['bytes', String(size)],
        ['encryption', encryption],
      ]),
  });
}

/** @throws UsageError for a place where no file can be put */
function checkTarget(file: string): void {
  const stats = lstatSync(file, { throwIfNoEntry: false });
  if (stats !== undefined && !stats.isFile()) throw new UsageError(`${file} exists and is not a regular file`);
  const folder = path.dirname(file);
  if (lstatSync(folder, { throwIfNoEntry: false }) === undefined) throw new UsageError(`there is no folder ${folder}`);
}

async function toStdout(bytes: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const piece of bytes) if (!process.stdout.write(piece)) await once(process.stdout, 'drain');
}

/** Signals that end a command in the foreground. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Writes to another name, syncs and renames, so that the file is the former one or a whole new one. @returns the size
 */
async function writeSafely(file: string, bytes: AsyncIterable<Uint8Array>): Promise<number> {
  const draft = `${file}.${process.pid}.partial`;
  const onSignal = (signal: NodeJS.Signals) => {
    rmSync(draft, { force: true });
    for (const one of SIGNALS) process.off(one, onSignal);
    process.kill(process.pid, signal);
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    // 'wx' does not follow a link planted at this name.
    const handle = await open(draft, 'wx', 0o600);
    let size: number;
    try {
      await handle.chmod(0o600);
      size = await writeAll(handle, bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file);
    const folder = await open(path.dirname(file), 'r');
    await folder.sync().finally(() => folder.close());
    return size;
  } catch (thrown) {
    rmSync(draft, { force: true });
    throw (thrown as NodeJS.ErrnoException).syscall === undefined
      ? thrown
      : new Error(`${file} could not be written: ${(thrown as Error).message}`);
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}

async function writeAll(handle: FileHandle, bytes: AsyncIterable<Uint8Array>): Promise<number> {
  let size = 0;
  for await (const piece of bytes) {
    for (let at = 0; at < piece.length; ) at += (await handle.write(piece, at)).bytesWritten;
    size += piece.length;
  }
  return size;
}

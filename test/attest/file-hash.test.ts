import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { createFileHasher, FILE_HASH_LIMITS, type FileHasher } from '../../src/attest/file-hash.ts';
import { fileStatus } from '../../src/attest/libc.ts';
import { openDescriptors } from '../support/pipe.ts';
import { tempDir } from '../support/temp-dir.ts';

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

test('a file of several slices is hashed right, and once', async (t) => {
  const file = path.join(tempDir(t), 'file');
  const bytes = Buffer.alloc(1_000_003, 'sidekey');
  fs.writeFileSync(file, bytes);
  const hasher = createFileHasher();
  assert.equal(await hasher.sha256(file), sha256(bytes));
  assert.equal(await hasher.sha256(file), sha256(bytes));
  assert.equal(hasher.runs, 1);
});

test('callers at the same time share one reading', async (t) => {
  const file = path.join(tempDir(t), 'file');
  fs.writeFileSync(file, Buffer.alloc(3_000_000));
  const hasher = createFileHasher();
  const hashes = await Promise.all(Array.from({ length: 20 }, () => hasher.sha256(file)));
  assert.equal(new Set(hashes).size, 1);
  assert.equal(hasher.runs, 1);
});

test('two names of one file share a hash; a file that takes its place does not', async (t) => {
  const file = path.join(tempDir(t), 'file');
  fs.writeFileSync(file, 'one');
  const hasher = createFileHasher();
  assert.equal(await hasher.sha256(file), sha256(Buffer.from('one')));
  fs.writeFileSync(`${file}.new`, 'two');
  fs.renameSync(`${file}.new`, file);
  assert.equal(await hasher.sha256(file), sha256(Buffer.from('two')));
  fs.symlinkSync(file, `${file}.link`);
  assert.equal(await hasher.sha256(`${file}.link`), sha256(Buffer.from('two')));
  assert.equal(hasher.runs, 2);
});

test('a file written in place, its size and mtime put back, is hashed again', async (t) => {
  const file = path.join(tempDir(t), 'file');
  fs.writeFileSync(file, 'one');
  fs.utimesSync(file, 1_000_000_000, 1_000_000_000);
  const before = fs.statSync(file, { bigint: true });
  const hasher = createFileHasher();
  await hasher.sha256(file);
  // The kernel's own ticks may be milliseconds apart.
  do {
    fs.writeFileSync(file, 'two');
    fs.utimesSync(file, 1_000_000_000, 1_000_000_000);
  } while (fs.statSync(file, { bigint: true }).ctimeNs === before.ctimeNs);
  assert.equal(await hasher.sha256(file), sha256(Buffer.from('two')));
});

test('a file beyond the limit is refused unread', async (t) => {
  const file = path.join(tempDir(t), 'file');
  fs.writeFileSync(file, Buffer.alloc(101));
  const hasher = createFileHasher({ ...FILE_HASH_LIMITS, maxBytes: 100 });
  await assert.rejects(hasher.sha256(file), { code: 'ERR_ATTESTATION_FAILED', message: /101 bytes.* 100$/ });
  assert.equal(hasher.runs, 0);
});

test('the least recently used hash is forgotten first', async (t) => {
  const directory = tempDir(t);
  const files = ['a', 'b', 'c'].map((name) => path.join(directory, name));
  for (const file of files) fs.writeFileSync(file, file);
  const [a, b, c] = files as [string, string, string];
  const hasher = createFileHasher({ ...FILE_HASH_LIMITS, remembered: 2 });
  for (const file of [a, b, a, c]) await hasher.sha256(file);
  assert.equal(hasher.runs, 3);
  await hasher.sha256(a);
  assert.equal(hasher.runs, 3);
  await hasher.sha256(b);
  assert.equal(hasher.runs, 4);
});

test('many files at once are all hashed, and every one is closed', async (t) => {
  const directory = tempDir(t);
  const files = Array.from({ length: 30 }, (_, at) => path.join(directory, `${at}`));
  for (const file of files) fs.writeFileSync(file, file);
  const before = openDescriptors();
  const hasher = createFileHasher();
  const hashes = await Promise.all(files.map((file) => hasher.sha256(file)));
  assert.deepEqual(
    hashes,
    files.map((file) => sha256(Buffer.from(file))),
  );
  await assert.rejects(hasher.sha256(path.join(directory, 'none')), { code: 'ENOENT' });
  assert.equal(openDescriptors(), before);
});

const ANOTHER = { name: 'another', accounts: [] };

/** Keeps every turn of the hasher taken, until the returned function is called or the test ends. */
function takeAllTurns(t: TestContext, hasher: FileHasher): () => Promise<void> {
  const directory = fs.mkdtempSync(path.join(tmpdir(), 'sidekey-test-'));
  const pipes = Array.from({ length: 8 }, (_, i) => path.join(directory, `pipe${i}`));
  execFileSync('mkfifo', pipes);
  const hashes = pipes.map((pipe) => hasher.sha256(pipe).catch(() => 'refused'));
  let given: Promise<void> | undefined;
  const giveBack = () => {
    given ??= release();
    return given;
  };
  t.after(giveBack);
  return giveBack;

  async function release(): Promise<void> {
    // Somebody writes at last, so that each is opened, read to its end, and gives its thread back.
    for (const pipe of pipes) await writeFile(pipe, 'x');
    await Promise.all(hashes);
    fs.rmSync(directory, { recursive: true });
  }
}

test('files of one owner that hang when they are opened keep no other owner waiting', {
  timeout: 10_000,
}, async (t) => {
  const hasher = createFileHasher();
  const giveBack = takeAllTurns(t, hasher);
  assert.equal(await hasher.sha256(import.meta.filename, ANOTHER), sha256(fs.readFileSync(import.meta.filename)));
  await giveBack();
});

test('an owner whose files hang while it reads one keeps no other owner waiting that asks for the same one', {
  timeout: 10_000,
}, async (t) => {
  const file = path.join(tempDir(t), 'file');
  fs.writeFileSync(file, '');
  fs.truncateSync(file, 64 * 1024 * 1024);
  const hasher = createFileHasher();
  let ended = false;
  const first = hasher.sha256(file).finally(() => {
    ended = true;
  });
  while (hasher.runs === 0) await setImmediate();
  const giveBack = takeAllTurns(t, hasher);
  const hash = await hasher.sha256(file, ANOTHER);
  assert.equal(ended, false);
  await giveBack();
  assert.equal(await first, hash);
});

test('files that hang when they are opened leave the rest of the thread pool free', { timeout: 10_000 }, async (t) => {
  const giveBack = takeAllTurns(t, createFileHasher());
  assert.ok((await readFile(import.meta.filename)).length > 0);
  await giveBack();
});

test('a known hash of a file on a disk waits for no other file', { timeout: 10_000 }, async (t) => {
  const file = path.join(tempDir(t), 'file');
  fs.writeFileSync(file, 'one');
  if (!fileStatus(file).onBlockDevice) return t.skip('the temporary directory is on no block device');
  const hasher = createFileHasher();
  await hasher.sha256(file);
  const giveBack = takeAllTurns(t, hasher);
  assert.equal(await hasher.sha256(file), sha256(Buffer.from('one')));
  await giveBack();
});

test('where others may write the file unseen, it is opened before its known hash is told', {
  timeout: 10_000,
}, async (t) => {
  const memory = fs.mkdtempSync('/dev/shm/sidekey-test-');
  t.after(() => fs.rmSync(memory, { recursive: true }));
  const file = path.join(memory, 'file');
  fs.writeFileSync(file, 'one');
  const hasher = createFileHasher();
  await hasher.sha256(file);
  const giveBack = takeAllTurns(t, hasher);
  let told = false;
  const hash = hasher.sha256(file).finally(() => {
    told = true;
  });
  await setImmediate();
  assert.equal(told, false);
  await giveBack();
  assert.equal(await hash, sha256(Buffer.from('one')));
});

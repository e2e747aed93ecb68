import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { writeManifest } from '../../src/backup/contents.ts';
import { readBackup } from '../../src/backup/read.ts';
import { BLOCK, MAX_SIZE, readTarHeader, tarHeader } from '../../src/backup/tar.ts';
import { makeSmallDisk, whyNoSmallDisk } from '../support/small-disk.ts';
import { tempDir } from '../support/temp-dir.ts';
import { archiveOf, forgedArchive, MANIFEST_VALUE, pieces } from './support.ts';

const FILES = new Map([
  ['ca/state.json', Buffer.from('{}\n')],
  ['ca/root-0a.pem', Buffer.alloc(600, 'r')],
  ['admin.token', Buffer.from('0123456789abcdef\n')],
]);
const DATABASE = Buffer.alloc(3 * BLOCK + 100, 'd');

async function unpacked(t: TestContext, archive: Uint8Array, size?: number) {
  const into = path.join(tempDir(t), 'into');
  mkdirSync(into);
  const manifest = await readBackup(pieces(archive, size), into);
  const names = globSync('**', { cwd: into }).filter((name) => statSync(path.join(into, name)).isFile());
  return { into, manifest, files: new Map(names.sort().map((name) => [name, readFileSync(path.join(into, name))])) };
}

describe('an archive', () => {
  it('is unpacked to the same files, all of mode 0600, however it is cut into pieces', async (t) => {
    const file = fc.tuple(fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,80}$/), fc.uint8Array({ maxLength: 1500 }));
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(file, { selector: ([name]) => name, maxLength: 5 }),
        fc.uint8Array({ maxLength: 5000 }),
        fc.integer({ min: 1, max: 4000 }),
        async (given, database, size) => {
          const files = new Map(given.map(([name, bytes]) => [`ca/${name}`, Buffer.from(bytes)]));
          const {
            into,
            manifest,
            files: found,
          } = await unpacked(t, await archiveOf(t, files, Buffer.from(database)), size);
          assert.deepEqual(manifest, MANIFEST_VALUE);
          assert.deepEqual(found, new Map([...files, ['sidekey.db', Buffer.from(database)] as const].sort()));
          for (const name of found.keys()) assert.equal(statSync(path.join(into, name)).mode & 0o7777, 0o600);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('is one that tar and sha256sum read', async (t) => {
    const dir = tempDir(t);
    writeFileSync(path.join(dir, 'b.tar'), await archiveOf(t, FILES, DATABASE));
    const tar = spawnSync('tar', ['xf', 'b.tar'], { cwd: dir, encoding: 'utf8' });
    assert.equal(tar.status, 0, tar.stderr);
    const sums = spawnSync('sha256sum', ['--strict', '-c', 'SHA256SUMS'], { cwd: dir, encoding: 'utf8' });
    assert.equal(sums.status, 0, sums.stderr);
    assert.deepEqual(readFileSync(path.join(dir, 'sidekey.db')), DATABASE);
  });

  it('with any byte changed is refused', async (t) => {
    const archive = await archiveOf(t, FILES, DATABASE);
    // In each region: headers, contents, paddings, the end. The property of headers below tries their bytes one by one.
    for (let at = 0; at < archive.length; at += 61) {
      const changed = Buffer.from(archive);
      changed[at]! ^= 1 << (at % 8);
      await assert.rejects(unpacked(t, changed, 4000), /^BackupError|Error: /, `byte ${at}`);
    }
  });

  it('with bytes missing at the end, or more of them, is refused', async (t) => {
    const archive = await archiveOf(t, FILES, DATABASE);
    for (let length = 0; length < archive.length; length += 397) {
      await assert.rejects(unpacked(t, archive.subarray(0, length)), /ends too early/);
    }
    await assert.rejects(unpacked(t, Buffer.concat([archive, Buffer.alloc(1)])), /more content after its last file/);
  });

  it('of random bytes is refused', async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), async (bytes) => {
        await assert.rejects(unpacked(t, bytes), /is not a backup|too early/);
      }),
      { numRuns: 50 },
    );
  });
});

describe('a forged archive', () => {
  const manifest = ['sidekey-backup.json', writeManifest(MANIFEST_VALUE)] as const;
  const database = ['sidekey.db', Buffer.alloc(100)] as const;
  const empty = Buffer.alloc(0);
  const ca = (name: string) => [`ca/${name}`, empty] as const;

  const REFUSED: Record<string, readonly [readonly (readonly [string, Buffer])[], RegExp]> = {
    'a path that leads out': [[manifest, ['ca/../../evil', empty], database], /not a file of a backup/],
    'an absolute path': [[manifest, ['/etc/evil', empty], database], /not a file of a backup/],
    'a hidden name': [[manifest, ['ca/.evil', empty], database], /not a file of a backup/],
    'a folder below': [[manifest, ['ca/a/b', empty], database], /not a file of a backup/],
    'a name with a line feed': [[manifest, ['ca/a', empty], ['ca/b\u0001', empty], database], /cannot name/],
    'an unknown file': [[manifest, ['sidekey.db-wal', empty], database], /not a file of a backup/],
    'a file twice': [[manifest, ca('a'), ca('a'), database], /not a file of a backup at this place/],
    'another order': [[manifest, ca('b'), ca('a'), database], /not a file of a backup at this place/],
    'two databases': [[manifest, database, database], /not a file of a backup at this place/],
    'no manifest': [[database], /is not a backup/],
    'no database': [[manifest, ca('a')], /has no database/],
    'a file of the authorities that is too large': [
      [manifest, ['ca/a', Buffer.alloc(1024 * 1024 + 1)], database],
      /at most 1048576/,
    ],
    'too many files': [
      [manifest, ...Array.from({ length: 1100 }, (_, i) => ca(String(i).padStart(5, '0'))), database],
      /more than 1000 files/,
    ],
    'another format': [
      [['sidekey-backup.json', Buffer.from('{"format":"sidekey-backup-2","sidekey":"9.0.0"}')], database],
      /format sidekey-backup-2, made by Sidekey 9\.0\.0; this one reads sidekey-backup-1/,
    ],
    'a manifest that is no object': [[['sidekey-backup.json', Buffer.from('null')], database], /no known format/],
    'a trust domain that is none': [
      [['sidekey-backup.json', writeManifest({ ...MANIFEST_VALUE, trustDomain: '../x' })], database],
      /trust domain .* is invalid/,
    ],
  };
  for (const [what, [members, message]] of Object.entries(REFUSED)) {
    it(`with ${what} is refused`, async (t) => {
      await assert.rejects(async () => unpacked(t, forgedArchive(members)), message);
    });
  }

  it('with a symbolic link, a directory or an extension is refused, and nothing is written through a link', async (t) => {
    for (const type of ['1', '2', '3', '5', 'x', 'g', 'L']) {
      const archive = forgedArchive([manifest, ca('a'), database]);
      const at = archive.indexOf('ca/a');
      const header = archive.subarray(at, at + BLOCK);
      header.write(type, 156, 'latin1');
      header.write(' '.repeat(8), 148, 'latin1');
      const sum = header.reduce((total, byte) => total + byte, 0);
      header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
      await assert.rejects(unpacked(t, archive), /is damaged after sidekey-backup.json/, type);
    }
  });

  const why = whyNoSmallDisk();
  it('whose database claims more bytes than the disk has is refused before they are read', {
    skip: why ?? false,
  }, async (t) => {
    const start = forgedArchive([manifest]).subarray(0, 2 * BLOCK);
    let read = 0;
    const endless = async function* () {
      yield start;
      yield tarHeader('sidekey.db', MAX_SIZE, Math.floor(MANIFEST_VALUE.createdAt / 1000));
      for (; ; read += BLOCK) yield Buffer.alloc(BLOCK);
    };
    const { directory } = makeSmallDisk(t, 64);
    await assert.rejects(
      readBackup(endless(), directory),
      /needs 8589934591 bytes for sidekey.db, and the file system/,
    );
    assert.ok(read < 1024 * 1024);
    assert.deepEqual(readdirSync(directory), ['ca']);
  });
});

describe('a header', () => {
  it('is read only in the form that is written', () => {
    const members = fc.record({
      name: fc.stringMatching(/^[a-z][a-z0-9./-]{0,98}$/),
      size: fc.nat(MAX_SIZE),
      mtime: fc.nat(),
    });
    fc.assert(
      fc.property(members, fc.nat(BLOCK - 1), fc.integer({ min: 1, max: 255 }), (member, at, change) => {
        const header = tarHeader(member.name, member.size, member.mtime);
        assert.deepEqual(readTarHeader(header), { ...member });
        header[at]! ^= change;
        assert.equal(readTarHeader(header), undefined);
      }),
    );
  });
});

/** Fuzzes the reader of backups with a changed archive: it is refused, and nothing is written beside its folder. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { writeManifest } from '../../src/backup/contents.ts';
import { readBackup } from '../../src/backup/read.ts';
import { forgedArchive, MANIFEST_VALUE, pieces } from '../backup/support.ts';
import { mutate } from './mutate.ts';
import { Random } from './random.ts';
import { Broken, type Target } from './target.ts';

const ARCHIVE = forgedArchive([
  ['sidekey-backup.json', writeManifest(MANIFEST_VALUE)],
  ['ca/state.json', Buffer.from('{}\n')],
  ['sidekey.db', Buffer.alloc(700, 'd')],
]);
/** Headers of other archives, and names that lead out. */
const OTHERS = [forgedArchive([['ca/../../evil', Buffer.alloc(1)]]), Buffer.from('../../evil\0'), Buffer.alloc(512)];

export const fuzzBackup: Target = async (seed, goOn) => {
  const begin = performance.now();
  const directory = mkdtempSync(path.join(tmpdir(), 'sidekey-fuzz-'));
  const into = path.join(directory, 'into');
  let count = 0;
  let refused = 0;
  try {
    for (; goOn(count); count += 1) {
      const random = Random.of(seed, count);
      const bytes = mutate(random, ARCHIVE, OTHERS);
      rmSync(into, { recursive: true, force: true });
      mkdirSync(into);
      const outcome = await readBackup(pieces(bytes, 1 + random.below(2_000)), into).then(
        () => undefined,
        (error: Error) => error,
      );
      try {
        if (outcome === undefined) assert.deepEqual(bytes, ARCHIVE);
        else assert.match(outcome.message, /^(is|has|cannot|needs) /);
        assert.deepEqual(readdirSync(directory), ['into']);
      } catch (error) {
        throw new Broken('backup', seed, count, bytes.toString('base64'), error);
      }
      if (outcome !== undefined) refused += 1;
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return { inputs: count, seconds: (performance.now() - begin) / 1_000, notes: [`${refused} refused`] };
};

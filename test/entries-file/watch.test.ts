/** Changes of files and folders are noticed, however they are made, and only when they are calm. */

import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { filesIn, readInputTexts } from '../../src/entries-file/input-texts.ts';
import { watchInputs } from '../../src/entries-file/watch.ts';
import { tempDir } from '../support/temp-dir.ts';

async function follow(t: TestContext, place: string) {
  const { version } = await readInputTexts(place);
  const seen: string[][] = [];
  const watch = watchInputs(place, version, () => {
    readInputTexts(place).then(
      ({ texts }) => seen.push(texts.map(({ text }) => text)),
      (error: Error) => seen.push([error.message]),
    );
  });
  t.after(() => watch.close());
  return {
    seen,
    /** Waits until the newest texts are these. */
    async until(...texts: readonly string[]) {
      const late = performance.now() + 100_000;
      while (JSON.stringify(seen.at(-1)) !== JSON.stringify(texts)) {
        assert.ok(performance.now() < late, `seen: ${JSON.stringify(seen)}`);
        await sleep(10);
      }
    },
  };
}

describe('a watched file', { timeout: 120_000, concurrency: 4 }, () => {
  it('is followed when it is written in place, replaced by rename, moved away and made again', async (t) => {
    const folder = tempDir(t);
    const file = path.join(folder, 'entries.yaml');
    writeFileSync(file, 'one');
    const { until, seen } = await follow(t, file);
    writeFileSync(file, 'two');
    await until('two');
    // As editors do: write beside it, move the old one away, rename.
    writeFileSync(`${file}.new`, 'three');
    renameSync(file, `${file}~`);
    renameSync(`${file}.new`, file);
    await until('three');
    rmSync(file);
    while (!/ENOENT/.test(String(seen.at(-1)))) await sleep(10);
    writeFileSync(file, 'four');
    await until('four');
    assert.equal(seen.length, 4);
  });

  it('is read once it is calm', async (t) => {
    const file = path.join(tempDir(t), 'entries.yaml');
    writeFileSync(file, '');
    const { until, seen } = await follow(t, file);
    for (let piece = 0; piece < 20; piece += 1) {
      appendFileSync(file, `${piece} `);
      await sleep(20);
    }
    await until(`${Array.from({ length: 20 }, (_, piece) => `${piece} `).join('')}`);
    assert.equal(seen.length, 1, JSON.stringify(seen));
  });

  it('is followed through links, as those of a mounted ConfigMap', async (t) => {
    const folder = tempDir(t);
    for (const [name, text] of Object.entries({ '..1': 'one', '..2': 'two', '..3': 'three' })) {
      mkdirSync(path.join(folder, name));
      writeFileSync(path.join(folder, name, 'a.yaml'), text);
    }
    symlinkSync('..1', path.join(folder, '..data'));
    symlinkSync('..data/a.yaml', path.join(folder, 'a.yaml'));
    const [one, all] = [await follow(t, path.join(folder, 'a.yaml')), await follow(t, folder)];
    for (const [target, text] of [
      ['..2', 'two'],
      ['..3', 'three'],
    ] as const) {
      symlinkSync(target, path.join(folder, '..data_tmp'));
      renameSync(path.join(folder, '..data_tmp'), path.join(folder, '..data'));
      await Promise.all([one.until(text), all.until(text)]);
    }
    writeFileSync(path.join(folder, '..3', 'a.yaml'), 'in place');
    await Promise.all([one.until('in place'), all.until('in place')]);
  });
});

describe('a watched folder', { timeout: 120_000, concurrency: 4 }, () => {
  it('is followed when files come, go, and the folder itself is replaced', async (t) => {
    const above = tempDir(t);
    const folder = path.join(above, 'entries');
    mkdirSync(folder);
    writeFileSync(path.join(folder, 'a.yaml'), 'a');
    const { until, seen } = await follow(t, folder);
    writeFileSync(path.join(folder, 'b.yaml'), 'b');
    await until('a', 'b');
    rmSync(path.join(folder, 'a.yaml'));
    await until('b');
    renameSync(folder, `${folder}.old`);
    while (!/ENOENT/.test(String(seen.at(-1)))) await sleep(10);
    mkdirSync(`${folder}.new`);
    writeFileSync(path.join(`${folder}.new`, 'c.yaml'), 'c');
    renameSync(`${folder}.new`, folder);
    await until('c');
    writeFileSync(path.join(folder, 'c.yaml'), 'd');
    await until('d');
  });

  it('with very many files is refused, and costs no more than one with the most that may be', async (t) => {
    const folder = tempDir(t);
    writeFileSync(path.join(folder, 'a.yaml'), 'a');
    const { seen } = await follow(t, folder);
    for (let file = 0; file < 20_000; file += 1) writeFileSync(path.join(folder, `${file}.yaml`), '');
    while (!/it has more than 1000 files/.test(String(seen.at(-1)))) await sleep(10);
    assert.equal((await filesIn(folder)).length, 1_001);
  });

  it('tells nothing of files that are not of entries', async (t) => {
    const folder = tempDir(t);
    writeFileSync(path.join(folder, 'a.yaml'), 'a');
    const { until, seen } = await follow(t, folder);
    for (const name of ['.a.yaml.swp', '4913', 'a.yaml~', 'a.txt']) writeFileSync(path.join(folder, name), 'x');
    writeFileSync(path.join(folder, 'a.yaml'), 'b');
    await until('b');
    assert.equal(seen.length, 1);
  });
});

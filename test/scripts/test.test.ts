/** The runner of the tests: files that fail beside others run once more, alone. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { tempDir } from '../support/temp-dir.ts';

const RUNNER = path.resolve(import.meta.dirname, '../../scripts/test.ts');

/** Runs files with these texts, by their names. */
async function run(t: TestContext, texts: Record<string, string>): Promise<{ code: number; output: string }> {
  const dir = path.join(tempDir(t), 'test');
  mkdirSync(dir);
  for (const [name, text] of Object.entries(texts)) {
    const body = `import { test } from 'node:test'; import fs from 'node:fs'; const dir = ${JSON.stringify(dir)};\n${text}`;
    writeFileSync(path.join(dir, `${name}.test.ts`), body);
  }
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  return new Promise((resolve) => {
    execFile(process.execPath, [RUNNER, dir], { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr });
    });
  });
}

const PASSES = "test('passes', () => {});";
const FAILS = "test('fails', () => { throw new Error('always'); });";
const FAILS_ONCE = `test('fails once', () => {
  const mark = dir + '/mark';
  if (!fs.existsSync(mark)) { fs.writeFileSync(mark, ''); throw new Error('the first time'); }
});`;

describe('npm test', () => {
  it('runs a file that failed beside others once more, and names it', async (t) => {
    const { code, output } = await run(t, { one: PASSES, two: FAILS_ONCE });
    assert.match(output, /run once more, one at a time:\n.*two\.test\.ts\n/);
    assert.match(output, /Failed beside others, passed alone:\n.*two\.test\.ts\n/);
    assert.equal(code, 0);
  });

  it('fails when a file fails again', async (t) => {
    const { code, output } = await run(t, { one: PASSES, two: FAILS, three: FAILS_ONCE });
    assert.match(output, /Failed beside others, passed alone:\n.*three\.test\.ts\nNothing/);
    assert.equal(code, 1);
  });

  it('fails when a process ends itself, and shows its stderr', async (t) => {
    const ends = "test('ends', () => { process.stderr.write('farewell\\n'); process.exit(3); });";
    const { code, output } = await run(t, { one: PASSES, two: ends });
    assert.match(output, /Failed files, how they ended and their stderr:\n.*two\.test\.ts: exit code 3\nfarewell/);
    assert.equal(code, 1);
  });

  it('runs no file again when many failed, nor one that ran alone', async (t) => {
    const many = await run(t, { one: FAILS, two: FAILS, three: FAILS, four: FAILS_ONCE });
    const alone = await run(t, { one: FAILS_ONCE });
    for (const { code, output } of [many, alone]) {
      assert.doesNotMatch(output, /run once more/);
      assert.equal(code, 1);
    }
  });

  it('lists what was skipped, and why', async (t) => {
    const { code, output } = await run(t, { one: "test('needs more', { skip: 'there is no more' }, () => {});" });
    assert.match(output, /Skipped:\n {2}needs more: there is no more\n$/);
    assert.equal(code, 0);
  });
});

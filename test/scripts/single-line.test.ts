/** `npm run check` refuses the `m` flag in src/: the rule is one of the linter's, here run on a source of its own. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const REFUSED = [
  '/^x$/m',
  '/^x$/gim',
  '/a\\/b/ms',
  '/(?m:^a)/',
  '/(?im-s:^a)/u',
  "new RegExp('x', 'm')",
  "RegExp('x', 'gm')",
  "new RegExp('x', flags)",
  'new RegExp(`(?m:^a)`)',
];
const ALLOWED = ['/m/', '/a\\/m/g', '/[/]m/u', "'a/m'", "new RegExp('m', 'g')", '/(?i:m)/', "new RegExp('m')"];

test('a regular expression with the m flag is refused in src/, in each way to write it, and elsewhere it is not', (t) => {
  const directory = tempDir(t);
  fs.mkdirSync(path.join(directory, 'scripts'));
  fs.mkdirSync(path.join(directory, 'src/room'), { recursive: true });
  for (const file of ['biome.json', 'scripts/single-line.grit']) {
    fs.copyFileSync(path.join(ROOT, file), path.join(directory, file));
  }
  const source = [...REFUSED, ...ALLOWED].map((expression, at) => `export const x${at} = ${expression};\n`).join('');
  for (const file of ['src/room/planted.ts', 'scripts/planted.ts'])
    fs.writeFileSync(path.join(directory, file), source);
  const biome = path.join(ROOT, 'node_modules/.bin/biome');
  const args = ['ci', '--vcs-enabled=false', '--only=plugin', '--reporter=github', '--max-diagnostics=none'];
  const { stdout, status } = spawnSync(biome, args, { cwd: directory, encoding: 'utf8' });
  const found = [...stdout.matchAll(/file=([^,]*),line=(\d+),.*m flag/g)].map(([, file, line]) => `${file}:${line}`);
  const expected = REFUSED.map((_, at) => `${path.join(directory, 'src/room/planted.ts')}:${at + 1}`);
  assert.deepEqual(found.sort(), expected.sort(), stdout);
  assert.equal(status, 1);
});

/** What is found of a socket by somebody who may not look: as another user, where that can be. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const NOBODY = 65_534;

it('who may not pass through the directory of a socket is told so', (t) => {
  const directory = tempDir(t);
  const isRoot = process.getuid!() === 0;
  chmodSync(directory, 0o000);
  const module = JSON.stringify(path.join(ROOT, 'src/doctor/sockets.ts'));
  const file = JSON.stringify(path.join(directory, 'admin.sock'));
  const script = `import { judgeSilence } from ${module}; console.log(JSON.stringify(await judgeSilence(${file}, {})));`;
  const ran = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    ...(isRoot ? { uid: NOBODY, gid: NOBODY } : {}),
    cwd: '/',
    encoding: 'utf8',
  });
  chmodSync(directory, 0o700);
  if (ran.status === null || /EACCES.*(?:node|sockets\.ts)/.test(ran.stderr)) {
    t.skip('nobody may not read this checkout');
    return;
  }
  assert.equal(ran.status, 0, ran.stderr);
  const [found] = JSON.parse(ran.stdout);
  assert.equal(found.rule, 'forbidden');
  assert.match(found.problem, /^only the owner of its directories and root may use it, and this is uid \d+$/);
});

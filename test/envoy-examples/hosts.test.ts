/** `npm run demo:hosts -- --check` as its user runs it. */

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { test } from 'node:test';
import { envoyForTests } from '../support/envoy.ts';
import { ROOT } from '../support/serve.ts';

const user = process.getuid!() === 0 ? [] : ['--user', '--map-root-user'];
const mayNot = spawnSync('unshare', [...user, '--net', 'ip', 'link']).status !== 0;

const found = await envoyForTests();
const skip = found.skip === false ? mayNot && 'no network namespaces can be made here (unshare, ip)' : found.skip;

test('the demo on several hosts works', { skip }, async (t) => {
  const main = path.join(ROOT, 'envoy-examples/hosts/main.ts');
  const child = spawn(process.execPath, [main, '--check'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: found.skip === false ? { ...process.env, ENVOY: found.envoy.path } : process.env,
  });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const [code] = await once(child, 'close');
  assert.equal(code, 0, output);
  assert.equal(output.match(/✓/g)?.length, 8, output);
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const COMMANDS = [
  ['entry', 'list'],
  ['proxies'],
  ['explain', '--pid', '1'],
  ['bundle', 'show'],
  ['alias', 'list'],
  ['healthcheck'],
  ['doctor'],
];

for (const command of COMMANDS) {
  test(`sidekey ${command.join(' ')} is asked over a socket without loading the server, native code or TLS`, (t) => {
    const { files, modules } = loadedBy(t, [...command, '--admin-socket', path.join(tempDir(t), 'none.sock')]);
    assert.deepEqual(files, ['sidekey.cjs']);
    assert.ok(modules.includes('NativeModule http'), 'it would have asked');
    assert.ok(!modules.includes('NativeModule tls'));
    assert.ok(!modules.includes('NativeModule http2'));
  });
}

test('the server is one file: a running one needs no other of the bundles, which a build may replace', () => {
  const bundle = readFileSync(path.join(ROOT, 'dist/serve.cjs'), 'utf8');
  assert.doesNotMatch(bundle, /require\(["']\.{1,2}\/[^"']*["']\)/);
});

/** The files that are not Node's own, and the modules that are, which a command has loaded when it ends. */
function loadedBy(t: Parameters<typeof tempDir>[0], args: readonly string[]): { files: string[]; modules: string[] } {
  const folder = tempDir(t);
  const [probe, report] = [path.join(folder, 'probe.cjs'), path.join(folder, 'loaded.json')];
  writeFileSync(
    probe,
    `process.on('exit', () => {
      const files = Object.keys(require.cache).filter((file) => file !== __filename).map((file) => require('node:path').basename(file));
      require('node:fs').writeFileSync(${JSON.stringify(report)}, JSON.stringify({ files, modules: process.moduleLoadList }));
    });`,
  );
  const env = { ...process.env, NODE_OPTIONS: `--require=${probe}` };
  spawnSync(path.join(ROOT, 'bin/sidekey'), args, { env, stdio: 'ignore' });
  return JSON.parse(readFileSync(report, 'utf8'));
}

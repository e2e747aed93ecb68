/**
 * Schemathesis reads the served OpenAPI document and sends what it allows and what it forbids: no answer may be 5xx,
 * undocumented, or of another form than documented.
 */

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { cleanEnvironment } from '../cli/support.ts';
import { ROOT, serve } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Where .ci/run installs it: pip install --target. */
const PACKAGES = path.join(ROOT, '.cache/schemathesis');
const SECONDS = 40;

const env = { ...cleanEnvironment(), PYTHONPATH: PACKAGES, SCHEMATHESIS_HOOKS: '' };
const found = spawnSync('python3', ['-m', 'schemathesis.cli', '--version'], { env });
const skip =
  found.status === 0
    ? false
    : 'Schemathesis is not here: python3 -m pip install --require-hashes --no-deps -r scripts/schemathesis-requirements.txt --target .cache/schemathesis';

test('the admin API answers as its OpenAPI document says, whatever is asked', { skip, timeout: 240_000 }, async (t) => {
  const server = await serve(t, { flags: ['--admin-listen', '127.0.0.1:0'], logLevel: 'info' });
  const { port } = await server.logged('admin API listens on TCP');
  const token = readFileSync(path.join(server.dataDir, 'admin.token'), 'utf8').trim();
  const args = [
    ...['-m', 'schemathesis.cli', '--config-file', path.join(import.meta.dirname, 'schemathesis.toml'), 'run'],
    `http://127.0.0.1:${port}/openapi.json`,
    ...['--header', `Authorization: Bearer ${token}`],
    ...['--checks', 'all', '--phases', 'examples,coverage,fuzzing,stateful', '--continue-on-failure'],
    // Their answers do not end.
    ...['--exclude-operation-id', 'streamEvents', '--exclude-operation-id', 'followPage'],
    ...['--max-time', String(SECONDS), '--request-timeout', '20', '--seed', '1', '--no-color'],
    ...['--generation-database', 'none', '--warnings', 'off'],
  ];
  const options = { cwd: tempDir(t), env, maxBuffer: 64 * 1024 * 1024 };
  const { stdout } = await promisify(execFile)('python3', args, options).catch((failed: { stdout?: string }) =>
    assert.fail(failed.stdout ?? String(failed)),
  );
  const [, cases] = /(\d+) generated/.exec(stdout) ?? [];
  assert.ok(Number(cases) > 100, stdout);
  t.diagnostic(`${cases} requests`);
  assert.deepEqual(
    server.log.filter(({ level }) => level === 'error'),
    [],
  );
  assert.equal((await server.request('GET', '/readyz')).status, 200);
});

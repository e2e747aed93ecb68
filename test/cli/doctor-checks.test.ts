import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readBootstrapFlags } from '../../src/cli/bootstrap-flags.ts';
import { fileChecks } from '../../src/cli/doctor-checks.ts';
import { runChecks } from '../../src/doctor/check.ts';
import { bootstrapYaml } from '../../src/envoy/bootstrap.ts';
import { tempDir } from '../support/temp-dir.ts';

test('a bootstrap is looked at where no server is named and there is no place to look for one, as in CI', async (t) => {
  const before = { ...process.env };
  t.after(() => {
    process.env = before;
  });
  for (const name of ['HOME', 'XDG_STATE_HOME', 'SIDEKEY_ADMIN_SOCKET', 'SIDEKEY_ADMIN_URL', 'SIDEKEY_DATA_DIR'])
    delete process.env[name];
  t.mock.property(process, 'geteuid', () => 1000);
  const flags = { spiffeId: 'spiffe://ilinux.io/web', listen: '0.0.0.0:1', to: '127.0.0.1:2' };
  const file = path.join(tempDir(t), 'envoy.yaml');
  writeFileSync(file, bootstrapYaml(readBootstrapFlags({ ...flags, socket: '/pipe', admin: '127.0.0.1:3' })));
  const { findings, skipped } = await runChecks(await fileChecks([file], { output: 'table' }));
  assert.deepEqual(
    findings.map(({ rule, problem }) => [rule, problem]),
    [['sds-pipe', 'this host has no /pipe']],
  );
  assert.equal(skipped.length, 1);
  assert.match(skipped[0]!.why, /HOME and XDG_STATE_HOME are not set.*: give --admin-socket/);
});

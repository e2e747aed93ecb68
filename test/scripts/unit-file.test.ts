/** The unit file of docs/host.md, as systemd reads it. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const INSTALLED = '/usr/local/bin/sidekey';

function whyNot(): string | undefined {
  const { error } = spawnSync('systemd-analyze', ['--version']);
  return error === undefined ? undefined : 'there is no systemd-analyze (package systemd)';
}

/** The unit of the page, for the program of this clone. */
function unitOf(page: string): string {
  const [, unit] = /^```ini\n(\[Unit\]\n[^`]*)^```$/m.exec(page)!;
  assert.ok(unit!.includes(INSTALLED));
  return unit!.replaceAll(INSTALLED, path.join(ROOT, 'bin/sidekey'));
}

function verify(t: TestContext, unit: string) {
  const file = path.join(tempDir(t), 'sidekey.service');
  writeFileSync(file, unit);
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', '--recursive-errors=no', file], {
    encoding: 'utf8',
  });
  return { status, stderr };
}

describe('the unit file of docs/host.md', { skip: whyNot() ?? false }, () => {
  const unit = unitOf(readFileSync(path.join(ROOT, 'docs/host.md'), 'utf8'));

  it('has no setting that systemd does not know, and no value that it cannot read', (t) => {
    assert.deepEqual(verify(t, unit), { status: 0, stderr: '' });
  });

  for (const [what, from, to] of [
    ['a setting that does not exist', 'StateDirectoryMode=', 'StateDirectoryModes='],
    ['a value that cannot be read', 'LimitNOFILE=65536', 'LimitNOFILE=many'],
    ['a command that is not there', '/bin/sidekey serve --config', '/bin/sidekeys serve --config'],
  ] as const) {
    it(`would not pass with ${what}`, (t) => {
      const { stderr } = verify(t, unit.replace(from, to));
      assert.notEqual(stderr, '');
    });
  }
});

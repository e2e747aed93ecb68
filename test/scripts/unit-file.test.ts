/** The unit file, as systemd reads it. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { tempDir } from '../support/temp-dir.ts';
import { settingOf, unitFile, unitHere } from '../support/unit-file.ts';

function whyNot(): string | undefined {
  const { error } = spawnSync('systemd-analyze', ['--version']);
  return error === undefined ? undefined : 'there is no systemd-analyze (package systemd)';
}

/** Exposure by systemd's own measure, times 10: from 0 to 100, where 30 is 3.0. */
const MOST_EXPOSED = 30;

/** Each of these keeps Sidekey from seeing its callers, or Node from running. */
const NEVER = ['ProtectProc', 'ProcSubset', 'PrivateUsers', 'PrivatePIDs', 'PrivateNetwork', 'MemoryDenyWriteExecute'];

function write(t: TestContext, unit: string): string {
  const file = path.join(tempDir(t), 'sidekey.service');
  writeFileSync(file, unit);
  return file;
}

function verify(t: TestContext, unit: string) {
  const file = write(t, unit);
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', '--recursive-errors=no', file], {
    encoding: 'utf8',
  });
  return { status, stderr };
}

it('the unit file has none of the restrictions that attestation or Node cannot bear', () => {
  for (const name of NEVER) assert.deepEqual(settingOf(name), [], name);
  assert.deepEqual(settingOf('ProtectControlGroups'), ['yes'], 'nothing that makes a cgroup namespace');
  assert.ok(settingOf('CapabilityBoundingSet').includes('CAP_SYS_PTRACE'));
  assert.deepEqual(settingOf('RuntimeDirectoryPreserve'), ['yes']);
  assert.deepEqual(settingOf('Type'), ['notify'], 'notify-reload is unknown to systemd before 253');
});

describe('the unit file', { skip: whyNot() ?? false }, () => {
  const unit = unitHere();

  it('is for the command that npm installs', () => {
    assert.notEqual(unit, unitFile());
  });

  it(`exposes the service no more than ${MOST_EXPOSED / 10}`, (t) => {
    const args = ['security', '--offline=true', '--no-pager', `--threshold=${MOST_EXPOSED}`, write(t, unit)];
    const { status, stdout, stderr } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
    if (/unrecognized option|Unknown.*offline/i.test(stderr)) return t.skip('systemd before 250 has no offline score');
    assert.equal(status, 0, `${stdout.split('\n').slice(-3).join('')}${stderr}`);
    return undefined;
  });

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

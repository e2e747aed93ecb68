/** The unit files, as systemd reads them. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { loadAgentConfig } from '../../src/config/load.ts';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';
import { settingOf, type UnitName, unitFile, unitHere } from '../support/unit-file.ts';

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

/** By unit: the command that it runs. */
const COMMANDS: Readonly<Record<UnitName, string>> = { sidekey: 'serve', 'sidekey-agent': 'agent run' };

for (const [name, command] of Object.entries(COMMANDS) as [UnitName, string][]) {
  const unit = unitHere(name);

  it(`${name}.service has none of the restrictions that attestation or Node cannot bear`, () => {
    for (const never of NEVER) assert.deepEqual(settingOf(never, unit), [], never);
    assert.deepEqual(settingOf('ProtectControlGroups', unit), ['yes'], 'nothing that makes a cgroup namespace');
    assert.ok(settingOf('CapabilityBoundingSet', unit).includes('CAP_SYS_PTRACE'));
    assert.deepEqual(settingOf('RuntimeDirectoryPreserve', unit), ['yes']);
    assert.deepEqual(settingOf('Type', unit), ['notify'], 'notify-reload is unknown to systemd before 253');
  });

  describe(`${name}.service`, { skip: whyNot() ?? false }, () => {
    it('is for the command that npm installs', () => {
      assert.notEqual(unit, unitFile(name));
    });

    it(`exposes the service no more than ${MOST_EXPOSED / 10}`, (t) => {
      const args = ['security', '--offline=true', '--no-pager', `--threshold=${MOST_EXPOSED}`, write(t, unit)];
      const { status, stdout, stderr } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
      if (/unrecognized option|Unknown.*offline/i.test(stderr))
        return t.skip('systemd before 250 has no offline score');
      assert.equal(status, 0, `${stdout.split('\n').slice(-3).join('')}${stderr}`);
      return undefined;
    });

    it('has no setting that systemd does not know, and no value that it cannot read', (t) => {
      assert.deepEqual(verify(t, unit), { status: 0, stderr: '' });
    });

    for (const [what, from, to] of [
      ['a setting that does not exist', 'StateDirectoryMode=', 'StateDirectoryModes='],
      ['a value that cannot be read', 'LimitNOFILE=65536', 'LimitNOFILE=many'],
      ['a command that is not there', `/bin/sidekey ${command} --config`, `/bin/sidekeys ${command} --config`],
    ] as const) {
      it(`would not pass with ${what}`, (t) => {
        const { stderr } = verify(t, unit.replace(from, to));
        assert.notEqual(stderr, '');
      });
    }
  });
}

it('the units restrict a server and an agent alike, except that an agent listens on no port', () => {
  const [server, agent] = (['sidekey', 'sidekey-agent'] as const).map((name) => {
    const lines = unitFile(name).split('\n');
    return lines.slice(lines.indexOf('LimitNOFILE=65536')).filter((line) => /^\w+=/.test(line));
  });
  assert.ok(server!.length > 20);
  assert.deepEqual(
    agent,
    server!.map((line) => line.replace(' CAP_NET_BIND_SERVICE', '')),
  );
});

it("the agent's settings file is right once its examples are settings", async (t) => {
  const folder = tempDir(t);
  const text = readFileSync(path.join(ROOT, 'packaging/sidekey-agent.yaml'), 'utf8');
  const config = path.join(folder, 'sidekey-agent.yaml');
  // The group is that of the Debian package.
  writeFileSync(config, text.replace(/^#(?=\w)/gm, '').replace('socketGroup: sidekey', 'socketGroup: 0'));
  writeFileSync(path.join(folder, 'bundle.pem'), '');
  const read = await loadAgentConfig({ flags: { config }, env: {}, uid: 0, folder: '/' });
  assert.deepEqual(read.server, [{ host: 'sidekey.example.org', port: 8081 }]);
  assert.equal(read.trustDomain, 'example.org');
  assert.equal(read.trustBundle, path.join(folder, 'bundle.pem'));
  assert.equal(read.joinTokenFile, path.join(folder, 'join-token'));
  assert.equal(read.dataDir, '/var/lib/sidekey-agent', 'as StateDirectory= of the unit');
});

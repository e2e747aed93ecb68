/**
 * The Debian package: installed, started, upgraded, removed and purged by dpkg, in a copy of this machine's root. No systemd
 * runs there: the test starts what the unit says, and its own systemctl notes what the package asks of it.
 */

import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { it, type TestContext } from 'node:test';
import { COMMAND_NAMES } from '../../src/cli/called-as.ts';
import { openNotifySocket } from '../support/notify-socket.ts';
import { openOverlayRoot, whyNoOverlayRoot } from '../support/overlay-root.ts';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';
import { settingOf } from '../support/unit-file.ts';

function whyNot(): string | undefined {
  if (spawnSync('dpkg-deb', ['--version']).status !== 0) return 'there is no dpkg-deb (package dpkg)';
  if (spawnSync('dpkg-query', ['-W', 'libstdc++6']).status !== 0) return 'this machine is not installed by dpkg';
  return whyNoOverlayRoot();
}

/** What stands in for systemd: writes down what it is asked, and ends the server when asked to stop. */
const MANAGER = `#!/bin/sh
echo "\${0##*/} $*" >>/asked
[ "\${0##*/} $1" != 'deb-systemd-invoke stop' ] || kill "$(cat /server.pid)"
`;

/** The same package with a higher version. */
function newerThan(file: string, folder: string, version: string): string {
  const files = path.join(folder, 'unpacked');
  execFileSync('dpkg-deb', ['-R', file, files]);
  const control = path.join(files, 'DEBIAN/control');
  writeFileSync(control, readFileSync(control, 'utf8').replace(/^Version: .*$/m, `Version: ${version}`));
  const newer = path.join(folder, 'newer.deb');
  execFileSync('dpkg-deb', ['--root-owner-group', '-Znone', '-b', files, newer], { stdio: 'ignore' });
  return newer;
}

async function open(t: TestContext) {
  const folder = tempDir(t);
  chmodSync(folder, 0o755);
  const args = [path.join(ROOT, 'scripts/deb.ts'), '--out', folder, '--compression', 'none'];
  execFileSync(path.join(ROOT, 'scripts/node'), args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const file = path.join(folder, readdirSync(folder).find((name) => name.endsWith('.deb'))!);
  const root = await openOverlayRoot(t, folder);
  const [program, ...before] = root.launcher;
  const run = (...words: readonly string[]) => spawnSync(program!, [...before, ...words], { encoding: 'utf8' });
  const done = (...words: readonly string[]) => {
    const { status, stdout, stderr } = run(...words);
    assert.equal(status, 0, `${words.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  };
  return { folder, file, launcher: root.launcher, run, done };
}

it('the Debian package is installed, started, upgraded, removed and purged', {
  skip: whyNot() ?? false,
  timeout: 240_000,
}, async (t) => {
  const { folder, file, launcher, run, done } = await open(t);
  const exists = (place: string) => run('test', '-e', place).status === 0;
  const contents = (place: string) => done('cat', place);
  for (const name of ['systemctl', 'deb-systemd-invoke']) {
    writeFileSync(path.join(folder, name), MANAGER, { mode: 0o755 });
    done('cp', `/mnt/${name}`, `/usr/bin/${name}`);
  }
  // This machine may have some of its own.
  done('rm', '-rf', '/var/lib/sidekey', '/etc/sidekey');
  done('mkdir', '-p', '/run/systemd/system');

  const hint = done('dpkg', '-i', `/mnt/${path.basename(file)}`);
  assert.match(hint, /Sidekey is not started: set trustDomain in \/etc\/sidekey\/sidekey\.yaml/);
  assert.doesNotMatch(contents('/asked'), /start/, 'it is not started');
  assert.match(done('sidekey', '--version'), /^\d+\.\d+\.\d+\n$/);
  assert.match(contents('/etc/group'), /^sidekey:x:\d+:$/m);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own form
  const conffiles = done('dpkg-query', '-W', '-f', '${Conffiles}', 'sidekey');
  for (const name of ['sidekey.yaml', 'entries.yaml']) assert.ok(conffiles.includes(`/etc/sidekey/${name}`));
  assert.equal(done('dpkg', '--verify', 'sidekey'), '', 'all files are as packed');
  for (const place of done('dpkg', '-L', 'sidekey').trim().split('\n')) {
    const [owner, mode] = done('stat', '-c', '%U:%G %A', place).trim().split(' ') as [string, string];
    assert.equal(owner, 'root:root', place);
    assert.ok(mode.startsWith('l') || (mode[5] !== 'w' && mode[8] !== 'w'), `${place}: ${mode}`);
  }
  const page = done('gzip', '-dc', '/usr/share/man/man1/sidekey.1.gz');
  for (const command of COMMAND_NAMES) assert.ok(page.includes(`.SS sidekey ${command.replaceAll('-', '\\-')}\n`));
  assert.ok(!page.includes(ROOT));
  assert.match(contents('/usr/share/bash-completion/completions/sidekey'), /^complete .* sidekey$/m);
  assert.match(contents('/usr/share/zsh/vendor-completions/_sidekey'), /^#compdef sidekey$/m);
  assert.match(contents('/usr/share/fish/vendor_completions.d/sidekey.fish'), /^complete -c sidekey /m);

  const unit = contents('/usr/lib/systemd/system/sidekey.service');
  const check = settingOf('ExecStartPre', unit);
  const without = run(...check);
  assert.equal(without.status, 1);
  assert.match(without.stderr, /trustDomain|--trust-domain/);
  done('sed', '-i', 's/^#trustDomain:/trustDomain:/', '/etc/sidekey/sidekey.yaml');
  // As StateDirectory= and RuntimeDirectory= make them.
  done('install', '-d', '-m', '0700', '/var/lib/sidekey');
  done('install', '-d', '-m', '0755', '/run/sidekey');
  const kernel = 'SIDEKEY_ALLOW_UNPINNED_PEERS=true';
  done('env', kernel, ...check);
  const manager = openNotifySocket(t, true);
  const start = () => {
    const note = ['sh', '-c', 'echo $$ >/server.pid; exec "$@"', 'sh'];
    const words = [...launcher, kernel, `NOTIFY_SOCKET=${manager.name}`, ...note, ...settingOf('ExecStart', unit)];
    const server = spawn(words[0]!, words.slice(1), { stdio: ['ignore', 'ignore', 'inherit'] });
    t.after(() => server.kill('SIGKILL'));
    return once(server, 'close');
  };
  const ended = start();
  assert.match(await manager.next(/^READY=1/), /serving example\.org: 0 entries/);
  assert.equal(done('stat', '-c', '%U:%G %a', '/run/sidekey/agent.sock'), 'root:sidekey 660\n');
  done('sidekey', 'entry', 'create', '--spiffe-id', 'spiffe://example.org/web', '--selector', 'unix:uid:0');
  assert.match(done('sidekey', 'fetch'), /spiffe:\/\/example\.org\/web/);

  const newer = newerThan(file, folder, '99.0.0');
  assert.doesNotMatch(done('dpkg', '-i', `/mnt/${path.basename(newer)}`), /is not started/);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own form
  assert.match(done('dpkg-query', '-W', '-f', '${Status} ${Version}', 'sidekey'), /ok installed 99\.0\.0/);
  assert.match(contents('/asked'), /^deb-systemd-invoke try-restart sidekey\.service$/m);
  assert.match(contents('/etc/sidekey/sidekey.yaml'), /^trustDomain: example\.org$/m, 'a changed file stays');
  done('sidekey', 'healthcheck');
  assert.match(done('sidekey', 'fetch'), /spiffe:\/\/example\.org\/web/, 'the server of before the upgrade serves on');

  done('dpkg', '-r', 'sidekey');
  assert.match(contents('/asked'), /^deb-systemd-invoke stop sidekey\.service$/m);
  assert.deepEqual(await ended, [0, null]);
  for (const place of ['/usr/lib/sidekey', '/usr/bin/sidekey', '/run/sidekey']) assert.ok(!exists(place), place);
  for (const place of ['/etc/sidekey/sidekey.yaml', '/var/lib/sidekey/ca']) assert.ok(exists(place), place);

  done('dpkg', '-i', `/mnt/${path.basename(newer)}`);
  done('install', '-d', '-m', '0755', '/run/sidekey');
  const again = start();
  assert.match(await manager.next(/^READY=1/, manager.messages.length), /serving example\.org: 1 entry/);
  assert.match(done('dpkg', '-P', 'sidekey'), /stay in \/var\/lib\/sidekey. To remove them: rm -r/);
  assert.deepEqual(await again, [0, null]);
  assert.ok(!exists('/etc/sidekey'));
  assert.ok(exists('/var/lib/sidekey/ca'), 'keys are removed by nobody but a person');
  assert.equal(run('dpkg-query', '-W', 'sidekey').status, 1);
});

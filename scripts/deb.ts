/**
 * `npm run deb [-- --out FOLDER] [--version VERSION] [--compression xz|gzip|none]`: makes a Debian package for this machine's
 * architecture, of the same files that the image has, with Node, the unit file, completions, a manual page and the
 * documents. Prints its path. The same sources give the same package (SOURCE_DATE_EPOCH; by default the last commit's time).
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  globSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { manPage } from './man-page.ts';
import { copyRuntimeFiles, NODE_FILE } from './runtime-files.ts';

const root = path.dirname(import.meta.dirname);
const sidekey = path.join(root, 'bin/sidekey');
const { version: own, description } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as Record<
  string,
  string
>;
const { values } = parseArgs({
  options: {
    out: { type: 'string', default: '.' },
    version: { type: 'string', default: own! },
    compression: { type: 'string', default: 'xz' },
  },
});
const { version } = values;
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const architecture = ARCHITECTURES[process.arch]!;

/** What Node and the two native packages are linked with; the versions are those of their newest symbols. */
const DEPENDS = ['libc6 (>= 2.34)', 'libgcc-s1', 'libstdc++6 (>= 11)', 'passwd'];
const HOME = 'usr/lib/sidekey';
const CONFFILES = ['sidekey.yaml', 'entries.yaml'];
const SCRIPTS = ['postinst', 'prerm', 'postrm'];
const PROGRAMS = new Set([`${HOME}/bin/sidekey`, `${HOME}/scripts/node`, `${HOME}/${NODE_FILE}`]);
/** By shell: where Debian has completions. */
const COMPLETIONS: Readonly<Record<string, string>> = {
  bash: 'usr/share/bash-completion/completions/sidekey',
  zsh: 'usr/share/zsh/vendor-completions/_sidekey',
  fish: 'usr/share/fish/vendor_completions.d/sidekey.fish',
};

const epoch = process.env.SOURCE_DATE_EPOCH ?? lastCommit() ?? String(Math.floor(Date.now() / 1_000));
const stage = mkdtempSync(path.join(tmpdir(), 'sidekey-deb-'));
try {
  fill();
  setModes();
  writeControl();
  const file = path.resolve(values.out, `sidekey_${version}_${architecture}.deb`);
  mkdirSync(path.dirname(file), { recursive: true });
  const args = ['--root-owner-group', `-Z${values.compression}`, '--build', stage, file];
  execFileSync('dpkg-deb', args, {
    env: { ...process.env, SOURCE_DATE_EPOCH: epoch },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  console.log(file);
} finally {
  rmSync(stage, { recursive: true, force: true });
}

function fill(): void {
  const home = path.join(stage, HOME);
  // The code cache goes by the path of each file, and the client is for npm.
  copyRuntimeFiles(home, (file) => !/\/dist\/(cache|made|client\.)/.test(file));
  put(`${HOME}/${NODE_FILE}`, path.join(root, NODE_FILE));
  put(`${HOME}/node_modules/${NODE_FILE.split('/')[1]}/LICENSE`, path.join(root, NODE_FILE, '../../LICENSE'));
  mkdirSync(path.join(stage, 'usr/bin'));
  symlinkSync('../lib/sidekey/bin/sidekey', path.join(stage, 'usr/bin/sidekey'));

  const unit = readFileSync(path.join(root, 'packaging/sidekey.service'), 'utf8');
  write('usr/lib/systemd/system/sidekey.service', unit.replaceAll('/usr/local/bin/sidekey', '/usr/bin/sidekey'));
  for (const name of CONFFILES) put(`etc/sidekey/${name}`, path.join(root, 'packaging', name));
  for (const [shell, file] of Object.entries(COMPLETIONS)) {
    // As `sidekey` is called once it is installed.
    write(file, execFileSync(sidekey, ['completion', shell], { encoding: 'utf8' }));
  }
  const date = new Date(Number(epoch) * 1_000).toISOString().slice(0, 10);
  write('usr/share/man/man1/sidekey.1.gz', gzipSync(manPage(version, date), { level: 9 }));

  const documents = 'usr/share/doc/sidekey';
  for (const name of ['README.md', 'docs', 'monitoring', 'schema']) put(`${documents}/${name}`, path.join(root, name));
  write(`${documents}/changelog.gz`, gzipSync(readFileSync(path.join(root, 'CHANGELOG.md')), { level: 9 }));
  put(`${documents}/copyright`, path.join(root, 'packaging/debian/copyright'));
}

function put(file: string, source: string): void {
  const target = path.join(stage, file);
  mkdirSync(path.dirname(target), { recursive: true });
  cpSync(source, target, { recursive: true });
}

function write(file: string, content: string | Buffer): void {
  const target = path.join(stage, file);
  mkdirSync(path.dirname(target), { recursive: true });
  writeFileSync(target, content);
}

/** Whatever the modes of this clone are. */
function setModes(): void {
  chmodSync(stage, 0o755);
  for (const file of files()) {
    const stats = lstatSync(path.join(stage, file));
    if (stats.isSymbolicLink()) continue;
    chmodSync(path.join(stage, file), stats.isDirectory() || PROGRAMS.has(file) ? 0o755 : 0o644);
  }
}

/** All files and folders of the package, as paths from its root. */
function files(): string[] {
  return globSync('**', { cwd: stage, exclude: ['DEBIAN'] })
    .filter((file) => file !== '.' && file !== '')
    .sort();
}

function writeControl(): void {
  const regular = files().filter((file) => lstatSync(path.join(stage, file)).isFile());
  const bytes = regular.reduce((sum, file) => sum + lstatSync(path.join(stage, file)).size, 0);
  const maintainer = `${process.env.DEBFULLNAME ?? 'The makers of Sidekey'} <${process.env.DEBEMAIL ?? 'root@localhost'}>`;
  write(
    'DEBIAN/control',
    `Package: sidekey
Version: ${version}
Architecture: ${architecture}
Maintainer: ${maintainer}
Installed-Size: ${Math.ceil(bytes / 1_024)}
Depends: ${DEPENDS.join(', ')}
Suggests: bash-completion
Section: net
Priority: optional
Description: ${description}
 It has its own Node. The service is not started by the installation, because it
 needs a trust domain: see /etc/sidekey/sidekey.yaml.
`,
  );
  write('DEBIAN/conffiles', CONFFILES.map((name) => `/etc/sidekey/${name}\n`).join(''));
  const sums = regular.map((file) => {
    const sum = createHash('md5')
      .update(readFileSync(path.join(stage, file)))
      .digest('hex');
    return `${sum}  ${file}\n`;
  });
  write('DEBIAN/md5sums', sums.join(''));
  for (const name of SCRIPTS) {
    copyFileSync(path.join(root, 'packaging/debian', name), path.join(stage, 'DEBIAN', name));
    chmodSync(path.join(stage, 'DEBIAN', name), 0o755);
  }
}

/** Seconds since the epoch; undefined outside a clone. */
function lastCommit(): string | undefined {
  const { status, stdout } = spawnSync('git', ['log', '-1', '--format=%ct'], { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}

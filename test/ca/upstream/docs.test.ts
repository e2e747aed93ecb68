/** The examples of docs/upstreams.md, word by word. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { SystemClock } from '../../../src/base/clock.ts';
import { openUpstream } from '../../../src/ca/upstream/open-upstream.ts';
import type { Flags } from '../../../src/config/given.ts';
import { loadServeConfig } from '../../../src/config/load.ts';
import { openBaoForTests, startOpenBao } from '../../support/openbao.ts';
import { recordingLog } from '../../support/recording-log.ts';
import { ROOT } from '../../support/serve.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { DAY, TRUST_DOMAIN } from '../support.ts';
import { newKey } from './pki.ts';

const text = readFileSync(path.join(ROOT, 'docs/upstreams.md'), 'utf8');

function example(name: string): string {
  const [, commands] = new RegExp(`<!-- run: ${name} -->\\n\`\`\`\\n([^\`]+)\`\`\``).exec(text) ?? [];
  assert.ok(commands, `docs/upstreams.md has no example ${name}`);
  return commands;
}

function shell(commands: string, cwd: string, env: NodeJS.ProcessEnv = {}): void {
  const { status, stderr } = spawnSync('sh', ['-eu', '-c', commands], {
    cwd,
    env: { HOME: cwd, PATH: process.env.PATH, ...env },
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
}

/** Has an intermediate signed with these settings, as `serve` reads them. */
async function mint(t: TestContext, flags: Flags, folder: string) {
  const settings = await loadServeConfig({ flags: { trustDomain: TRUST_DOMAIN, ...flags }, env: {}, uid: 0, folder });
  const clock = new SystemClock();
  const options = { trustDomain: settings.trustDomain, caSubject: settings.caSubject, clock, log: recordingLog().log };
  const upstream = await openUpstream(settings, options);
  t.after(() => upstream?.close());
  const minted = await upstream!.mint({ privateKey: newKey(), life: DAY });
  assert.equal(upstream!.problem(), undefined);
  return minted;
}

test('the authority made with openssl, as files and behind the program of the example', async (t) => {
  const folder = tempDir(t);
  shell(example('openssl'), folder);
  const files: Flags = {
    upstream: 'disk',
    upstreamCertFile: 'ca/ca.crt',
    upstreamKeyFile: 'ca/ca.key',
    upstreamBundleFile: 'ca/root.crt',
  };
  const program = path.join(folder, 'upstream-openssl');
  copyFileSync(path.join(ROOT, 'examples/upstream-openssl'), program);
  chmodSync(program, 0o755);
  const command: Flags = { upstream: 'command', upstreamCommand: [program, path.join(folder, 'ca')] };
  for (const flags of [files, command]) {
    const { chain, roots } = await mint(t, flags, folder);
    assert.equal(chain[1]!.subject, 'O=Example\nCN=Issuer for Sidekey');
    assert.deepEqual(
      roots.map(({ subject }) => subject),
      ['O=Example\nCN=Root'],
    );
  }
});

const found = await openBaoForTests();

test('the OpenBao', { skip: found.skip }, async (t) => {
  assert.ok(found.skip === false);
  const { server, rootToken, stop } = await startOpenBao(found.file);
  t.after(stop);
  const folder = tempDir(t);
  shell(example('bao'), folder, {
    PATH: `${path.dirname(found.file)}:${process.env.PATH}`,
    BAO_ADDR: server.address,
    BAO_TOKEN: rootToken,
    BAO_CACERT: server.caFile,
  });
  const flags: Flags = {
    upstream: 'vault',
    vaultAddr: server.address,
    vaultCaFile: server.caFile,
    vaultApproleRoleIdFile: 'role-id',
    vaultApproleSecretIdFile: 'secret-id',
  };
  const { chain, roots } = await mint(t, flags, folder);
  assert.equal(chain.length, 1);
  assert.equal(roots[0]!.subject, 'CN=Example Root');
});

test('self has no upstream', async () => {
  const settings = await loadServeConfig({ flags: { trustDomain: TRUST_DOMAIN }, env: {}, uid: 0, folder: '/' });
  const clock = new SystemClock();
  const options = { trustDomain: TRUST_DOMAIN, caSubject: 'O=SPIFFE', clock, log: recordingLog().log };
  assert.equal(await openUpstream(settings, options), undefined);
});

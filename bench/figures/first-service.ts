/** How long the README's path takes, from a clone to a service of one's own with an identity. */

import { type ExecFileSyncOptions, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { probeKernel } from '../../src/attest/kernel.ts';
import { ROOT } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, round } from '../figure.ts';

/** In seconds. */
const REACH = 60;
const ID = 'spiffe://example.org/web';

export async function firstService(cleanup: Cleanup): Promise<Figure[]> {
  const folder = mkdtempSync(path.join(tmpdir(), 'sidekey-bench-'));
  cleanup.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const clone = path.join(folder, 'sidekey');
  const steps: Record<string, number> = {};
  const timed = async (step: string, run: () => unknown) => {
    const begun = performance.now();
    await run();
    steps[step] = round((performance.now() - begun) / 1_000);
  };
  const quiet: ExecFileSyncOptions = { stdio: ['ignore', 'ignore', 'inherit'] };
  await timed('git clone', () => execFileSync('git', ['clone', '-q', `file://${ROOT}`, clone], quiet));
  // Packages come from npm's cache, where it has them.
  await timed('npm ci', () => execFileSync('npm', ['ci', '--silent', '--prefer-offline'], { ...quiet, cwd: clone }));

  const sidekey = path.join(clone, 'bin/sidekey');
  const [entries, dataDir, socket] = ['entries.yaml', 'data', 'run/agent.sock'].map((name) =>
    path.join(folder, name),
  ) as [string, string, string];
  writeFileSync(entries, `entries:\n- spiffe_id: ${ID}\n  selectors: [unix:uid:${process.getuid!()}]\n`);
  const pins = probeKernel().pinsPeers ? [] : ['--allow-unpinned-peers'];
  const places = ['--data-dir', dataDir, '--socket', socket, '--entries', entries, ...pins];
  const serve = ['serve', '--trust-domain', 'example.org', ...places];
  await timed('serve --check', () => execFileSync(sidekey, [...serve, '--check'], quiet));
  await timed('serve', async () => {
    const server = spawn(sidekey, serve, { stdio: ['ignore', 'pipe', 'inherit'] });
    cleanup.after(async () => {
      server.kill();
      if (server.exitCode === null && server.signalCode === null) await once(server, 'close');
    });
    for await (const line of createInterface(server.stdout)) if (line.includes('"msg":"serving"')) break;
    server.stdout.resume();
  });
  await timed('fetch', () => {
    const { stdout, stderr } = spawnSync(sidekey, ['fetch', '--socket', socket], { encoding: 'utf8' });
    if (!stdout.includes(ID)) throw new Error(`no identity: ${stdout}${stderr}`);
  });
  const total = Object.values(steps).reduce((sum, seconds) => sum + seconds, 0);
  const shares = Object.entries(steps).map(([step, seconds]) => `${step} ${seconds}`);
  return [
    {
      name: 'clone-to-identity',
      value: round(total),
      unit: 's',
      compared_with: { reach: REACH },
      how: `once, each command of the README run at once after the last, with packages in npm's cache: ${shares.join(', ')}`,
    },
  ];
}

/** Real Envoys for tests: one that only looks at a bootstrap, and one that runs. */

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { linkSync, writeFileSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { Unexpected, wait } from '../../envoy-examples/demo/expect.ts';
import { call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { type BootstrapFlags, readBootstrapFlags } from '../../src/cli/bootstrap-flags.ts';
import { bootstrapYaml } from '../../src/envoy/bootstrap.ts';
import { type EnvoyForTests, envoyForTests, oldestEnvoyForTests } from '../support/envoy.ts';
import type { Served } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

/** By what they are: this machine's, and the oldest that we promise to work with. */
export const ENVOYS: readonly (readonly [string, EnvoyForTests])[] = [
  ["this machine's Envoy", await envoyForTests()],
  ['the oldest Envoy', await oldestEnvoyForTests()],
];

/** Fails unless Envoy takes the bootstrap without a warning. */
export async function assertValid(t: TestContext, binary: string, bootstrap: string): Promise<void> {
  const config = path.join(tempDir(t), 'envoy.yaml');
  writeFileSync(config, bootstrap);
  const args = ['--mode', 'validate', '--config-path', config, '--log-level', 'warning'];
  const { code, said } = await new Promise<{ code: unknown; said: string }>((resolve) => {
    execFile(binary, args, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : (error.code ?? error.signal), said: stdout + stderr });
    });
  });
  assert.equal(code, 0, said);
  assert.doesNotMatch(said, /warning|deprecated/i);
}

export interface RunningEnvoy {
  /** Waits until its listeners are open. */
  readonly live: () => Promise<void>;
  /** Waits until a counter of this name has counted `what`. */
  readonly counted: (what: string, counter: string) => Promise<void>;
}

/** A link to the binary of its own: by its path `unix:path` tells this Envoy from others. */
export async function ownBinary(directory: string, name: string, binary: string): Promise<string> {
  const own = path.join(directory, name);
  try {
    linkSync(binary, own);
  } catch {
    await copyFile(binary, own);
  }
  return own;
}

/** Starts it, to be killed when the test ends. */
export function runEnvoy(t: TestContext, binary: string, bootstrap: string, adminPort: number): RunningEnvoy {
  const config = `${binary}.yaml`;
  writeFileSync(config, bootstrap);
  const args = ['--config-path', config, '--disable-hot-restart', '--concurrency', '1', '--log-level', 'warning'];
  const child = spawn(binary, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'close');
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const ask = async (place: string) => (await call(`http://127.0.0.1:${adminPort}${place}`)).body.trim();
  return {
    live: async () => {
      const look = async () => {
        if (child.exitCode !== null) throw new Unexpected(`${binary} to run`, stderr);
        return ask('/ready');
      };
      await wait(`${binary} to be LIVE`, { look, until: (state) => state === 'LIVE' });
    },
    counted: async (what, counter) => {
      const look = () => ask(`/stats?filter=^${counter.replaceAll('.', '\\.')}$`);
      await wait(`${what} to be counted`, { look, until: (line) => Number(line.split(': ')[1]) > 0 });
    },
  };
}

/** Starts an Envoy with the bootstrap that these flags give, and the entry that gives it its identity. */
export async function startIdentified(
  t: TestContext,
  sidekey: Served,
  binary: string,
  flags: Omit<BootstrapFlags, 'socket' | 'admin'>,
): Promise<RunningEnvoy> {
  const name = flags.spiffeId.split('/').at(-1)!;
  const own = await ownBinary(sidekey.directory, name, binary);
  const selectors = [
    { type: 'unix', value: `uid:${process.getuid!()}` },
    { type: 'unix', value: `path:${own}` },
  ];
  const { status } = await sidekey.request('POST', '/v1/entries', { spiffe_id: flags.spiffeId, selectors });
  assert.equal(status, 201);
  const [adminPort] = await freePorts(1);
  const all = { ...flags, socket: sidekey.socket, admin: `127.0.0.1:${adminPort}` };
  const envoy = runEnvoy(t, own, bootstrapYaml(readBootstrapFlags(all)), adminPort!);
  await envoy.live();
  return envoy;
}

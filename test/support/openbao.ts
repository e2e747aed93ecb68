/** A real OpenBao for tests: in memory, with TLS, on a free port of loopback. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { findOpenBao, NoOpenBao } from '../../scripts/find-openbao.ts';
import { askVault, type VaultServer } from '../../src/ca/upstream/vault-client.ts';

export type OpenBaoForTests = { readonly file: string; readonly skip: false } | { readonly skip: string };

/** Its binary, or the reason why there is none. */
export async function openBaoForTests(): Promise<OpenBaoForTests> {
  try {
    return { file: await findOpenBao({ tell: (line) => console.error(line) }), skip: false };
  } catch (error) {
    if (error instanceof NoOpenBao) return { skip: `no OpenBao: ${error.message.split('\n')[0]}` };
    throw error;
  }
}

export interface OpenBao {
  readonly server: VaultServer & { readonly caFile: string };
  readonly folder: string;
  readonly rootToken: string;
  /** A request with the root token, or another. Returns the JSON of the answer. */
  ask(method: 'GET' | 'POST', path: string, body?: Record<string, unknown>, token?: string): Promise<Answer>;
  /** Ends it, and removes its folder. */
  stop(): Promise<void>;
}

export interface Answer {
  readonly data: Record<string, string>;
  readonly auth: Record<string, string>;
}

const ROOT_TOKEN = 'root-of-the-test';

/** Whoever starts it stops it. */
export async function startOpenBao(file: string): Promise<OpenBao> {
  const folder = mkdtempSync(path.join(tmpdir(), 'sidekey-test-'));
  const [port] = await freePorts(1);
  const log = path.join(folder, 'log');
  const out = openSync(log, 'w');
  const child = spawn(
    file,
    [
      ...['server', '-dev', `-dev-root-token-id=${ROOT_TOKEN}`, `-dev-listen-address=127.0.0.1:${port}`],
      ...['-dev-no-store-token', '-dev-tls', `-dev-tls-cert-dir=${folder}`],
    ],
    { cwd: folder, env: { HOME: folder, PATH: process.env.PATH }, stdio: ['ignore', out, out] },
  );
  closeSync(out);
  const ended = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  const caFile = path.join(folder, 'vault-ca.pem');
  const server = { address: `https://127.0.0.1:${port}`, namespace: undefined, caFile };
  const ask: OpenBao['ask'] = async (method, place, body, token = ROOT_TOKEN) => {
    const signal = AbortSignal.timeout(20_000);
    return (await askVault(server, { method, path: place, token, signal, ...(body && { body }) })) as unknown as Answer;
  };
  for (let tries = 0; ; tries += 1) {
    try {
      await ask('GET', 'sys/mounts');
      return { server, folder, rootToken: ROOT_TOKEN, ask, stop };
    } catch (error) {
      if (tries > 300 || child.exitCode !== null) {
        const said = readFileSync(log, 'utf8');
        await stop();
        throw new Error(said, { cause: error });
      }
      await sleep(50);
    }
  }
}

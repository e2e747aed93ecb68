/**
 * The real clients: a small program for each library, which prints every update as a line of JSON. Their libraries are
 * fetched once and kept in the user's cache.
 */

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const HERE = import.meta.dirname;
/** Maximum time to fetch the libraries of one client, in milliseconds. */
const FETCH_MS = 240_000;

export interface RealClient {
  readonly name: string;
  /** Where it looks for the pipe. */
  endpoint(socket: string): string;
  /** Its command, once its libraries are there. @throws if they can't be fetched */
  command(): Promise<readonly string[]>;
  readonly env?: Readonly<Record<string, string>>;
}

const uri = (socket: string) => `unix://${socket}`;

export const CLIENTS: readonly RealClient[] = [
  {
    name: 'go-spiffe',
    endpoint: uri,
    command: async () => {
      const folder = await kept('go', async (into) => {
        await run('go', ['build', '-o', path.join(into, 'client'), '.'], {
          cwd: path.join(HERE, 'go'),
          timeout: FETCH_MS,
        });
      });
      return [path.join(folder, 'client')];
    },
  },
  {
    name: 'Python spiffe',
    endpoint: uri,
    command: async () => {
      const folder = await kept('python', async (into) => {
        const file = path.join(HERE, 'python/requirements.txt');
        const args = ['--quiet', '--only-binary=:all:', '--require-hashes', '--requirement', file, '--target', into];
        await run('python3', ['-m', 'pip', 'install', ...args], { timeout: FETCH_MS });
      });
      return ['env', `PYTHONPATH=${folder}`, 'python3', path.join(HERE, 'python/watch.py')];
    },
  },
  {
    name: 'java-spiffe',
    // It takes no other form.
    endpoint: (socket) => `unix:${socket}`,
    command: async () => {
      const folder = await kept('java', async (into) => {
        const args = ['--quiet', '--batch-mode', 'dependency:copy-dependencies', `-DoutputDirectory=${into}`];
        await run('mvn', args, { cwd: path.join(HERE, 'java'), timeout: FETCH_MS });
      });
      return ['java', '-cp', path.join(folder, '*'), path.join(HERE, 'java/Watch.java')];
    },
  },
];

/** A folder in the cache that belongs to what is in the client's folder here; `fill` makes it, once. */
async function kept(name: string, fill: (into: string) => Promise<void>): Promise<string> {
  const hash = createHash('sha256');
  for (const file of globSync('*', { cwd: path.join(HERE, name) }).sort()) {
    hash.update(file).update(readFileSync(path.join(HERE, name, file)));
  }
  const cache = process.env.XDG_CACHE_HOME || path.join(process.env.HOME || homedir(), '.cache');
  const base = path.join(cache, 'sidekey', 'workload-clients');
  const folder = path.join(base, `${name}-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(folder)) return folder;
  mkdirSync(base, { recursive: true });
  const temporary = mkdtempSync(`${folder}.`);
  try {
    await fill(temporary);
    renameSync(temporary, folder);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

/** Its command, or the reason why it can't be run here. */
export async function prepared(
  client: RealClient,
): Promise<{ readonly command: readonly string[] } | { readonly skip: string }> {
  try {
    return { command: await client.command() };
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string };
    const why = (stderr || message).trim().split('\n').slice(-1)[0];
    return { skip: `${client.name} can't be made here: ${why}` };
  }
}

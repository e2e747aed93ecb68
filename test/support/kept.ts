/** Programs and libraries that tests fetch or build once, and keep in the user's cache. */

import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

/** The folder of everything that Sidekey's tests keep. */
export function cacheFolder(): string {
  return path.join(process.env.XDG_CACHE_HOME || path.join(process.env.HOME || homedir(), '.cache'), 'sidekey');
}

/** A folder in the cache that belongs to the files in the folder `source`; `fill` makes it, once. */
export async function kept(source: string, fill: (into: string) => Promise<void>): Promise<string> {
  const hash = createHash('sha256');
  for (const file of globSync('*', { cwd: source }).sort()) {
    hash.update(file).update(readFileSync(path.join(source, file)));
  }
  const name = `${path.basename(source)}-${hash.digest('hex').slice(0, 16)}`;
  return made(path.join(cacheFolder(), 'workload-clients', name), fill);
}

/** The folder; if it does not exist, `fill` makes its content in another place, which then gets the name. */
export async function made(folder: string, fill: (into: string) => Promise<void>): Promise<string> {
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

/** Notices when a file of entries, or a file of a folder, changes. */

import { type FSWatcher, watch } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { filesIn, versionOf } from './input-texts.ts';

/** How long it must stay the same after a change, in milliseconds, so that a file that is being written is not read. */
const CALM_MS = 150;
/** How often the place is looked at without an event, in milliseconds: network file systems and replaced folders have none. */
const RECHECK_MS = 5_000;
/** A file that changes without end is read after this time all the same, in milliseconds. */
const RESTLESS_MS = 5_000;
/** Maximum number of watched directories; the look without an event covers the others. */
const MAX_WATCHED = 32;

export interface InputWatch {
  close(): void;
}

/**
 * Calls `onChange` after each change of a file or of a folder's files, once they are calm: written in place, replaced by
 * rename, added, removed, or reached by another symbolic link.
 * @param seen the version that the caller has read
 */
export function watchInputs(place: string, seen: string, onChange: () => void): InputWatch {
  const watchers = new Map<string, FSWatcher>();
  let told = seen;
  let pending: { readonly version: string; readonly since: number } | undefined;
  let timer: NodeJS.Timeout | undefined;
  let looking = false;
  let touched = false;
  let closed = false;

  const lookIn = (delay: number) => {
    clearTimeout(timer);
    if (!closed) timer = setTimeout(() => void look(), delay);
  };
  const onEvent = () => {
    touched = true;
    if (!looking) lookIn(CALM_MS);
  };
  const look = async (): Promise<void> => {
    looking = true;
    touched = false;
    await rewatch();
    const version = await versionOf(place);
    looking = false;
    if (closed) return;
    const now = performance.now();
    if (version === told) pending = undefined;
    else if (version !== pending?.version && now - (pending?.since ?? now) < RESTLESS_MS) {
      pending = { version, since: pending?.since ?? now };
    } else {
      told = version;
      pending = undefined;
      onChange();
    }
    lookIn(touched || pending !== undefined ? CALM_MS : RECHECK_MS);
  };
  const rewatch = async (): Promise<void> => {
    const wanted = await directoriesOf(place);
    for (const [key, watcher] of watchers) {
      if (wanted.has(key)) continue;
      watcher.close();
      watchers.delete(key);
    }
    for (const [key, directory] of wanted) {
      if (closed || watchers.has(key)) continue;
      try {
        const watcher = watch(directory, onEvent);
        watcher.on('error', () => watcher.close());
        watchers.set(key, watcher);
      } catch {
        // The limit of watches, or it has gone: the look without an event notices changes later.
      }
    }
  };
  void look();
  return {
    close: () => {
      closed = true;
      clearTimeout(timer);
      for (const watcher of watchers.values()) watcher.close();
      watchers.clear();
    },
  };
}

/**
 * The directories in which a change may be seen: above the place, the place itself if it is a folder, and those to which
 * symbolic links lead. The keys tell a directory from another one that has taken its name.
 */
async function directoriesOf(place: string): Promise<Map<string, string>> {
  const found = new Set([path.dirname(path.resolve(place))]);
  const real = await realpath(place).catch(() => undefined);
  if (real !== undefined) found.add(path.dirname(real));
  const files = await filesIn(place).catch(() => undefined);
  if (files !== undefined && real !== undefined) {
    found.add(real);
    for (const file of files) {
      if (found.size >= MAX_WATCHED) break;
      const target = await realpath(file).catch(() => undefined);
      if (target !== undefined) found.add(path.dirname(target));
    }
  }
  const keyed = new Map<string, string>();
  for (const directory of found) {
    const stats = await stat(directory).catch(() => undefined);
    if (stats !== undefined) keyed.set(`${directory} ${stats.dev} ${stats.ino}`, directory);
  }
  return keyed;
}

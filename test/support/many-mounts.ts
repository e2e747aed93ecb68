/** A process of an unprivileged user with very many mounts, in a user and mount namespace of its own. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { endAfter } from './caller.ts';
import { NOBODY } from './child.ts';
import { tempDir } from './temp-dir.ts';

/**
 * A recursive bind mount of a directory into itself doubles the number of mounts. The first half shows a directory, and is
 * hidden by a mount on top; the second half is elsewhere.
 */
const SCRIPT = `
set -e
double() { i=0; while [ $i -lt "$1" ]; do mkdir m$i; mount --rbind . m$i; i=$((i + 1)); done; }
mount -t tmpfs none "$2"
mount -t tmpfs none "$1"; cd "$1"; mkdir a; mount --rbind "$3" a; double "$4"
mount -t tmpfs none "$1"; cd "$2"; double "$4"
mount -t tmpfs none "$3"
echo ready; exec sleep 1000
`;

/** Why such a process can't be made here; undefined if it can. */
export function whyNoManyMounts(): string | undefined {
  if (process.getuid!() !== 0) return 'only root can start processes as another user';
  const made = spawnSync('unshare', ['-Urm', 'true'], { uid: NOBODY, gid: NOBODY, cwd: '/' }).status === 0;
  return made ? undefined : 'other users can make no user namespace here';
}

export interface Mounter {
  readonly pid: number;
  /** Starts another process of the user in the same mount namespace; ended by the test's end. */
  another(): void;
}

/**
 * @param shown the directory that it mounts so often; its user must be able to pass the directories above
 * @param doublings there are more than 2 to the power of this many mounts
 */
export async function manyMounts(t: TestContext, shown: string, doublings: number): Promise<Mounter> {
  const above = tempDir(t);
  chmodSync(above, 0o711);
  const places = ['first', 'second'].map((name) => path.join(above, name));
  for (const place of places) mkdirSync(place);
  const asNobody = { uid: NOBODY, gid: NOBODY, cwd: '/' };
  const child = spawn('unshare', ['-Urm', '/bin/sh', '-c', SCRIPT, 'sh', ...places, shown, String(doublings)], {
    ...asNobody,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  endAfter(t, child);
  const lines = createInterface({ input: child.stdout });
  await Promise.race([
    once(lines, 'line'),
    once(child, 'exit').then(() => Promise.reject(new Error('the mounts could not be made'))),
  ]);
  return {
    pid: child.pid!,
    another() {
      const words = ['-t', String(child.pid), '-U', '-m', '--preserve-credentials', 'sleep', '1000'];
      endAfter(t, spawn('nsenter', words, { ...asNobody, stdio: 'ignore' }));
    },
  };
}

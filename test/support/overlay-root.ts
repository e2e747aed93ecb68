/** This machine's root, as a copy that a test may change: an overlay whose upper layer is in memory, in its own mount namespace. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';

const MOUNT = `set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
mount -t tmpfs tmpfs /mnt/root/tmp
mount -t tmpfs -o mode=755 tmpfs /mnt/root/run
mount -t tmpfs tmpfs /mnt/root/var/lib/dpkg/updates
mount --bind "$1" /mnt/root/mnt
mount --rbind /proc /mnt/root/proc
mount --rbind /dev /mnt/root/dev`;

/** Why none can be made here; undefined where one can. */
export function whyNoOverlayRoot(): string | undefined {
  if (process.getuid!() !== 0) return 'only root can install packages, in a root of its own too';
  const { status } = spawnSync('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', MOUNT, 'sh', '/usr']);
  return status === 0 ? undefined : 'no overlay of the root can be mounted here';
}

export interface OverlayRoot {
  /** A command that runs its arguments in this root, without the test's environment. */
  readonly launcher: readonly string[];
}

/** @param folder is at /mnt there */
export async function openOverlayRoot(t: TestContext, folder: string): Promise<OverlayRoot> {
  // It ends, and the namespace with it, with the end of its stdin.
  const script = `${MOUNT}\necho mounted\ncat >/dev/null`;
  const args = ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', folder];
  const holder: ChildProcess = spawn('unshare', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(holder, 'close');
  t.after(async () => {
    holder.stdin!.end();
    await ended;
  });
  await Promise.race([once(holder.stdout!, 'data'), ended.then(() => Promise.reject(new Error('it was not mounted')))]);
  const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  return {
    launcher: [
      ...['nsenter', `--mount=/proc/${holder.pid}/ns/mnt`],
      ...['chroot', '/mnt/root', 'env', '-i', path, 'DEBIAN_FRONTEND=noninteractive', 'HOME=/root'],
    ],
  };
}

/** A file system of its own that a test can fill: a small tmpfs, which root may mount. */

import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';

export interface SmallDisk {
  readonly directory: string;
  /** Takes all the space that is left, but for so many bytes. */
  fill(leave?: number): void;
  /** Gives the space back. */
  free(): void;
}

/** Why no small disk can be had here; undefined where one can. */
export function whyNoSmallDisk(): string | undefined {
  if (process.getuid!() !== 0) return 'only root can mount a small file system to fill';
  const directory = mkdtempSync(path.join(tmpdir(), 'sidekey-disk-'));
  const { status, stderr } = mount(directory, 1);
  if (status === 0) spawnSync('umount', [directory]);
  rmdirSync(directory);
  return status === 0 ? undefined : `no tmpfs can be mounted here: ${stderr.trim()}`;
}

/** `kib` KiB, mode 0700; gone when the test ends. */
export function makeSmallDisk(t: TestContext, kib: number): SmallDisk {
  const directory = mkdtempSync(path.join(tmpdir(), 'sidekey-disk-'));
  const { status, stderr } = mount(directory, kib);
  if (status !== 0) throw new Error(stderr);
  t.after(() => {
    spawnSync('umount', ['--lazy', directory]);
    rmdirSync(directory);
  });
  const ballast = path.join(directory, 'ballast');
  return {
    directory,
    fill(leave = 0) {
      const fd = openSync(ballast, 'w', 0o600);
      try {
        const page = Buffer.alloc(4096);
        for (;;) writeSync(fd, page);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      } finally {
        closeSync(fd);
      }
      truncateSync(ballast, Math.max(0, statSync(ballast).size - leave));
    },
    free: () => rmSync(ballast, { force: true }),
  };
}

function mount(directory: string, kib: number): { status: number | null; stderr: string } {
  return spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${kib}k,mode=0700`, 'tmpfs', directory], { encoding: 'utf8' });
}

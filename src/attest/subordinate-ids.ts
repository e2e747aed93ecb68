/**
 * Finds the user who owns a uid. /etc/subuid gives users ranges of uids for their containers, usually 65,536; limits
 * charge all of them to the user.
 *
 * @see subuid(5)
 */

import fs from 'node:fs';
import { fileVersion, readRegularFile } from '../base/index.ts';

interface Range {
  readonly start: number;
  readonly count: number;
  readonly owner: number;
}

export interface SubordinateIds {
  /** The uid of the user whose range contains this uid; the uid itself if no range does. */
  ownerOf(uid: number): number;
}

/** Maximum size of the file, in bytes: hundreds of thousands of ranges. */
const MAX_BYTES = 16 * 1024 * 1024;
/** Minimum interval of checks for a changed file, in milliseconds, because each connection needs the file. */
const CHECK_MS = 1_000;

/** Reads the file on first use, and again after it has changed. */
export function createSubordinateIds(
  uidOf: (user: string) => number | undefined,
  path = '/etc/subuid',
): SubordinateIds {
  let version = '';
  let checkedAt = Number.NEGATIVE_INFINITY;
  let ranges: readonly Range[] = [];
  return {
    ownerOf(uid) {
      refresh();
      for (const { start, count, owner } of ranges) if (uid >= start && uid < start + count) return owner;
      return uid;
    },
  };

  function refresh(): void {
    const now = performance.now();
    if (now - checkedAt < CHECK_MS) return;
    checkedAt = now;
    try {
      const current = fileVersion(fs.statSync(path, { bigint: true }));
      if (current === version) return;
      ranges = parseRanges(readRegularFile(path, MAX_BYTES).toString('utf8'), uidOf);
      version = current;
    } catch {
      version = '';
      ranges = [];
    }
  }
}

/** Parses lines `user:start:count`; `user` is a name or a number. Other lines are skipped. */
export function parseRanges(text: string, uidOf: (user: string) => number | undefined): Range[] {
  const ranges: Range[] = [];
  for (const line of text.split('\n')) {
    const [user = '', start = '', count = ''] = line.split(':');
    if (!/^\d{1,10}$/.test(start) || !/^\d{1,10}$/.test(count)) continue;
    const owner = /^\d{1,10}$/.test(user) ? Number(user) : uidOf(user);
    if (owner !== undefined) ranges.push({ start: Number(start), count: Number(count), owner });
  }
  return ranges;
}

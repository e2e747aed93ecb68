/**
 * Which user owns a uid: /etc/subuid gives users ranges of uids for their containers, 65,536 as a rule. Limits count all
 * of them for the user.
 *
 * @see subuid(5)
 */

import fs from 'node:fs';
import { fileVersion } from '../base/file-version.ts';

interface Range {
  readonly start: number;
  readonly count: number;
  readonly owner: number;
}

export interface SubordinateIds {
  /** The uid of the user whose range the uid is in; the uid itself where it is in none. */
  ownerOf(uid: number): number;
}

/** How long the file is not looked at again, in milliseconds: it is asked at each connection. */
const LOOK_AGAIN_MS = 1_000;

/** Reads the file when it is first needed, and again when it has changed. */
export function createSubordinateIds(
  uidOf: (user: string) => number | undefined,
  path = '/etc/subuid',
): SubordinateIds {
  let version = '';
  let lookedAt = Number.NEGATIVE_INFINITY;
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
    if (now - lookedAt < LOOK_AGAIN_MS) return;
    lookedAt = now;
    try {
      const current = fileVersion(fs.statSync(path, { bigint: true }));
      if (current === version) return;
      ranges = parseRanges(fs.readFileSync(path, 'utf8'), uidOf);
      version = current;
    } catch {
      version = '';
      ranges = [];
    }
  }
}

/** Lines `user:start:count`, the user by name or number. Anything else is passed over. */
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

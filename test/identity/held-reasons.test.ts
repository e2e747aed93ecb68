/** The watch of reasons: a series of changes is told once, and only of names that are held. */

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { HeldReasons } from '../../src/identity/held-reasons.ts';
import type { Entry, EntryChange } from '../../src/registry/types.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { TestClock } from '../support/clock.ts';

const WEB = parseSpiffeId('spiffe://ilinux.io/web');
const DB = parseSpiffeId('spiffe://ilinux.io/db');
const made = (spiffeId: string) => ({ before: undefined, after: { spiffeId } as Entry }) as EntryChange;

it('tells a series of changes once, of the names that are watched', () => {
  const clock = new TestClock();
  const reasons = new HeldReasons(clock);
  const told: string[] = [];
  const stop = reasons.watch(WEB, () => told.push('web'));
  reasons.watch(DB, () => told.push('db'));
  for (let i = 0; i < 1_000; i += 1) reasons.entriesChanged([made(WEB), made('spiffe://ilinux.io/other')]);
  assert.deepEqual(told, [], 'not within the write');
  clock.advance(250);
  assert.deepEqual(told, ['web']);
  reasons.entriesChanged([{ before: { spiffeId: WEB } as Entry, after: { spiffeId: DB } as Entry }]);
  stop();
  clock.advance(250);
  assert.deepEqual(told, ['web', 'db'], 'both IDs of a change; not what was given up');
  reasons.entriesChanged([made(DB)]);
  reasons.close();
  clock.advance(1_000);
  assert.deepEqual(told, ['web', 'db']);
});

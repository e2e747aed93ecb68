import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { currentTurn } from '../../src/base/turn.ts';

test('a turn includes promises and ends with the iteration of the event loop', async () => {
  const turn = currentTurn();
  await Promise.resolve();
  await new Promise((resolve) => process.nextTick(resolve));
  assert.equal(currentTurn(), turn);
  await nextTurn();
  assert.notEqual(currentTurn(), turn);
});

test('unobserved turns may count as one; a later call gets another number', async () => {
  const turns = new Set<number>();
  for (let i = 0; i < 5; i += 1) {
    turns.add(currentTurn());
    await nextTurn();
    await nextTurn();
  }
  assert.equal(turns.size, 5);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { currentTurn } from '../../src/base/turn.ts';

test('a turn goes on through promises, and ends when the event loop goes round', async () => {
  const turn = currentTurn();
  await Promise.resolve();
  await new Promise((resolve) => process.nextTick(resolve));
  assert.equal(currentTurn(), turn);
  await nextTurn();
  assert.notEqual(currentTurn(), turn);
});

test('turns in which nobody asks are one or several: who asks again learns that it is another', async () => {
  const turns = new Set<number>();
  for (let i = 0; i < 5; i += 1) {
    turns.add(currentTurn());
    await nextTurn();
    await nextTurn();
  }
  assert.equal(turns.size, 5);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairSlots } from '../../src/limits/fair-slots.ts';

test('owners have their turns one after the other, however much one waits for', async () => {
  const slots = new FairSlots(1, 1);
  const done: string[] = [];
  const task = (owner: string, name: string) =>
    slots.run(owner, async () => {
      await new Promise(setImmediate);
      done.push(name);
    });
  const all = ['a1', 'a2', 'a3', 'a4'].map((name) => task('a', name));
  all.push(task('b', 'b1'), task('b', 'b2'), task('c', 'c1'));
  await Promise.all(all);
  assert.deepEqual(done, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
});

test('so many run at a time, and one that fails gives its slot on', async () => {
  const slots = new FairSlots(2, 2);
  let running = 0;
  let most = 0;
  const task = async (i: number) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise(setImmediate);
    running -= 1;
    if (i % 3 === 0) throw new Error(String(i));
    return i;
  };
  const results = await Promise.allSettled(Array.from({ length: 12 }, (_, i) => slots.run(`o${i % 2}`, () => task(i))));
  assert.equal(most, 2);
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value : (result.reason as Error).message)),
    Array.from({ length: 12 }, (_, i) => (i % 3 === 0 ? String(i) : i)),
  );
});

test('an owner whose tasks never end keeps its own slots alone', async () => {
  const slots = new FairSlots(3, 1);
  const never = Promise.withResolvers<void>();
  const stuck = Array.from({ length: 5 }, () => slots.run('stuck', () => never.promise));
  assert.equal(await slots.run('other', async () => 'served'), 'served');
  assert.equal(await slots.run('other', async () => 'again'), 'again');
  never.resolve();
  await Promise.all(stuck);
});

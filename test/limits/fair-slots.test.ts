import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairSlots, type SlotOwner } from '../../src/limits/fair-slots.ts';

const own = (name: string): SlotOwner => ({ name, accounts: [] });
/** A container of a user. */
const inContainer = (name: string, user: string): SlotOwner => ({ name, accounts: [{ name }, { name: user }] });

test('owners have their turns one after the other, however much one waits for', async () => {
  const slots = new FairSlots({ all: 1, perUser: 1, perOwner: 1 });
  const done: string[] = [];
  const task = (owner: string, name: string) =>
    slots.run(own(owner), async () => {
      await new Promise(setImmediate);
      done.push(name);
    });
  const all = ['a1', 'a2', 'a3', 'a4'].map((name) => task('a', name));
  all.push(task('b', 'b1'), task('b', 'b2'), task('c', 'c1'));
  await Promise.all(all);
  assert.deepEqual(done, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
});

test('so many run at a time, and one that fails gives its slot on', async () => {
  const slots = new FairSlots({ all: 2, perUser: 2, perOwner: 2 });
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
  const results = await Promise.allSettled(
    Array.from({ length: 12 }, (_, i) => slots.run(own(`o${i % 2}`), () => task(i))),
  );
  assert.equal(most, 2);
  assert.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value : (result.reason as Error).message)),
    Array.from({ length: 12 }, (_, i) => (i % 3 === 0 ? String(i) : i)),
  );
});

test('an owner whose tasks never end keeps its own slots alone', async () => {
  const slots = new FairSlots({ all: 3, perUser: 3, perOwner: 1 });
  const never = Promise.withResolvers<void>();
  const stuck = Array.from({ length: 5 }, () => slots.run(own('stuck'), () => never.promise));
  assert.equal(await slots.run(own('other'), async () => 'served'), 'served');
  assert.equal(await slots.run(own('other'), async () => 'again'), 'again');
  never.resolve();
  await Promise.all(stuck);
});

test('a user has turns like any other, however many containers the user seems to have', async () => {
  const slots = new FairSlots({ all: 2, perUser: 1, perOwner: 1 });
  const done: string[] = [];
  const task = (owner: SlotOwner) =>
    slots.run(owner, async () => {
      await new Promise(setImmediate);
      done.push(owner.name);
    });
  const all = Array.from({ length: 20 }, (_, i) => task(inContainer(`hostile-${i}`, 'the containers of uid 7')));
  all.push(task(inContainer('a', 'the containers of uid 0')), task(inContainer('b', 'the containers of uid 0')));
  await Promise.all(all);
  assert.deepEqual(done.slice(0, 4), ['hostile-0', 'a', 'hostile-1', 'b']);
});

test("the tasks that never end of a user's containers keep their own slots alone", async () => {
  const slots = new FairSlots({ all: 4, perUser: 3, perOwner: 1 });
  const never = Promise.withResolvers<void>();
  const stuck = Array.from({ length: 9 }, (_, i) => slots.run(inContainer(`c${i}`, 'u'), () => never.promise));
  assert.equal(await slots.run(inContainer('other', 'v'), async () => 'served'), 'served');
  never.resolve();
  await Promise.all(stuck);
  assert.equal(await slots.run(own('later'), async () => 'served'), 'served');
});

test('a container whose processes are many users keeps its own slots alone', async () => {
  const slots = new FairSlots({ all: 4, perUser: 2, perOwner: 1 });
  const never = Promise.withResolvers<void>();
  let running = 0;
  const stuck = Array.from({ length: 20 }, (_, i) =>
    slots.run(inContainer('hostile', `the containers of uid ${i}`), () => {
      running += 1;
      return never.promise;
    }),
  );
  let served = '';
  const other = slots.run(inContainer('a', 'the containers of uid 0'), async () => {
    served = 'served';
  });
  for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate);
  assert.deepEqual([running, served], [1, 'served']);
  never.resolve();
  await Promise.all([other, ...stuck]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Account, Owners } from '../../src/limits/owner.ts';
import { Turns } from '../../src/limits/turns.ts';

/** Blocks the event loop, as work does. */
function busy(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

const turn = () => new Promise(setImmediate);

test('an owner that has used little is served at once, one that has used much in a later turn', async () => {
  const turns = new Turns();
  const [one, other] = [new Account('one'), new Account('other')];
  const done: string[] = [];
  turns.run(other, () => undefined);
  turns.run(one, () => busy(10));
  turns.run(one, () => done.push('one'));
  turns.run(other, () => done.push('other'));
  assert.deepEqual(done, ['other']);
  // On a busy machine its work took longer, and more than its share.
  while (done.length < 2) await turn();
  assert.deepEqual(done, ['other', 'one']);
});

test('an owner that is alone may use more of a turn, until another one comes', async () => {
  const turns = new Turns();
  const [one, other] = [new Account('one'), new Account('other')];
  turns.run(one, () => busy(10));
  assert.equal(turns.isOpen(one), true);
  turns.run(other, () => undefined);
  turns.run(one, () => undefined);
  assert.equal(turns.isOpen(one), false);
  while (!turns.isOpen(one)) await turn();
  turns.run(one, () => busy(10));
  assert.equal(turns.isOpen(one), false, 'the other owner was active a moment ago');
});

test('an owner that is alone does not keep a turn for ever', async () => {
  const turns = new Turns();
  const one = new Account('one');
  turns.run(one, () => busy(300));
  assert.equal(turns.isOpen(one), false);
  await turn();
  assert.equal(turns.isOpen(one), true);
});

/** Work of the owner: 20 ms in each turn of the event loop. */
async function work(turns: Turns, account: Account, times: number): Promise<void> {
  for (let i = 0; i < times; i += 1) {
    turns.measure(account, () => busy(20));
    // The time is counted when the turn ends.
    await turn();
    await turn();
  }
}

test('an owner that has used up its share waits while others are active, but not when it is alone', async () => {
  for (const isShared of [true, false]) {
    const turns = new Turns();
    const [one, other] = [new Account('one'), new Account('other')];
    if (isShared) turns.run(other, () => undefined);
    await work(turns, one, 4);
    assert.equal(turns.isOpen(one), !isShared);
    assert.equal(turns.isOpen(other), true);
    const begun = performance.now();
    await turns.next(one);
    const waited = performance.now() - begun;
    // Its allowance is a burst of 10 ms, and half of the 60 ms after it. It used 40 ms more, which is half of the next 80 ms.
    if (isShared) assert.ok(waited > 60, `it waited for ${waited} ms only`);
  }
});

test('an owner may use all the time again a second after the last work of another one', async () => {
  const turns = new Turns();
  const [one, other] = [new Account('one'), new Account('other')];
  turns.run(other, () => undefined);
  const begun = performance.now();
  while (performance.now() - begun < 1_010) await work(turns, one, 1);
  assert.equal(turns.isOpen(one), true);
  turns.run(other, () => undefined);
  await turn();
  assert.equal(turns.isOpen(one), false);
});

test('a very long piece of work is counted in part only, since it may include work of others', async () => {
  const turns = new Turns();
  const [one, other] = [new Account('one'), new Account('other')];
  turns.run(other, () => undefined);
  turns.run(one, () => busy(1_000 / 2));
  await turn();
  const begun = performance.now();
  await turns.next(one);
  const waited = performance.now() - begun;
  // 10 ms at once, and 15 of the 25 that count are half of the next 30.
  assert.ok(waited > 20 && waited < 400, `it waited for ${waited} ms`);
});

test('an owner with much work delays another one by slices, not by all of its work', async () => {
  const turns = new Turns();
  const [greedy, modest] = [new Account('greedy'), new Account('modest')];
  let served = 0;
  for (let i = 0; i < 200; i += 1) {
    turns.later(greedy, () => {
      busy(1);
      served += 1;
    });
  }
  let servedBefore = Number.NaN;
  turns.later(modest, () => {
    servedBefore = served;
  });
  while (Number.isNaN(servedBefore)) await turn();
  assert.ok(servedBefore < 20, `${servedBefore} of 200 came first`);
  while (served < 200) await turn();
});

test('all work is done once, in the order of each owner, whatever is added meanwhile', async () => {
  const owner = fc.integer({ min: 0, max: 3 });
  const work = fc.record({ owner, nested: fc.array(owner, { maxLength: 3 }), slow: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(work, { maxLength: 30 }), async (all) => {
      const turns = new Turns();
      const accounts = Array.from({ length: 4 }, (_, i) => new Account(String(i)));
      const asked: number[][] = [[], [], [], []];
      const done: number[][] = [[], [], [], []];
      let count = 0;
      const ask = (of: number, then: () => void) => {
        count += 1;
        const number = count;
        asked[of]!.push(number);
        turns.later(accounts[of]!, () => {
          done[of]!.push(number);
          then();
        });
      };
      for (const { owner: of, nested, slow } of all) {
        ask(of, () => {
          if (slow) busy(1);
          for (const next of nested) ask(next, () => undefined);
        });
      }
      while (done.flat().length < count) await turn();
      await turn();
      assert.deepEqual(done, asked);
      for (const account of accounts) assert.equal(account.inLine, false);
    }),
    { numRuns: 30 },
  );
});

test('the apparent containers of one user take turns as one owner, and each of them has its turn', async () => {
  const turns = new Turns();
  const owners = new Owners();
  const [modest] = owners.user(1).accounts;
  const greedy = Array.from({ length: 40 }, (_, i) => owners.container(`/delegated/${i}`, 7).accounts[0]);
  const served = new Map<Account, number>();
  for (let round = 0; round < 3; round += 1) {
    for (const account of greedy) {
      turns.later(account, () => {
        busy(2);
        served.set(account, (served.get(account) ?? 0) + 1);
      });
    }
  }
  for (let asked = 0; asked < 5; asked += 1) {
    const before = served.size;
    await turns.next(modest);
    assert.ok(served.size - before <= 3, `${served.size - before} of 40 had a slice before`);
  }
  assert.equal(turns.isOpen(owners.container('/delegated/new', 7).accounts[0]), false, 'its group has used its time');
  assert.equal(turns.isOpen(owners.container('/docker/a', 0).accounts[0]), true);
  while (served.size < greedy.length) await turn();
  assert.ok(
    [...served.values()].every((times) => times <= 2),
    'all had one before any had three',
  );
});

test('failing work is reported, and the work behind it is done', async () => {
  const failures: unknown[] = [];
  const turns = new Turns((error) => failures.push(error));
  const [one, other] = [new Account('one'), new Account('other')];
  const done: string[] = [];
  turns.later(one, () => {
    throw new Error('broken');
  });
  turns.later(one, () => done.push('one'));
  turns.later(other, () => done.push('other'));
  while (done.length < 2) await turn();
  assert.deepEqual(failures.map(String), ['Error: broken']);
});

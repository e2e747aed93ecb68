import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { ChangeCursor, StoreChange } from '../../../src/registry/store/change-feed.ts';
import type { Revisioned } from '../../../src/registry/store/named-store.ts';
import type { Store } from '../../../src/registry/store/store.ts';
import type { MakeDatabase } from './conformance.ts';
import { revocation } from './revocations.ts';
import { agent, agentId, alias, bundle, entry, joinToken, next, relationship, write } from './values.ts';

/** `entry a`, or `entry a deleted`. */
function brief({ of, name, now }: StoreChange): string {
  return `${of} ${name}${now === undefined ? ' deleted' : ''}`;
}

async function changes(store: Store, cursor: ChangeCursor, limit = 100) {
  const page = await store.changes.changesSince(cursor, limit);
  assert.ok(page !== 'reload');
  return page;
}

export function testChangeFeed(database: MakeDatabase): void {
  test('the feed tells what every server changed, with its present value, in the order of the commits', async (t) => {
    const shared = database(t);
    const [store, other] = [await shared.open(), await shared.open()];
    await store.entries.write(write({ create: [entry('before')] }));
    const start = await store.changes.cursor();
    assert.deepEqual(await changes(store, start), { changes: [], cursor: start, more: false });

    await other.entries.write(write({ create: [entry('a')] }));
    const revision = await store.aliases.put(alias('a.example'), undefined);
    const bundled = await other.bundles.put(bundle('b.example'), undefined);
    await store.entries.write(write({ create: [entry('b')], delete: [{ id: 'before', revision: 1 }] }));
    for (const reader of [store, other]) {
      const page = await changes(reader, start);
      const told = page.changes.map(brief);
      assert.deepEqual(told.slice(0, 3), ['entry a', 'alias a.example', 'bundle b.example']);
      assert.deepEqual(told.slice(3).sort(), ['entry b', 'entry before deleted']);
      assert.deepEqual(page.changes[0]!.now, entry('a'));
      assert.deepEqual(page.changes[1]!.now, { value: alias('a.example'), revision });
      assert.deepEqual(page.changes[2]!.now, { value: bundle('b.example'), revision: bundled });
      assert.equal(page.more, false);
      assert.equal(page.cursor, await reader.changes.cursor());
      assert.deepEqual(await changes(reader, page.cursor), { changes: [], cursor: page.cursor, more: false });
    }

    const middle = await store.changes.cursor();
    const changed = next(entry('a'), { hint: 'h' });
    await store.entries.write(write({ update: [{ entry: changed, replaces: 1 }] }));
    await other.aliases.delete('a.example', revision);
    await other.bundles.delete('b.example', bundled);
    const page = await changes(store, middle);
    assert.deepEqual(page.changes.map(brief), ['entry a', 'alias a.example deleted', 'bundle b.example deleted']);
    assert.deepEqual(page.changes[0]!.now, changed);
  });

  test('what changed several times is told once, in the place of its last change', async (t) => {
    const store = await database(t).open();
    const start = await store.changes.cursor();
    const a = entry('a');
    await store.entries.write(write({ create: [a] }));
    await store.entries.write(write({ create: [entry('b')] }));
    await store.entries.write(write({ update: [{ entry: next(a), replaces: 1 }] }));
    const page = await changes(store, start);
    assert.deepEqual(page.changes.map(brief), ['entry b', 'entry a']);
    assert.deepEqual(page.changes[1]!.now, next(a));
  });

  test('pages follow each other without a gap', async (t) => {
    const store = await database(t).open();
    let cursor = await store.changes.cursor();
    const names = Array.from({ length: 7 }, (_, at) => `e${at}`);
    for (const name of names) await store.entries.write(write({ create: [entry(name)] }));
    const told: string[] = [];
    for (;;) {
      const page = await changes(store, cursor, 3);
      assert.ok(page.changes.length <= 3);
      told.push(...page.changes.map(({ name }) => name));
      cursor = page.cursor;
      if (!page.more) break;
    }
    assert.deepEqual(told, names);
    assert.equal(cursor, await store.changes.cursor());
  });

  test('a cursor is good in every store on the database, and after it was closed and opened', async (t) => {
    const shared = database(t);
    const store = await shared.open();
    await store.entries.write(write({ create: [entry('a')] }));
    const cursor = await store.changes.cursor();
    await store.entries.write(write({ create: [entry('b')] }));
    await store.close();
    const again = await shared.open();
    assert.deepEqual((await changes(again, cursor)).changes.map(brief), ['entry b']);
  });

  test('where the changes since a cursor are not kept any more, everything is to be loaded anew', async (t) => {
    const store = await database(t).open(10);
    const start = await store.changes.cursor();
    const cursors = [start];
    for (let at = 0; at < 10; at += 1) {
      await store.entries.write(write({ create: [entry(`e${at}`)] }));
      cursors.push(await store.changes.cursor());
    }
    assert.equal((await changes(store, start)).changes.length, 10, 'so many are kept');
    for (let at = 10; at < 20; at += 1) await store.aliases.put(alias(`h${at}.example`), undefined);
    const answers = await Promise.all(cursors.map((cursor) => store.changes.changesSince(cursor, 100)));
    assert.deepEqual(
      answers.slice(0, 10).map((answer) => answer),
      answers.slice(0, 10).map(() => 'reload'),
    );
    const last = answers[10]!;
    assert.ok(last !== 'reload');
    assert.equal(last.changes.length, 10);
    // One write of more than is kept.
    const before = await store.changes.cursor();
    const many = Array.from({ length: 11 }, (_, at) => entry(`m${at}`));
    await store.entries.write(write({ create: many }));
    assert.equal(await store.changes.changesSince(before, 100), 'reload');
    assert.deepEqual((await changes(store, await store.changes.cursor())).changes, []);
  });

  test('a cursor that no store on the database gave is too old', async (t) => {
    const shared = database(t);
    const store = await shared.open();
    const elsewhere = await database(t).open();
    for (const name of ['a', 'b']) await elsewhere.entries.write(write({ create: [entry(name)] }));
    const cursors = ['', 'x', '-1', '1.5', '1e3', ' 1', '9'.repeat(40), await elsewhere.changes.cursor()];
    for (const cursor of cursors) assert.equal(await store.changes.changesSince(cursor, 9), 'reload', `"${cursor}"`);
  });

  test('a server that follows the feed always ends up with what is stored', async (t) => {
    const name = fc.constantFrom('a', 'b', 'c', 'd');
    const step = fc.record({
      by: fc.constantFrom(0, 1),
      of: fc.constantFrom(
        ...(['entry', 'bundle', 'alias', 'relationship', 'agent', 'join token', 'revocation', 'follow'] as const),
      ),
      name,
      remove: fc.boolean(),
      limit: fc.integer({ min: 1, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const shared = database(t);
        const stores = [await shared.open(8), await shared.open(8)] as const;
        const follower = await Follower.start(await shared.open(8));
        for (const { by, of, name, remove, limit } of steps) {
          if (of === 'follow') await follower.follow(limit);
          else await change(stores[by], of, name, remove);
        }
        await follower.follow(100);
        assert.deepEqual(follower.values, await everything(stores[0]));
        for (const store of [...stores, follower.store]) await store.close();
      }),
      { numRuns: 40 },
    );
  });
}

/** By `<of> <name>`. */
type Everything = Map<string, unknown>;

async function everything(store: Store): Promise<Everything> {
  const all: Everything = new Map();
  for (const one of await store.entries.load()) all.set(`entry ${one.id}`, one);
  for (const one of await store.bundles.load()) all.set(`bundle ${one.value.trustDomain}`, one);
  for (const one of await store.aliases.load()) all.set(`alias ${one.value.host}`, one);
  for (const one of await store.relationships.load()) all.set(`relationship ${one.value.trustDomain}`, one);
  for (const one of await store.agents.load()) all.set(`agent ${one.value.id}`, one);
  for (const one of await store.joinTokens.load()) all.set(`join token ${one.value.hash}`, one);
  for (const one of await store.revocations.load()) all.set(`revocation ${one.serial}`, one);
  return all;
}

/** What a server does that shares its database with others. */
class Follower {
  readonly store: Store;
  values: Everything = new Map();
  #cursor: ChangeCursor = '';

  private constructor(store: Store) {
    this.store = store;
  }

  static async start(store: Store): Promise<Follower> {
    const follower = new Follower(store);
    await follower.#load();
    return follower;
  }

  async #load(): Promise<void> {
    this.#cursor = await this.store.changes.cursor();
    this.values = await everything(this.store);
  }

  /** Reads pages of `limit` until there are no more. */
  async follow(limit: number): Promise<void> {
    for (;;) {
      const page = await this.store.changes.changesSince(this.#cursor, limit);
      if (page === 'reload') return this.#load();
      for (const { of, name, now } of page.changes) {
        if (now === undefined) this.values.delete(`${of} ${name}`);
        else this.values.set(`${of} ${name}`, now);
      }
      this.#cursor = page.cursor;
      if (!page.more) return;
    }
  }
}

/** Makes, changes or removes what has the name. */
async function change(store: Store, of: StoreChange['of'], name: string, remove: boolean): Promise<void> {
  if (of === 'entry') {
    const before = (await store.entries.load()).find(({ id }) => id === name);
    if (before === undefined) return store.entries.write(write({ create: [entry(name)] }));
    if (remove) return store.entries.write(write({ delete: [{ id: name, revision: before.revisionNumber }] }));
    return store.entries.write(write({ update: [{ entry: next(before), replaces: before.revisionNumber }] }));
  }
  if (of === 'revocation') {
    const serial = Buffer.from(name).toString('hex');
    const before = (await store.revocations.load()).find((one) => one.serial === serial);
    if (before === undefined) return store.revocations.add([revocation(serial)]);
    return remove ? store.revocations.remove([before]) : undefined;
  }
  if (of === 'agent') {
    const before = (await store.agents.load()).find(({ value }) => value.id === agentId(name));
    if (before !== undefined && remove) return store.agents.delete(before.value.id, before.revision);
    await store.agents.put(agent(name, before !== undefined), before?.revision);
    return;
  }
  if (of === 'join token') {
    const before = (await store.joinTokens.load()).find(({ value }) => value.hash === name);
    if (before !== undefined && remove) return store.joinTokens.delete(name, before.revision);
    await store.joinTokens.put(joinToken(name, before !== undefined), before?.revision);
    return;
  }
  const host = `${name}.example`;
  const named = { bundle: store.bundles, alias: store.aliases, relationship: store.relationships, token: store.tokens }[
    of
  ];
  const nameOf = ({ value }: Revisioned<object>) =>
    'host' in value ? value.host : (value as { trustDomain: string }).trustDomain;
  const before = (await named.load()).find((one) => nameOf(one) === host);
  if (before !== undefined && remove) return named.delete(host, before.revision);
  if (of === 'bundle') await store.bundles.put(bundle(host, before !== undefined), before?.revision);
  else if (of === 'relationship') {
    await store.relationships.put(relationship(host, before !== undefined), before?.revision);
  } else await store.aliases.put(alias(host, before !== undefined), before?.revision);
}

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NamedStore } from '../../../src/registry/store/named-store.ts';
import type { Store } from '../../../src/registry/store/store.ts';
import type { MakeDatabase } from './conformance.ts';
import { agent, agentId, alias, bundle, joinToken, polledBundle, refuses, relationship } from './values.ts';

interface Concern<T> {
  readonly what: string;
  of(store: Store): NamedStore<T>;
  /** Two different values of a name: the second if `changed`. */
  make(name: string, changed?: boolean): T;
  /** The name in the store of what was made with a name; by default the same. */
  named?(name: string): string;
}

export function testNamed(database: MakeDatabase): void {
  testConcern(database, { what: 'bundle', of: (store) => store.bundles, make: bundle });
  testConcern(database, { what: 'polled bundle', of: (store) => store.bundles, make: polledBundle });
  testConcern(database, { what: 'relationship', of: (store) => store.relationships, make: relationship });
  testConcern(database, { what: 'alias', of: (store) => store.aliases, make: alias });
  testConcern(database, { what: 'agent', of: (store) => store.agents, make: agent, named: agentId });
  testConcern(database, { what: 'join token', of: (store) => store.joinTokens, make: joinToken });
}

function testConcern<T>(database: MakeDatabase, { what, of, make, named = (name) => name }: Concern<T>): void {
  describe(`a ${what}`, () => {
    test('comes back as it went in, from every store on the database', async (t) => {
      const shared = database(t);
      const store = of(await shared.open());
      const revision = await store.put(make('a.example'), undefined);
      const again = of(await shared.open());
      for (const one of [store, again]) assert.deepEqual(await one.load(), [{ value: make('a.example'), revision }]);
      const later = await store.put(make('a.example', true), revision);
      await store.put(make('b.example'), undefined);
      const values = new Map((await again.load()).map(({ value, revision }) => [revision, value]));
      assert.equal(values.size, 2);
      assert.deepEqual(values.get(later), make('a.example', true));
      await store.delete(named('a.example'), later);
      assert.deepEqual(
        (await again.load()).map(({ value }) => value),
        [make('b.example')],
      );
    });

    test('is not written over by who does not know its present revision, and the refusal names that', async (t) => {
      const shared = database(t);
      const [store, other] = [of(await shared.open()), of(await shared.open())];
      const first = await store.put(make('a.example'), undefined);
      const present = await other.put(make('a.example', true), first);
      assert.ok(present > first);
      const before = await store.load();
      for (const given of [undefined, first, present + 1]) {
        await refuses(store.put(make('a.example'), given), 'ERR_REVISION', present);
        if (given !== undefined) await refuses(store.delete(named('a.example'), given), 'ERR_REVISION', present);
      }
      assert.deepEqual(await store.load(), before);
    });

    test('that is not there can be neither replaced nor deleted', async (t) => {
      const store = of(await database(t).open());
      await refuses(store.put(make('a.example'), 1), 'ERR_NOT_FOUND');
      await refuses(store.delete(named('a.example'), 1), 'ERR_NOT_FOUND');
      assert.deepEqual(await store.load(), []);
    });

    test('that was deleted and made anew is at a revision that it never was at', async (t) => {
      const store = of(await database(t).open());
      const first = await store.put(make('a.example'), undefined);
      await store.delete(named('a.example'), first);
      const second = await store.put(make('a.example'), undefined);
      assert.ok(second > first);
      await refuses(store.put(make('a.example', true), first), 'ERR_REVISION', second);
    });

    test('is made by one of the servers that make it at the same time', async (t) => {
      const shared = database(t);
      const stores = await Promise.all([shared.open(), shared.open()]);
      const made = await Promise.allSettled(stores.map((store) => of(store).put(make('a.example'), undefined)));
      assert.deepEqual(made.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    });
  });
}

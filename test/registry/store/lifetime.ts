import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MakeDatabase } from './conformance.ts';
import { alias, bundle, entry, refuses, write } from './values.ts';

export function testLifetime(database: MakeDatabase): void {
  test('a closed store says so whatever it is asked, and closing again is fine', async (t) => {
    const store = await database(t).open();
    await store.close();
    await store.close();
    const calls = [
      store.entries.load(),
      store.entries.write(write({ create: [entry('a')] })),
      store.bundles.load(),
      store.bundles.put(bundle('a.example'), undefined),
      store.bundles.delete('a.example', 1),
      store.aliases.put(alias('a.example'), undefined),
      store.issuances.recordIssuances([]),
      store.issuances.newest({ limit: 1 }),
      store.issuances.issuedOf([]),
      store.issuances.unexpired({ serial: '01' }, 1, 1),
      store.revocations.load(),
      store.revocations.add([]),
      store.revocations.remove([]),
      store.revocations.removeEnded(1),
      store.decisions.get('d-1'),
      store.decisions.endAll(1),
      store.changes.cursor(),
      store.changes.changesSince('0', 1),
    ];
    await Promise.all(calls.map((call) => refuses(call, 'ERR_STORE')));
  });

  test('what one store closes stays open for the others', async (t) => {
    const shared = database(t);
    const [store, other] = [await shared.open(), await shared.open()];
    await store.close();
    await other.entries.write(write({ create: [entry('a')] }));
    assert.deepEqual(await (await shared.open()).entries.load(), [entry('a')]);
  });
}

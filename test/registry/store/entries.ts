import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { entryToJson } from '../../../src/registry/entry-json.ts';
import type { EntryWrite } from '../../../src/registry/store/entry-store.ts';
import type { Store } from '../../../src/registry/store/store.ts';
import type { Entry } from '../../../src/registry/types.ts';
import { parseSpiffeId, parseTrustDomain } from '../../../src/spiffe/id.ts';
import type { MakeDatabase } from './conformance.ts';
import { byId, entry, next, refuses, write } from './values.ts';

const loaded = async (store: Store) => byId(await store.entries.load());

export function testEntries(database: MakeDatabase): void {
  test('an entry comes back as it went in, from every store on the database', async (t) => {
    const shared = database(t);
    const first = await shared.open();
    const whole = entry('x', {
      selectors: [
        { type: 'docker', value: 'label:a:é🤯\n"' },
        { type: 'unix', value: 'uid:1' },
      ],
      parentId: 'spiffe://ilinux.io/p',
      x509SvidTtl: 2_147_483_647,
      x509SvidKeyType: 'rsa-2048',
      jwtSvidTtl: 1,
      dnsNames: ['b.org', 'a.org'],
      federatesWith: [parseTrustDomain('z.org'), parseTrustDomain('a.org')],
      hint: "it's; DROP TABLE entries",
      allowContained: true,
      expiresAt: 253_402_300_799_999,
      createdAt: 1_900_000_000_001,
      updatedAt: 1_900_000_000_002,
      revisionNumber: 7,
      source: 'file',
    });
    await first.entries.write(write({ create: [whole, entry('y')] }));
    for (const store of [first, await shared.open()]) assert.deepEqual(await loaded(store), [whole, entry('y')]);
  });

  test('any entry comes back as it went in', async (t) => {
    const text = fc.string({ unit: 'grapheme', maxLength: 40 }).map((given) => given.replaceAll('\0', ''));
    const selector = fc
      .tuple(fc.constantFrom('unix', 'docker'), text)
      .map(([type, value]) => ({ type, value: `v:${value}` }));
    const any = fc.record({
      selectors: fc.array(selector, { minLength: 1, maxLength: 5 }),
      hint: text,
      dnsNames: fc.array(text, { maxLength: 3 }),
      parentId: text,
      allowContained: fc.boolean(),
      expiresAt: fc.integer({ min: 0, max: 253_402_300_799_999 }),
      x509SvidTtl: fc.nat(),
      x509SvidKeyType: fc.constantFrom('' as const, 'ec-p256', 'rsa-2048'),
    });
    await fc.assert(
      fc.asyncProperty(any, async (more) => {
        const store = await database(t).open();
        const made = entry('any', more);
        await store.entries.write(write({ create: [made] }));
        assert.deepEqual(await store.entries.load(), [made]);
        const changed = next(made, { hint: `${made.hint}!` });
        await store.entries.write(write({ update: [{ entry: changed, replaces: 1 }] }));
        assert.deepEqual(await store.entries.load(), [changed]);
        await store.entries.write(write({ delete: [{ id: 'any', revision: 2 }] }));
        assert.deepEqual(await store.entries.load(), []);
      }),
      { numRuns: 50 },
    );
  });

  test('one write creates, updates and deletes', async (t) => {
    const store = await database(t).open();
    const [a, b] = [entry('a'), entry('b')];
    await store.entries.write(write({ create: [a, b] }));
    const changed = next(a, { hint: 'h' });
    await store.entries.write({
      create: [entry('c')],
      update: [{ entry: changed, replaces: 1 }],
      delete: [{ id: 'b', revision: 1 }],
    });
    assert.deepEqual(await loaded(store), [changed, entry('c')]);
    await store.entries.write(write({}));
    assert.deepEqual(await loaded(store), [changed, entry('c')]);
  });

  test('a write that is refused names what is there now, and changes nothing', async (t) => {
    const shared = database(t);
    const [store, other] = [await shared.open(), await shared.open()];
    const a = next(entry('a'));
    await store.entries.write(write({ create: [entry('a'), entry('b')] }));
    await other.entries.write(write({ update: [{ entry: a, replaces: 1 }] }));
    const before = await loaded(store);
    const cursor = await store.changes.cursor();

    const stale = { entry: next(entry('a'), { hint: 'mine' }), replaces: 1 };
    const twin = entry('twin', { spiffeId: a.spiffeId });
    const renamed = { entry: next(entry('b'), { spiffeId: a.spiffeId }), replaces: 1 };
    const cases: Record<string, [Partial<EntryWrite>, string, number?]> = {
      'an update of an earlier revision': [{ update: [stale] }, 'ERR_REVISION', 2],
      'an update of a later revision': [{ update: [{ entry: a, replaces: 3 }] }, 'ERR_REVISION', 2],
      'a deletion of an earlier revision': [{ delete: [{ id: 'a', revision: 1 }] }, 'ERR_REVISION', 2],
      'an update of what is not there': [{ update: [{ entry: entry('z'), replaces: 1 }] }, 'ERR_NOT_FOUND'],
      'a deletion of what is not there': [{ delete: [{ id: 'z', revision: 1 }] }, 'ERR_NOT_FOUND'],
      'an id that is taken': [{ create: [entry('a', { source: 'file' })] }, 'ERR_ENTRY_EXISTS'],
      'SPIFFE ID, selectors and parent that are taken': [{ create: [twin] }, 'ERR_ENTRY_EXISTS'],
      'an update to what is taken': [{ update: [renamed] }, 'ERR_ENTRY_EXISTS'],
      'two entries with one id': [{ create: [entry('d'), entry('d', { source: 'file' })] }, 'ERR_ENTRY_EXISTS'],
      'what the rules of the store forbid': [{ create: [entry('d', { selectors: [] })] }, 'ERR_STORE'],
    };
    for (const [name, [parts, code, present]] of Object.entries(cases)) {
      const good = { create: [entry('c')], delete: [{ id: 'b', revision: 1 }] };
      const whole = {
        create: [...good.create, ...(parts.create ?? [])],
        update: parts.update ?? [],
        delete: [...(parts.update === undefined ? good.delete : []), ...(parts.delete ?? [])],
      };
      const error = await refuses(store.entries.write(whole), code, present);
      assert.deepEqual(await loaded(store), before, name);
      assert.deepEqual(await store.changes.changesSince(cursor, 9), { changes: [], cursor, more: false }, name);
      if (code === 'ERR_ENTRY_EXISTS' && !name.startsWith('two')) {
        assert.deepEqual(error.extra.entry, entryToJson(a), name);
      }
    }
  });

  test('what differs in SPIFFE ID, parent, selectors or source is another entry', async (t) => {
    const store = await database(t).open();
    const { spiffeId } = entry('a');
    const others = [
      entry('a'),
      entry('b'),
      entry('c', { spiffeId, parentId: 'spiffe://ilinux.io/p' }),
      entry('d', { spiffeId, selectors: [{ type: 'unix', value: 'uid:2' }] }),
      entry('e', {
        spiffeId,
        selectors: [
          { type: 'unix', value: 'gid:2' },
          { type: 'unix', value: 'uid:1000' },
        ],
      }),
      entry('f', { spiffeId, source: 'file' }),
      // Its parts, put together without care, would read as those of the next.
      entry('g', { spiffeId: parseSpiffeId('spiffe://ilinux.io/g'), parentId: 'h' }),
      entry('h', { spiffeId: parseSpiffeId('spiffe://ilinux.io/gh'), parentId: '' }),
    ];
    await store.entries.write(write({ create: others }));
    assert.deepEqual(await loaded(store), others);
    await refuses(
      store.entries.write(write({ create: [entry('i', { spiffeId, source: 'file' })] })),
      'ERR_ENTRY_EXISTS',
    );
  });

  test('what is replaced or deleted makes room in the same write', async (t) => {
    const store = await database(t).open();
    const [a, b] = [entry('a'), entry('b')];
    await store.entries.write(write({ create: [a, b] }));
    const swapped = [next(a, { spiffeId: b.spiffeId }), next(b, { spiffeId: a.spiffeId })];
    await store.entries.write(write({ update: swapped.map((one) => ({ entry: one, replaces: 1 })) }));
    assert.deepEqual(await loaded(store), swapped);
    // The id and the SPIFFE ID of what is deleted are free at once.
    const anew = [entry('a'), entry('c', { spiffeId: b.spiffeId })];
    await store.entries.write(write({ create: anew, delete: ['a', 'b'].map((id) => ({ id, revision: 2 })) }));
    assert.deepEqual(await loaded(store), anew);
  });

  test('of servers that change one entry at a time none loses a change', async (t) => {
    const shared = database(t);
    const stores = await Promise.all([shared.open(), shared.open(), shared.open()]);
    await stores[0]!.entries.write(write({ create: [entry('a', { x509SvidTtl: 0 })] }));
    const increase = async (store: Store, before: Entry): Promise<void> => {
      const entry = next(before, { x509SvidTtl: before.x509SvidTtl + 1 });
      try {
        await store.entries.write(write({ update: [{ entry, replaces: before.revisionNumber }] }));
      } catch (error) {
        assert.equal((error as { code: string }).code, 'ERR_REVISION');
        const [present] = await store.entries.load();
        await increase(store, present!);
      }
    };
    const many = async (store: Store) => {
      for (let i = 0; i < 20; i += 1) await increase(store, (await store.entries.load())[0]!);
    };
    await Promise.all(stores.map(many));
    const [last] = await stores[1]!.entries.load();
    assert.deepEqual([last!.x509SvidTtl, last!.revisionNumber], [60, 61]);
  });

  test('of servers that make the same entry at the same time one does', async (t) => {
    const shared = database(t);
    const stores = await Promise.all([shared.open(), shared.open(), shared.open()]);
    const { spiffeId } = entry('same');
    const made = await Promise.allSettled(
      stores.map((store, at) => store.entries.write(write({ create: [entry(`e${at}`, { spiffeId })] }))),
    );
    assert.deepEqual(made.map(({ status }) => status).sort(), ['fulfilled', 'rejected', 'rejected']);
    assert.equal((await stores[0]!.entries.load()).length, 1);
  });
}

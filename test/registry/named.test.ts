import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import path from 'node:path';
import { describe, test } from 'node:test';
import Sqlite from 'better-sqlite3';
import { SERVER } from '../../src/audit/actor.ts';
import { SidekeyError } from '../../src/base/errors.ts';
import type { By } from '../../src/registry/audit-events.ts';
import { Named } from '../../src/registry/named.ts';
import { MIGRATIONS, migrate } from '../../src/registry/sqlite/migrations.ts';
import type { NamedStore } from '../../src/registry/store/named-store.ts';
import { WriteQueue } from '../../src/registry/write-queue.ts';
import { parseSpiffeId, parseTrustDomain } from '../../src/spiffe/id.ts';
import { makeCertificate } from '../support/certificates.ts';
import { TestClock } from '../support/clock.ts';
import { input as entryInput, open, SILENT, temporaryDirectory } from './support.ts';

const OTHER = parseTrustDomain('other.example');
const ANOTHER = parseTrustDomain('another.example');
const WEB = parseSpiffeId('spiffe://ilinux.io/web');
const API = parseSpiffeId('spiffe://ilinux.io/api');

const [one, two] = await Promise.all([makeCertificate({ name: 'one' }), makeCertificate({ name: 'two' })]);

function input(...roots: readonly { der: Buffer }[]) {
  return {
    x509Authorities: roots.map(({ der }) => der),
    jwtAuthorities: [],
    sequenceNumber: undefined,
    refreshHint: undefined,
  };
}

describe('bundles of other trust domains', () => {
  test('are listed by trust domain, with their certificates as DER and PEM', async (t) => {
    const { registry, clock } = await open(t);
    const { federatedBundles } = registry;
    const { value, created } = await federatedBundles.set(OTHER, { ...input(one, two), refreshHint: 60 });
    assert.equal(created, true);
    assert.deepEqual(value, {
      trustDomain: OTHER,
      x509Authorities: [one.der, two.der],
      jwtAuthorities: [],
      crls: [],
      pem: Buffer.from(one.pem + two.pem),
      authoritiesPem: Buffer.from(one.pem + two.pem),
      crlsPem: Buffer.alloc(0),
      epoch: undefined,
      sequenceNumber: 1,
      documentNumber: 1,
      refreshHint: 60,
      source: 'manual',
      statedSequence: undefined,
      updatedAt: clock.now(),
    });
    await federatedBundles.set(ANOTHER, input(one));
    assert.deepEqual(
      federatedBundles.list().map(({ trustDomain }) => trustDomain),
      [ANOTHER, OTHER],
    );
    assert.equal(federatedBundles.get(OTHER), value);
    assert.equal(federatedBundles.get('nowhere.example'), undefined);
  });

  test('are there after a restart as they were, and those that were deleted are not', async (t) => {
    const { registry, store, file } = await open(t);
    await registry.federatedBundles.set(OTHER, { ...input(one, two), sequenceNumber: 2n ** 53n - 1n });
    await registry.federatedBundles.set(ANOTHER, { ...input(two), refreshHint: 0, sequenceNumber: 0n });
    const gone = parseTrustDomain('gone.example');
    await registry.federatedBundles.set(gone, input(one));
    await registry.federatedBundles.delete(gone);
    const before = registry.federatedBundles.list();
    await registry.close();
    await store.close();
    const again = await open(t, { file });
    assert.deepEqual(again.registry.federatedBundles.list(), before);
    assert.equal(before.length, 2);
  });

  test('count their changes where the form that they came in does not', async (t) => {
    const { registry, clock } = await open(t);
    const set = async (given: Partial<ReturnType<typeof input>> | object, ...roots: { der: Buffer }[]) => {
      clock.advance(1_000);
      const { value } = await registry.federatedBundles.set(OTHER, { ...input(...roots), ...given });
      return [value.sequenceNumber, value.refreshHint, value.updatedAt === clock.now()];
    };
    assert.deepEqual(await set({}, one), [1, undefined, true]);
    assert.deepEqual(await set({}, one), [1, undefined, false], 'nothing changed');
    assert.deepEqual(await set({}, one, two), [2, undefined, true]);
    assert.deepEqual(await set({}, two, one), [3, undefined, true]);
    assert.deepEqual(await set({ sequenceNumber: 40, refreshHint: 9 }, two, one), [40, 9, true]);
    assert.deepEqual(await set({}, two, one), [40, 9, false]);
    assert.deepEqual(await set({}, one), [41, 9, true]);
    assert.deepEqual(await set({ sequenceNumber: 7n }, one), [7, 9, true], 'who sets it knows');
  });

  test('tell of each change and each end, once it is on disk', async (t) => {
    const { registry, store } = await open(t);
    const { federatedBundles } = registry;
    const told: string[] = [];
    const stored: Promise<unknown[]>[] = [];
    const stop = federatedBundles.watch(OTHER, () => {
      told.push(`watch ${federatedBundles.get(OTHER)?.x509Authorities.length ?? 'gone'}`);
      stored.push(store.bundles.load());
    });
    const stopAll = federatedBundles.onChange((trustDomain) => told.push(`any ${trustDomain}`));
    await federatedBundles.set(OTHER, input(one));
    await federatedBundles.set(OTHER, input(one));
    assert.deepEqual(told.splice(0), ['watch 1', 'any other.example'], 'the same again is no change');
    await federatedBundles.set(ANOTHER, input(one));
    await federatedBundles.set(OTHER, input(one, two));
    await federatedBundles.delete(OTHER);
    assert.deepEqual(told.splice(0), [
      'any another.example',
      'watch 2',
      'any other.example',
      'watch gone',
      'any other.example',
    ]);
    assert.deepEqual(
      (await Promise.all(stored)).map((list) => list.length),
      [1, 2, 1],
    );
    stop();
    stopAll();
    await federatedBundles.set(OTHER, input(one));
    assert.deepEqual(told, []);
  });

  test('that are not there can not be deleted', async (t) => {
    const { registry } = await open(t);
    await assert.rejects(registry.federatedBundles.delete(OTHER), { code: 'ERR_NOT_FOUND' });
  });

  test('edited by hand into the own trust domain, or into nonsense, are not loaded', async (t) => {
    const edits = [
      "UPDATE federated_bundles SET trust_domain = 'ilinux.io'",
      "UPDATE federated_bundles SET trust_domain = 'Other'",
      "UPDATE federated_bundles SET pem = ''",
      "UPDATE federated_bundles SET pem = replace(pem, 'MII', 'AAA')",
      "UPDATE aliases SET spiffe_id = 'spiffe://other.example/web'",
      "UPDATE aliases SET spiffe_id = 'web'",
    ];
    for (const edit of edits) {
      const { registry, store, file } = await open(t);
      await registry.federatedBundles.set(OTHER, input(one));
      await registry.aliases.set('web.example', WEB);
      await registry.close();
      await store.close();
      const db = new Sqlite(file);
      db.exec(edit);
      db.close();
      await assert.rejects(open(t, { file }), (error: SidekeyError) => {
        assert.equal(error.code, 'ERR_STORE', edit);
        assert.match(
          error.message,
          /damaged \((federated_bundles, (other\.example|ilinux\.io|Other)|aliases, web\.example):/,
        );
        return true;
      });
    }
  });
});

describe('aliases', () => {
  test('are found in any case, and listed by name', async (t) => {
    const { registry, clock } = await open(t);
    const { aliases } = registry;
    const { value, created } = await aliases.set('Web.Example', WEB);
    assert.equal(created, true);
    assert.deepEqual(value, {
      host: 'web.example',
      spiffeId: WEB,
      createdAt: clock.now(),
      updatedAt: clock.now(),
    });
    await aliases.set('api.example', API);
    assert.deepEqual(
      aliases.list().map(({ host }) => host),
      ['api.example', 'web.example'],
    );
    for (const host of ['web.example', 'WEB.EXAMPLE', 'Web.Example']) assert.equal(aliases.get(host), value);
    assert.equal(aliases.get('web.example.'), undefined);
    await aliases.set('k.example', API);
    assert.equal(aliases.get('\u212a.example'), undefined, 'the Kelvin sign is no K');
  });

  test('change and end, and who watches hears of it, in any case', async (t) => {
    const { registry, clock } = await open(t);
    const { aliases } = registry;
    const told: string[] = [];
    aliases.watch('WEB.example', () => told.push(String(aliases.get('web.example')?.spiffeId)));
    aliases.onChange((host) => told.push(host));
    await aliases.set('web.example', WEB);
    clock.advance(1_000);
    const { value, created } = await aliases.set('web.EXAMPLE', API);
    assert.deepEqual([created, value.createdAt, value.updatedAt], [false, clock.now() - 1_000, clock.now()]);
    assert.equal((await aliases.set('web.example', API)).value, value, 'the same again is no change');
    await aliases.delete('Web.example');
    assert.deepEqual(told, [WEB, 'web.example', API, 'web.example', 'undefined', 'web.example']);
    await assert.rejects(aliases.delete('web.example'), { code: 'ERR_NOT_FOUND' });
  });

  test('are there after a restart as they were', async (t) => {
    const { registry, store, file } = await open(t);
    await registry.aliases.set('web.example', WEB);
    await registry.aliases.set('api.example', API);
    await registry.aliases.set('gone.example', API);
    await registry.aliases.delete('gone.example');
    const before = registry.aliases.list();
    await registry.close();
    await store.close();
    assert.deepEqual((await open(t, { file })).registry.aliases.list(), before);
  });
});

describe('what has a name', () => {
  const text = {
    nameOf: (value: { name: string }) => value.name,
    what: 'thing',
    eventOf: (_change: object, by: By) => ({ ...by, action: 'alias.changed' }) as const,
    clock: new TestClock(),
    log: SILENT,
  };
  const memory: NamedStore<{ name: string }> = {
    load: async () => [],
    put: async () => 1,
    delete: async () => undefined,
  };

  test('is at most so many', async () => {
    const named = await Named.open({ ...text, store: memory, limit: 2, queue: new WriteQueue() });
    await Promise.all(['a', 'b'].map((name) => named.put(name, SERVER, () => ({ name }))));
    await assert.rejects(
      named.put('c', SERVER, () => ({ name: 'c' })),
      (error: SidekeyError) => error.code === 'ERR_BAD_INPUT' && /there are 2 already/.test(error.message),
    );
    await named.put('b', SERVER, () => ({ name: 'b' }));
    await named.delete('a', SERVER);
    await named.put('c', SERVER, () => ({ name: 'c' }));
    assert.deepEqual(
      named.list().map(({ name }) => name),
      ['b', 'c'],
    );
  });

  test('is as it was, and nobody told, when the store refuses the write', async () => {
    const full = async () => Promise.reject(new SidekeyError('ERR_STORE', 'the disk is full'));
    let store = memory;
    const flexible: NamedStore<{ name: string }> = {
      load: () => store.load(),
      put: (value, replaces) => store.put(value, replaces),
      delete: (name, revision) => store.delete(name, revision),
    };
    const named = await Named.open({ ...text, store: flexible, limit: 9, queue: new WriteQueue() });
    const { value } = await named.put('a', SERVER, () => ({ name: 'a' }));
    const told: string[] = [];
    named.onChange((name) => told.push(name));
    store = { ...memory, put: full, delete: full };
    await assert.rejects(
      named.put('a', SERVER, () => ({ name: 'a' })),
      { code: 'ERR_STORE' },
    );
    await assert.rejects(named.delete('a', SERVER), { code: 'ERR_STORE' });
    assert.equal(named.get('a'), value);
    assert.deepEqual(told, []);
    store = memory;
    await named.delete('a', SERVER);
    assert.deepEqual(told, ['a'], 'the next write goes on');
  });

  test('is told to the others when one listener fails', async () => {
    const named = await Named.open({ ...text, store: memory, limit: 9, queue: new WriteQueue() });
    const told: string[] = [];
    named.watch('a', () => {
      throw new Error('mine');
    });
    named.watch('a', () => told.push('one'));
    named.onChange(() => told.push('any'));
    await named.put('a', SERVER, () => ({ name: 'a' }));
    assert.deepEqual(told, ['one', 'any']);
  });
});

test('a database of the first schema is taken over with its entries', async (t) => {
  const file = path.join(temporaryDirectory(t), 'registry.db');
  const db = new Sqlite(file);
  migrate(db, MIGRATIONS.slice(0, 1));
  db.exec(`INSERT INTO meta VALUES ('trust_domain', 'ilinux.io');
    INSERT INTO entries VALUES ('web', 'spiffe://ilinux.io/web', '[{"type":"unix","value":"uid:1000"}]', '', 0, 0, '[]', '[]',
      '', 0, 1, 2, 1, 'api')`);
  db.close();
  const { registry } = await open(t, { file });
  const old = {
    id: 'web',
    createdAt: 1,
    updatedAt: 2,
    revisionNumber: 1,
    source: 'api',
  };
  assert.deepEqual(registry.list({ limit: 10 }).entries, [{ ...entryInput('web'), ...old }]);
  assert.deepEqual(registry.federatedBundles.list(), []);
  await registry.federatedBundles.set(OTHER, input(one));
  assert.equal(new X509Certificate(registry.federatedBundles.get(OTHER)!.x509Authorities[0]!).subject, 'CN=one');
});

test('a closed registry takes neither bundle nor alias', async (t) => {
  const { registry, store } = await open(t);
  await registry.close();
  await assert.rejects(registry.federatedBundles.set(OTHER, input(one)), { code: 'ERR_STORE' });
  await assert.rejects(registry.aliases.set('web.example', WEB), { code: 'ERR_STORE' });
  assert.deepEqual(await store.bundles.load(), []);
});

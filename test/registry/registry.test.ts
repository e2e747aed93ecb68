import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { SidekeyError } from '../../src/base/errors.ts';
import { EntriesBySpiffeId } from '../../src/registry/by-spiffe-id.ts';
import { compareAge, isExpired, similarityKey } from '../../src/registry/entry.ts';
import type { EntryJson } from '../../src/registry/entry-json.ts';
import { openRegistry } from '../../src/registry/registry.ts';
import type { EntryStore } from '../../src/registry/store/entry-store.ts';
import type { Store } from '../../src/registry/store/store.ts';
import type { Entry, EntryChange, EntryInput, Registry } from '../../src/registry/types.ts';
import type { SpiffeId } from '../../src/spiffe/id.ts';
import { TestClock } from '../support/clock.ts';
import { input, open, SILENT, TRUST_DOMAIN } from './support.ts';

const UID = new Set(['unix:uid:1000']);

/** What a listener was told, one line a change: `made a`, `changed a`, `gone a`; `|` between calls. */
function news(registry: Registry): string[] {
  const lines: string[] = [];
  registry.onChange((changes) => lines.push(changes.map(line).join(', ')));
  return lines;
}

function line({ before, after }: EntryChange): string {
  const name = (entry: Entry) => entry.spiffeId.slice('spiffe://ilinux.io/'.length);
  if (before === undefined) return `made ${name(after!)}`;
  return after === undefined ? `gone ${name(before)}` : `changed ${name(after)}`;
}

function rejects(promise: Promise<unknown>, code: string, message?: RegExp): Promise<SidekeyError> {
  return promise.then(
    () => assert.fail(`expected ${code}`),
    (error: SidekeyError) => {
      assert.equal(error.code, code, String(error));
      if (message !== undefined) assert.match(error.message, message);
      return error;
    },
  );
}

function names(entries: readonly Entry[]): string[] {
  return entries.map((entry) => entry.spiffeId.slice('spiffe://ilinux.io/'.length)).sort();
}

test('an entry that was made is found, matched and still there after a restart', async (t) => {
  const first = await open(t);
  const [made] = await first.registry.create(
    [input('front-envoy', ['unix:uid:1', 'unix:gid:2'], { hint: 'é🤯', dnsNames: ['a.org'], expiresAt: 9e12 })],
    'api',
  );
  assert.match(made!.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(made!.createdAt, first.clock.now());
  assert.equal(made!.updatedAt, first.clock.now());
  assert.equal(made!.revisionNumber, 1);
  assert.equal(made!.source, 'api');
  await first.registry.close();
  await first.store.close();
  const second = await open(t, { file: first.file });
  for (const { registry } of [first, second]) {
    assert.equal(registry.size, 1);
    assert.deepEqual(registry.get(made!.id), made);
    assert.deepEqual(registry.bySpiffeId('spiffe://ilinux.io/front-envoy'), [made]);
    assert.deepEqual(registry.match(new Set(['unix:uid:1', 'unix:gid:2', 'unix:user:x'])), [made]);
    assert.deepEqual(registry.match(new Set(['unix:uid:1'])), []);
  }
});

test('a kind of selector is asked for while an entry that counts asks for it', async (t) => {
  const { registry, clock } = await open(t);
  const hash = `unix:sha256:${'ab'.repeat(32)}`;
  assert.equal(registry.asksFor('unix:sha256'), false);
  const [a] = await registry.create(
    [input('a', ['unix:uid:1', hash]), input('b', ['unix:uid:1', 'unix:path:/sha256:'])],
    'api',
  );
  await registry.create([input('c', ['unix:uid:2', hash], { expiresAt: clock.now() + 1_000 })], 'api');
  assert.equal(registry.asksFor('unix:sha256'), true);
  assert.equal(registry.asksFor('unix:gid'), false);
  await registry.delete(a!.id);
  assert.equal(registry.asksFor('unix:sha256'), true);
  clock.advance(1_000);
  assert.equal(registry.asksFor('unix:sha256'), false);
  assert.equal(registry.asksFor('unix:uid'), true);
});

test('a selector is asked for while an entry that counts has exactly it, a label and a variable also by name', async (t) => {
  const { registry, clock } = await open(t);
  const selectors = ['docker:label:app:web:1', 'docker:env:A=b=c', 'docker:network:x:y'];
  const [a] = await registry.create([input('a', selectors)], 'api');
  for (const key of selectors) assert.equal(registry.askers(key), 1);
  assert.equal(registry.askers('docker:label:app:web'), 0);
  for (const name of ['docker:label', 'docker:label:app', 'docker:env', 'docker:env:A', 'docker:network']) {
    assert.equal(registry.asksFor(name), true, name);
  }
  for (const name of ['docker:label:app:web', 'docker:env:A=b', 'docker:network:x', 'docker:label:']) {
    assert.equal(registry.asksFor(name), false, name);
  }
  let revision = registry.askedRevision;
  const isNew = () => {
    const before = revision;
    revision = registry.askedRevision;
    return revision !== before;
  };
  await registry.create([input('b', ['docker:label:app:web:1'])], 'api');
  assert.equal(isNew(), false, 'it was asked for already');
  await registry.create([input('c', ['docker:label:app:api'], { expiresAt: clock.now() + 1_000 })], 'api');
  assert.equal(isNew(), true);
  clock.advance(1_000);
  assert.equal(isNew(), true);
  await registry.delete(a!.id);
  assert.equal(isNew(), true);
  assert.deepEqual(
    [registry.asksFor('docker:label:app'), registry.asksFor('docker:env:A'), registry.askers(selectors[0]!)],
    [true, false, 1],
  );
});

test('an entry keeps the id that was chosen for it', async (t) => {
  const { registry } = await open(t);
  const [made] = await registry.create([input('a', undefined, { id: 'mine' })], 'api');
  assert.equal(made, registry.get('mine'));
  assert.equal(registry.get('Mine'), undefined);
});

test('the same SPIFFE ID, selectors and parent can be there once; the answer has the entry that is', async (t) => {
  const { registry } = await open(t);
  const [made] = await registry.create([input('a', ['unix:uid:1', 'unix:gid:1'], { hint: 'first' })], 'api');
  const again = [input('b'), input('a', ['unix:gid:1', 'unix:uid:1'], { hint: 'other', x509SvidTtl: 60 })];
  const error = await rejects(registry.create(again, 'other'), 'ERR_ENTRY_EXISTS', new RegExp(made!.id));
  assert.equal((error.extra.entry as EntryJson).id, made!.id);
  assert.equal((error.extra.entry as EntryJson).hint, 'first');
  assert.equal(error.extra.index, 1);
  assert.deepEqual(names(registry.list({ limit: 10 }).entries), ['a']);
  await registry.create(
    [input('a', ['unix:uid:1']), input('a', ['unix:uid:1'], { parentId: 'spiffe://ilinux.io/p' })],
    'api',
  );
  assert.equal(registry.bySpiffeId('spiffe://ilinux.io/a').length, 3);
});

test('an id can be there once', async (t) => {
  const { registry } = await open(t);
  await registry.create([input('a', undefined, { id: 'x' })], 'api');
  const error = await rejects(
    registry.create([input('b', undefined, { id: 'x' })], 'api'),
    'ERR_ENTRY_EXISTS',
    /this id/,
  );
  assert.equal((error.extra.entry as EntryJson).spiffe_id, 'spiffe://ilinux.io/a');
});

test('a batch is made whole or not at all, also when two of it are the same', async (t) => {
  const { registry, store } = await open(t);
  const told = news(registry);
  await rejects(registry.create([input('a'), input('b'), input('a')], 'api'), 'ERR_ENTRY_EXISTS', /0 and 2/);
  const sameId = [input('a', undefined, { id: 'x' }), input('b', undefined, { id: 'x' })];
  await rejects(registry.create(sameId, 'api'), 'ERR_ENTRY_EXISTS', /0 and 1/);
  assert.equal(registry.size, 0);
  assert.deepEqual(await store.entries.load(), []);
  await registry.create([input('a'), input('b')], 'api');
  assert.deepEqual(told, ['made a, made b']);
});

test('writes that are asked for at once are done one after the other', async (t) => {
  const { registry } = await open(t);
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => registry.create([input('a')], 'api')));
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
  const { id } = registry.list({ limit: 1 }).entries[0]!;
  const updates = Array.from({ length: 20 }, (_, index) => registry.update(id, { x509SvidTtl: index + 1 }, index + 1));
  const revisions = (await Promise.all(updates)).map((entry) => entry.revisionNumber);
  assert.deepEqual(
    revisions,
    Array.from({ length: 20 }, (_, index) => index + 2),
  );
});

test('a change is told after it is on disk and in force, in order, to all who listen', async (t) => {
  const { registry, store } = await open(t);
  const stored: Promise<Entry[]>[] = [];
  const matched: string[][] = [];
  registry.onChange(() => {
    stored.push(store.entries.load());
    matched.push(names(registry.match(UID)));
  });
  const told = news(registry);
  const [a] = await registry.create([input('a')], 'api');
  assert.equal(told.length, 1);
  await Promise.all([
    registry.create([input('b')], 'api'),
    registry.update(a!.id, { hint: 'h' }),
    registry.delete(a!.id),
    registry.create([input('c')], 'api'),
  ]);
  assert.deepEqual(told, ['made a', 'made b', 'changed a', 'gone a', 'made c']);
  assert.deepEqual(matched, [['a'], ['a', 'b'], ['a', 'b'], ['b'], ['b', 'c']]);
  assert.deepEqual((await Promise.all(stored)).map(names), matched);
});

test('a change has the entry before and after it', async (t) => {
  const { registry } = await open(t);
  const [before] = await registry.create([input('a')], 'api');
  const changes: EntryChange[] = [];
  registry.onChange((all) => changes.push(...all));
  const after = await registry.update(before!.id, { selectors: input('a', ['unix:gid:7']).selectors });
  await registry.delete(after.id);
  assert.deepEqual(changes, [
    { before, after },
    { before: after, after: undefined },
  ]);
  assert.deepEqual(registry.match(UID), []);
});

test('a listener that fails keeps the news from nobody, and one that has left hears nothing', async (t) => {
  const { registry } = await open(t);
  registry.onChange(() => {
    throw new Error('no');
  });
  const leave = registry.onChange(() => assert.fail('has left'));
  const told = news(registry);
  leave();
  await registry.create([input('a')], 'api');
  assert.deepEqual(told, ['made a']);
});

test('a listener may write: its change comes after the one it heard of', async (t) => {
  const { registry } = await open(t);
  let written: Promise<unknown> = Promise.resolve();
  registry.onChange(([change]) => {
    if (change!.after?.hint === 'first') written = registry.update(change!.after.id, { hint: 'second' });
  });
  const told = news(registry);
  await Promise.all([
    registry.create([input('a', undefined, { hint: 'first' })], 'api'),
    registry.create([input('b')], 'api'),
  ]);
  await written;
  assert.deepEqual(told, ['made a', 'made b', 'changed a']);
});

test('an update changes what it names, counts the revision and keeps the rest', async (t) => {
  const { registry, clock } = await open(t);
  const [before] = await registry.create([input('a', undefined, { hint: 'h', x509SvidTtl: 5 })], 'file');
  clock.advance(1_000);
  const after = await registry.update(before!.id, { x509SvidTtl: 60 }, 1);
  assert.deepEqual(after, { ...before, x509SvidTtl: 60, revisionNumber: 2, updatedAt: before!.createdAt + 1_000 });
  assert.equal(registry.get(before!.id), after);
  assert.deepEqual(registry.bySpiffeId(before!.spiffeId), [after]);
  assert.deepEqual(registry.list({ limit: 5 }).entries, [after]);
});

test('an update that changes nothing leaves the revision and is told to nobody', async (t) => {
  const { registry, clock } = await open(t);
  const [before] = await registry.create([input('a', undefined, { hint: 'h' })], 'api');
  const told = news(registry);
  clock.advance(1_000);
  const same = { hint: 'h', selectors: input('a').selectors, dnsNames: [] };
  assert.equal(await registry.update(before!.id, same), before);
  assert.equal(await registry.update(before!.id, {}), before);
  assert.deepEqual(told, []);
});

test('a write for another revision than the entry has is refused', async (t) => {
  const { registry } = await open(t);
  const [entry] = await registry.create([input('a')], 'api');
  await registry.update(entry!.id, { hint: 'theirs' }, 1);
  await rejects(registry.update(entry!.id, { hint: 'mine' }, 1), 'ERR_REVISION', /revision 2, not 1/);
  await rejects(registry.update(entry!.id, { hint: 'theirs' }, 1), 'ERR_REVISION');
  await rejects(registry.delete(entry!.id, 1), 'ERR_REVISION');
  assert.equal(registry.get(entry!.id)!.hint, 'theirs');
  await registry.delete(entry!.id, 2);
  assert.equal(registry.size, 0);
});

test('an update can make no double of another entry', async (t) => {
  const { registry } = await open(t);
  const [, b] = await registry.create([input('a'), input('a', ['unix:uid:2'])], 'api');
  await rejects(registry.update(b!.id, { selectors: input('a').selectors }), 'ERR_ENTRY_EXISTS');
  assert.deepEqual(registry.get(b!.id), b);
});

test('what is not there can neither be changed nor deleted', async (t) => {
  const { registry } = await open(t);
  await rejects(registry.update('x', { hint: 'h' }), 'ERR_NOT_FOUND', /the id x/);
  await rejects(registry.delete('x'), 'ERR_NOT_FOUND');
  const [entry] = await registry.create([input('a')], 'api');
  await registry.delete(entry!.id);
  await rejects(registry.delete(entry!.id), 'ERR_NOT_FOUND');
  assert.deepEqual(registry.bySpiffeId('spiffe://ilinux.io/a'), []);
  await registry.create([input('a')], 'api');
});

test('a write that the store refuses leaves everything as it was, and the next one goes on', async (t) => {
  const { store } = await open(t);
  let full = false;
  const entries: EntryStore = {
    ...store.entries,
    write: (write) => (full ? Promise.reject(new Error('disk full')) : store.entries.write(write)),
  };
  const failing: Store = { ...store, entries };
  const clock = new TestClock();
  const registry = await openRegistry({ store: failing, trustDomain: TRUST_DOMAIN, clock, log: SILENT });
  const [a] = await registry.create([input('a')], 'api');
  const told = news(registry);
  full = true;
  await assert.rejects(registry.create([input('b')], 'api'), /disk full/);
  await assert.rejects(registry.update(a!.id, { hint: 'h' }), /disk full/);
  await assert.rejects(registry.delete(a!.id), /disk full/);
  assert.deepEqual(registry.match(UID), [a]);
  assert.deepEqual(told, []);
  full = false;
  await registry.create([input('b')], 'api');
  assert.deepEqual(told, ['made b']);
  await registry.close();
});

/** The SPIFFE ID of an entry without a template. */
function idOf(entry: Entry | undefined): SpiffeId {
  return entry!.spiffeId as SpiffeId;
}

test('what another server wrote is not written over, though this one has not heard of it', async (t) => {
  const ours = await open(t);
  const [a, b] = await ours.registry.create([input('a'), input('b')], 'api');
  await ours.registry.aliases.set('a.example', idOf(a));
  const theirs = await open(t, { file: ours.file });
  const theirA = await theirs.registry.update(a!.id, { hint: 'theirs' });
  await theirs.registry.delete(b!.id);
  const [theirC] = await theirs.registry.create([input('c')], 'api');
  await theirs.registry.aliases.set('a.example', idOf(b));
  await theirs.registry.aliases.set('b.example', idOf(b));

  const { registry } = ours;
  const told = news(registry);
  const stale = await rejects(registry.update(a!.id, { hint: 'ours' }), 'ERR_REVISION', /is at revision 2, not 1/);
  assert.deepEqual(stale.extra, { revision_number: 2 });
  await rejects(registry.delete(a!.id), 'ERR_REVISION', /is at revision 2, not 1/);
  await rejects(registry.update(b!.id, { hint: 'ours' }), 'ERR_NOT_FOUND');
  const exists = await rejects(registry.create([input('d'), input('c')], 'api'), 'ERR_ENTRY_EXISTS');
  assert.equal((exists.extra.entry as EntryJson).id, theirC!.id);
  await rejects(registry.replaceSource('api', []), 'ERR_REVISION');
  await rejects(registry.aliases.set('a.example', idOf(theirC)), 'ERR_REVISION', /^alias a\.example is at revision/);
  await rejects(registry.aliases.set('b.example', idOf(theirC)), 'ERR_REVISION', /, not new/);
  await rejects(registry.aliases.delete('a.example'), 'ERR_REVISION');
  assert.deepEqual([told, names(registry.list({ limit: 9 }).entries)], [[], ['a', 'b']]);
  assert.deepEqual((await ours.store.entries.load()).sort(compareAge), [theirA, theirC!].sort(compareAge));
  assert.deepEqual(
    (await ours.store.aliases.load()).map(({ value }) => value.spiffeId),
    [b!.spiffeId, b!.spiffeId],
  );
});

test('two sources may declare the same entry, which each of them then changes and deletes alone', async (t) => {
  const { registry, store } = await open(t);
  const [mine] = await registry.create([input('a')], 'api');
  const { created } = await registry.replaceSource('file', [input('a')]);
  await registry.update(mine!.id, { hint: 'h' });
  const { changed } = await registry.replaceSource('file', [input('a', undefined, { hint: 'other' })]);
  assert.deepEqual([changed.length, changed[0]!.id], [1, created[0]!.id]);
  await registry.delete(mine!.id);
  assert.deepEqual(await store.entries.load(), changed);
});

test('entries of a source may trade their selectors', async (t) => {
  const { registry, store } = await open(t);
  const declare = (a: string, b: string) => [input(a, undefined, { id: 'x' }), input(b, undefined, { id: 'y' })];
  await registry.replaceSource('file', declare('a', 'b'));
  const { changed } = await registry.replaceSource('file', declare('b', 'a'));
  assert.deepEqual(names(changed), ['a', 'b']);
  assert.deepEqual((await store.entries.load()).sort(compareAge), registry.list({ limit: 9 }).entries);
});

test('a closed registry finishes what it was asked for and takes no more', async (t) => {
  const { registry, clock, store } = await open(t);
  const told = news(registry);
  const last = registry.create([input('a', undefined, { expiresAt: clock.now() + 1_000 })], 'api');
  await registry.close();
  await last;
  assert.deepEqual(told, ['made a']);
  assert.equal((await store.entries.load()).length, 1);
  assert.equal(clock.pending, 0);
  await rejects(registry.create([input('b')], 'api'), 'ERR_STORE', /closed/);
});

test('an entry matches until the instant it expires, and whoever listens is told then', async (t) => {
  const { registry, clock } = await open(t);
  const expiresAt = clock.now() + 60_000;
  const [a] = await registry.create([input('a', undefined, { expiresAt }), input('b')], 'api');
  const told = news(registry);
  clock.advanceTo(expiresAt - 1);
  assert.deepEqual(names(registry.match(UID)), ['a', 'b']);
  assert.deepEqual(told, []);
  clock.advanceTo(expiresAt);
  assert.deepEqual(names(registry.match(UID)), ['b']);
  assert.deepEqual(told, ['gone a']);
  // It is still kept and shown, as what it is.
  assert.equal(registry.get(a!.id), a);
  assert.equal(registry.size, 2);
  assert.deepEqual(registry.bySpiffeId(a!.spiffeId), [a]);
  assert.deepEqual(names(registry.list({ limit: 5 }).entries), ['a', 'b']);
});

test('an entry past its end does not match, even before its deadline is called', async (t) => {
  const { registry, clock } = await open(t);
  await registry.create([input('a', undefined, { expiresAt: clock.now() + 60_000 })], 'api');
  clock.set(clock.now() + 60_000);
  assert.deepEqual(registry.match(UID), []);
});

test('a write between the end of an entry and its deadline tells of the end, once', async (t) => {
  const { registry, clock } = await open(t);
  const [a] = await registry.create([input('a', undefined, { expiresAt: clock.now() + 60_000 })], 'api');
  const told = news(registry);
  clock.set(clock.now() + 60_001);
  await registry.update(a!.id, { hint: 'too late' });
  clock.advance(1);
  assert.deepEqual(told, ['gone a']);
  assert.equal(clock.pending, 0);
});

test('to delete or change an expired entry is no change to those who listen; a later end makes it anew', async (t) => {
  const { registry, clock } = await open(t);
  const past = { expiresAt: clock.now() - 1 };
  const [a, b] = await registry.create([input('a', undefined, past), input('b', undefined, past), input('c')], 'api');
  const told = news(registry);
  await registry.update(a!.id, { hint: 'h' });
  await registry.delete(b!.id);
  assert.deepEqual(told, []);
  await registry.update(a!.id, { expiresAt: clock.now() + 1_000 });
  assert.deepEqual(names(registry.match(UID)), ['a', 'c']);
  clock.advance(1_000);
  assert.deepEqual(told, ['made a', 'gone a']);
});

test('a new end takes the place of the old one', async (t) => {
  const { registry, clock } = await open(t);
  const [a] = await registry.create([input('a', undefined, { expiresAt: clock.now() + 1_000 })], 'api');
  const told = news(registry);
  await registry.update(a!.id, { expiresAt: clock.now() + 3_000 });
  clock.advance(2_000);
  assert.deepEqual(told, ['changed a']);
  await registry.update(a!.id, { expiresAt: 0 });
  clock.advance(10_000);
  assert.deepEqual(told, ['changed a', 'changed a']);
  await registry.update(a!.id, { expiresAt: clock.now() });
  assert.deepEqual(told, ['changed a', 'changed a', 'gone a']);
  assert.equal(clock.pending, 0);
});

test('an entry that expired is not brought back by a restart, nor by a clock that is set back', async (t) => {
  const { registry, store, clock, file } = await open(t);
  const expiresAt = clock.now() + 1_000;
  await registry.create(
    [input('a', undefined, { expiresAt }), input('b', undefined, { expiresAt: expiresAt + 1_000 })],
    'api',
  );
  clock.advance(1_000);
  clock.set(expiresAt - 500);
  assert.deepEqual(names(registry.match(UID)), ['b']);
  clock.set(expiresAt);
  await registry.close();
  await store.close();
  const again = await open(t, { file, clock });
  const told = news(again.registry);
  assert.deepEqual(names(again.registry.match(UID)), ['b']);
  clock.advance(1_000);
  assert.deepEqual(told, ['gone b']);
});

test('the entries of a source are made equal to a list: made, changed, deleted, kept, in one write', async (t) => {
  const { registry, clock } = await open(t);
  const first = await registry.replaceSource('file', [input('stays'), input('changes'), input('goes')]);
  assert.deepEqual([first.created, first.changed, first.deleted, first.kept].map(names), [
    ['changes', 'goes', 'stays'],
    [],
    [],
    [],
  ]);
  await registry.create([input('by-hand')], 'api');
  const told = news(registry);
  clock.advance(1_000);
  const wanted = [input('stays'), input('changes', undefined, { hint: 'h' }), input('comes')];
  const second = await registry.replaceSource('file', wanted);
  assert.deepEqual([second.created, second.changed, second.deleted, second.kept].map(names), [
    ['comes'],
    ['changes'],
    ['goes'],
    ['stays'],
  ]);
  assert.deepEqual(told, ['gone goes, made comes, changed changes']);
  assert.deepEqual(names(registry.list({ limit: 9 }).entries), ['by-hand', 'changes', 'comes', 'stays']);
  const [changed] = second.changed;
  assert.equal(changed!.id, first.created.find((entry) => entry.spiffeId === changed!.spiffeId)!.id);
  assert.equal(changed!.revisionNumber, 2);
  assert.equal(changed!.source, 'file');
  const third = await registry.replaceSource('file', wanted);
  assert.equal(third.kept.length, 3);
  assert.equal(told.length, 1);
});

test('a dry run tells what would be done and does nothing', async (t) => {
  const { registry, store } = await open(t);
  await registry.replaceSource('file', [input('a')]);
  const told = news(registry);
  const plan = await registry.replaceSource('file', [input('b')], { dryRun: true });
  assert.deepEqual([names(plan.created), names(plan.deleted)], [['b'], ['a']]);
  assert.deepEqual(names(await store.entries.load()), ['a']);
  assert.deepEqual(names(registry.match(UID)), ['a']);
  assert.deepEqual(told, []);
});

test('an input with an id is that entry, whatever else it says; one without is the similar one', async (t) => {
  const { registry } = await open(t);
  const id = { id: 'x' };
  const [made] = (await registry.replaceSource('file', [input('a', undefined, id)])).created;
  const moved = await registry.replaceSource('file', [input('b', ['unix:uid:2'], id), input('a')]);
  assert.deepEqual(names(moved.changed), ['b']);
  assert.deepEqual(names(moved.created), ['a']);
  assert.equal(registry.get('x')!.createdAt, made!.createdAt);
  // An id that the entry does not have makes another entry, and the old one goes.
  const renamed = await registry.replaceSource('file', [input('b', ['unix:uid:2'], { id: 'y' }), input('a')]);
  assert.deepEqual([names(renamed.created), names(renamed.deleted), names(renamed.kept)], [['b'], ['b'], ['a']]);
});

test('the entries of other sources are left alone', async (t) => {
  const { registry } = await open(t);
  const [theirs] = await registry.create([input('a', undefined, { id: 'x' })], 'api');
  const error = await rejects(
    registry.replaceSource('file', [input('new'), input('a', undefined, { id: 'x', hint: 'mine' })]),
    'ERR_ENTRY_EXISTS',
    /source api/,
  );
  assert.equal(error.extra.index, 1);
  assert.equal(registry.size, 1);
  // The same SPIFFE ID, selectors and parent without the id stand beside it.
  const { created } = await registry.replaceSource('file', [input('a', undefined, { hint: 'mine' })]);
  assert.equal(registry.bySpiffeId(theirs!.spiffeId).length, 2);
  await registry.update(created[0]!.id, { hint: 'changed' });
  await registry.replaceSource('file', []);
  assert.deepEqual(registry.list({ limit: 9 }).entries, [theirs]);
});

test('a list with two entries that are the same changes nothing', async (t) => {
  const { registry } = await open(t);
  await registry.replaceSource('file', [input('a')]);
  await rejects(registry.replaceSource('file', [input('b'), input('b')]), 'ERR_ENTRY_EXISTS');
  assert.deepEqual(names(registry.match(UID)), ['a']);
});

async function eachPage(registry: Registry, limit: number, between: () => Promise<unknown>): Promise<Entry[]> {
  const seen: Entry[] = [];
  for (let cursor = ''; ; ) {
    const page = registry.list({ limit, ...(cursor === '' ? {} : { cursor }) });
    assert.ok(page.entries.length <= limit);
    seen.push(...page.entries);
    if (page.nextCursor === '') return seen;
    assert.match(page.nextCursor, /^[\w-]+$/);
    cursor = page.nextCursor;
    await between();
  }
}

test('pages have every entry once, oldest first, and the last one says so', async (t) => {
  const { registry, clock } = await open(t);
  for (const batch of [3, 1, 4]) {
    await registry.create(
      Array.from({ length: batch }, (_, at) => input(`e${clock.now()}-${at}`)),
      'api',
    );
    clock.advance(1);
  }
  for (const limit of [1, 2, 4, 7, 8, 9, 1000]) {
    const seen = await eachPage(registry, limit, async () => {});
    assert.equal(new Set(seen).size, 8);
    assert.deepEqual(seen, seen.toSorted(compareAge));
  }
  assert.equal(registry.list({ limit: 8 }).nextCursor, '');
});

test('pages are in order after a write of many, too', async (t) => {
  const { registry, clock } = await open(t);
  await registry.create([input('first')], 'api');
  assert.equal(registry.list({ limit: 1 }).entries.length, 1);
  clock.set(clock.now() - 1_000);
  const many = await registry.create(
    Array.from({ length: 250 }, (_, at) => input(`e${at}`)),
    'api',
  );
  const { entries } = registry.list({ limit: 1000 });
  assert.deepEqual(entries.slice(0, 250), many.toSorted(compareAge));
  assert.equal(entries.at(-1)!.spiffeId, 'spiffe://ilinux.io/first');
});

test('a list can be narrowed, and its cursor goes on in what it was narrowed to', async (t) => {
  const { registry, clock } = await open(t);
  await registry.create([input('a', ['unix:uid:1', 'unix:gid:1'], { hint: 'h' }), input('b', ['unix:uid:1'])], 'api');
  clock.advance(1);
  await registry.create([input('a', ['unix:uid:2'], { hint: 'h' })], 'other');
  const found = (query: object) => names(registry.list({ limit: 9, ...query }).entries);
  assert.deepEqual(found({ spiffeId: 'spiffe://ilinux.io/a' }), ['a', 'a']);
  assert.deepEqual(found({ spiffeId: 'spiffe://ilinux.io/A' }), []);
  assert.deepEqual(found({ selectors: ['unix:uid:1'] }), ['a', 'b']);
  assert.deepEqual(found({ selectors: ['unix:uid:1', 'unix:gid:1'] }), ['a']);
  assert.deepEqual(found({ hint: '' }), ['b']);
  const page = registry.list({ limit: 1, hint: 'h' });
  assert.deepEqual(registry.list({ limit: 1, hint: 'h', cursor: page.nextCursor }).entries[0]!.source, 'other');
  const last = registry.list({ limit: 1, hint: 'h', cursor: page.nextCursor });
  assert.equal(last.nextCursor, '');
});

test('a cursor that no page gave is refused', async (t) => {
  const { registry } = await open(t);
  await registry.create([input('a'), input('b')], 'api');
  const { nextCursor } = registry.list({ limit: 1 });
  for (const cursor of [
    '',
    'x',
    '!',
    `${nextCursor}!!`,
    `${nextCursor}=`,
    Buffer.from('1 a b').toString('base64url'),
    Buffer.from('x a').toString('base64url'),
  ]) {
    assert.throws(
      () => registry.list({ limit: 1, cursor }),
      (error: SidekeyError) => error.code === 'ERR_BAD_INPUT' && error.problems[0]!.path === '?cursor',
      cursor,
    );
  }
});

test('an entry that is there all the while is on one page, whatever comes and goes meanwhile', async (t) => {
  const { registry, clock } = await open(t);
  const step = fc.record({
    add: fc.integer({ min: 0, max: 2 }),
    remove: fc.boolean(),
    wait: fc.integer({ min: -5, max: 5 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 6 }), async (limit, steps) => {
      await registry.replaceSource(
        'run',
        Array.from({ length: 10 }, (_, at) => input(`base${at}`)),
      );
      const stays = new Set(registry.list({ limit: 1000 }).entries.map(({ id }) => id));
      let next = 0;
      const seen = await eachPage(registry, limit, async () => {
        const { add, remove, wait } = steps[next % (steps.length || 1)] ?? { add: 0, remove: false, wait: 0 };
        next += 1;
        clock.set(clock.now() + wait);
        if (next < 20 && add > 0) {
          await registry.create(
            Array.from({ length: add }, (_, at) => input(`new${next}-${at}`)),
            'churn',
          );
        }
        const victim = remove ? registry.list({ limit: 1000 }).entries.find(({ id }) => stays.has(id)) : undefined;
        if (victim === undefined) return;
        stays.delete(victim.id);
        await registry.delete(victim.id);
      });
      const ids = seen.map(({ id }) => id);
      assert.equal(new Set(ids).size, ids.length);
      for (const id of stays) assert.ok(ids.includes(id));
      await registry.replaceSource('churn', []);
    }),
    { numRuns: 25 },
  );
});

test('after any writes, memory, disk and what was told agree', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(write(), { maxLength: 25 }), async (writes) => {
      const { registry, store, clock } = await open(t);
      const heard = new Map<string, Entry>();
      registry.onChange((changes) => {
        for (const { before, after } of changes) {
          assert.equal(heard.get((before ?? after)!.id), before);
          if (after === undefined) heard.delete(before!.id);
          else heard.set(after.id, after);
        }
      });
      for (const one of writes) await perform(registry, clock, one);
      const entries = registry.list({ limit: 1000 }).entries;
      assert.deepEqual((await store.entries.load()).sort(compareAge), entries);
      assert.equal(registry.size, entries.length);
      const live = entries.filter((entry) => !isExpired(entry, clock.now()));
      assert.deepEqual([...heard.values()].sort(compareAge), live);
      assert.deepEqual(registry.match(new Set(['unix:uid:1', 'unix:gid:1', 'unix:gid:2'])), live);
      assert.equal(new Set(entries.map((entry) => `${entry.source} ${similarityKey(entry)}`)).size, entries.length);
      await registry.close();
      await store.close();
    }),
    { numRuns: 40 },
  );
});

type Write =
  | { readonly kind: 'create'; readonly inputs: readonly EntryInput[] }
  | { readonly kind: 'replace'; readonly inputs: readonly EntryInput[] }
  | { readonly kind: 'update'; readonly which: number; readonly input: EntryInput }
  | { readonly kind: 'delete'; readonly which: number }
  | { readonly kind: 'wait'; readonly milliseconds: number };

function write(): fc.Arbitrary<Write> {
  const start = new TestClock().now();
  const one = fc
    .record({
      name: fc.constantFrom('a', 'b', 'c'),
      selectors: fc.constantFrom(['unix:uid:1'], ['unix:gid:1', 'unix:uid:1'], ['unix:gid:2']),
      id: fc.constantFrom(undefined, undefined, 'x', 'y'),
      expiresAt: fc.constantFrom(0, start, start + 50, start + 100),
      hint: fc.constantFrom('', 'h'),
      allowContained: fc.boolean(),
    })
    .map(({ name, selectors, ...more }) => input(name, selectors, more));
  const inputs = fc.array(one, { maxLength: 4 });
  const which = fc.nat(10);
  return fc.oneof(
    fc.record({ kind: fc.constant('create' as const), inputs }),
    fc.record({ kind: fc.constant('replace' as const), inputs }),
    fc.record({ kind: fc.constant('update' as const), which, input: one }),
    fc.record({ kind: fc.constant('delete' as const), which }),
    fc.record({ kind: fc.constant('wait' as const), milliseconds: fc.integer({ min: 0, max: 40 }) }),
  );
}

/** Does one write; refusals are fine, as long as they are refusals of ours. */
async function perform(registry: Registry, clock: TestClock, one: Write): Promise<void> {
  const pick = (which: number) => registry.list({ limit: 1000 }).entries[which]?.id ?? 'none';
  try {
    if (one.kind === 'create') await registry.create(one.inputs, 'api');
    else if (one.kind === 'replace') await registry.replaceSource('file', one.inputs);
    else if (one.kind === 'delete') await registry.delete(pick(one.which));
    else if (one.kind === 'wait') clock.advance(one.milliseconds);
    else {
      const { id: _, ...patch } = one.input;
      await registry.update(pick(one.which), patch);
    }
  } catch (error) {
    assert.ok(['ERR_ENTRY_EXISTS', 'ERR_NOT_FOUND'].includes((error as SidekeyError).code), String(error));
  }
}

describe('a source that keeps or takes over entries', () => {
  const lasts = (entries: readonly Entry[]) => entries.map(({ spiffeId }) => spiffeId.split('/').at(-1)).sort();

  test('keeps entries that are not declared any more unless they are pruned', async (t) => {
    const { registry } = await open(t);
    await registry.replaceSource('ci', [input('a'), input('b')]);
    const kept = await registry.replaceSource('ci', [input('b'), input('c')], { prune: false });
    assert.deepEqual([lasts(kept.absent), lasts(kept.deleted), registry.size], [['a'], [], 3]);
    const pruned = await registry.replaceSource('ci', [input('b'), input('c')]);
    assert.deepEqual([lasts(pruned.absent), lasts(pruned.deleted), registry.size], [[], ['a'], 2]);
  });

  test("leaves another source's entry that it declares unchanged, and refuses to change it", async (t) => {
    const { registry } = await open(t);
    const [made] = await registry.create([input('a')], 'api');
    const same = await registry.replaceSource('ci', [input('a', undefined, { id: made!.id })]);
    assert.deepEqual([lasts(same.kept), registry.get(made!.id)], [['a'], made]);
    await assert.rejects(
      registry.replaceSource('ci', [input('b'), input('a', undefined, { id: made!.id, hint: 'new' })]),
      (error: SidekeyError) => {
        assert.equal(error.code, 'ERR_ENTRY_EXISTS');
        assert.equal(error.problems[0]!.path, '/entries/1');
        assert.match(error.problems[0]!.problem, /is of the source api, and differs/);
        assert.match(error.problems[0]!.rule, /adopt/);
        return true;
      },
    );
    assert.equal(registry.size, 1);
  });

  test('takes entries over if it is told to, by id or by what they are, but none of the file', async (t) => {
    const { registry } = await open(t);
    const [byId, alike] = await registry.create([input('a'), input('b')], 'api');
    await registry.replaceSource('file', [input('c', undefined, { id: 'of-file' }), input('d')]);
    const inputs = [input('a', undefined, { id: byId!.id, hint: 'new' }), input('b'), input('d')];
    const changes = await registry.replaceSource('ci', inputs, { adopt: true });
    assert.deepEqual([lasts(changes.changed), lasts(changes.created)], [['a', 'b'], ['d']]);
    assert.deepEqual(changes.replaced, [byId, alike]);
    assert.deepEqual([registry.get(byId!.id)!.source, registry.get(byId!.id)!.hint], ['ci', 'new']);
    assert.equal(registry.get(alike!.id)!.source, 'ci');
    assert.deepEqual(
      changes.twins.map(({ index, entry }) => [index, entry.source]),
      [[2, 'file']],
    );
    const [other] = await registry.create([input('e')], 'api');
    const both = [input('e'), input('f', undefined, { id: other!.id })];
    const { created } = await registry.replaceSource('both', both, { adopt: true });
    assert.deepEqual([lasts(created), registry.get(other!.id)!.spiffeId], [['e'], 'spiffe://ilinux.io/f']);
    const ofFile = [input('c', undefined, { id: 'of-file', hint: 'new' })];
    await assert.rejects(registry.replaceSource('ci', ofFile, { adopt: true, prune: false }), {
      code: 'ERR_ENTRY_EXISTS',
    });
  });

  test('names both of two declared entries that are the same', async (t) => {
    const { registry } = await open(t);
    await assert.rejects(registry.replaceSource('ci', [input('a'), input('b'), input('a')]), (error: SidekeyError) => {
      assert.deepEqual(
        error.problems.map(({ path, problem }) => [path, problem]),
        [['/entries/2', 'it is the same as /entries/0']],
      );
      return true;
    });
  });
});

test('entries are found by SPIFFE ID and likeness, whatever was added and removed before', () => {
  const index = new EntriesBySpiffeId();
  const model: Entry[] = [];
  const entry = (n: number) =>
    ({
      ...input(`x${n % 3}`, [`unix:uid:${n % 4}`]),
      id: String(n),
      source: 's',
      createdAt: 0,
      updatedAt: 0,
      revisionNumber: 1,
    }) as Entry;
  const all = Array.from({ length: 24 }, (_, n) => entry(n));
  fc.assert(
    fc.property(fc.array(fc.nat(23), { maxLength: 60 }), (steps) => {
      for (const one of model.splice(0)) index.remove(one);
      for (const step of steps) {
        const one = all[step]!;
        const at = model.indexOf(one);
        if (at === -1) {
          model.push(one);
          index.add(one);
        } else {
          model.splice(at, 1);
          index.remove(one);
        }
        const wanted = model.filter(({ spiffeId }) => spiffeId === one.spiffeId);
        assert.deepEqual(new Set(index.of(one.spiffeId)), new Set(wanted));
        const similar = index.similarTo(one);
        const has = wanted.some(({ selectors }) => selectors[0]!.value === one.selectors[0]!.value);
        assert.equal(similar !== undefined, has);
        if (similar !== undefined) assert.deepEqual(similar.selectors, one.selectors);
      }
      assert.deepEqual(new Set(index.ids()), new Set(model.map(({ spiffeId }) => spiffeId)));
    }),
  );
});

test('a search looks at 20,000 entries for a page at most, and goes on where it stopped', async (t) => {
  const { registry } = await open(t);
  const many = Array.from({ length: 20_001 }, (_, at) => input(`e${String(at).padStart(5, '0')}`));
  const made = await registry.create(many, 'api');
  const last = made.toSorted(compareAge).at(-1)!;
  const first = registry.list({ limit: 10, search: last.id });
  assert.deepEqual(first.entries, []);
  const second = registry.list({ limit: 10, search: last.id, cursor: first.nextCursor });
  assert.deepEqual(second, { entries: [last], nextCursor: '' });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AuthorityWatch } from '../../soak/authority-watch.ts';
import { Ledger } from '../../soak/ledger.ts';
import { soakRotation } from '../../soak/rotation.ts';
import { soak } from '../../soak/soak.ts';
import { makePlace } from '../support/serve.ts';

describe('the ledger of what must be there after a crash', () => {
  const compare = (ledger: Ledger, found: Record<string, string>) => ledger.compare(new Map(Object.entries(found)));

  it('misses nothing while all that was acknowledged is there', () => {
    const ledger = new Ledger();
    ledger.acknowledge(ledger.begin({ a: '1' }));
    ledger.acknowledge(ledger.begin({ b: '1', c: '1' }));
    ledger.acknowledge(ledger.begin({ a: '2' }));
    ledger.acknowledge(ledger.begin({ b: undefined }));
    assert.deepEqual(compare(ledger, { a: '2', c: '1' }), []);
  });

  it('tells of a write that is lost, undone, or back again', () => {
    const ledger = new Ledger();
    ledger.acknowledge(ledger.begin({ a: '1', b: '1', c: '1' }));
    ledger.acknowledge(ledger.begin({ b: '2' }));
    ledger.acknowledge(ledger.begin({ c: undefined }));
    assert.deepEqual(compare(ledger, { b: '1', c: '1' }), [
      'a was acknowledged as 1 and is not there',
      'b was acknowledged as 2 and is 1',
      'c is there and was deleted, or never made',
    ]);
  });

  it('takes a write that was under way as it finds it, but not by half', () => {
    const ledger = new Ledger();
    ledger.acknowledge(ledger.begin({ a: '1', d: '1' }));
    ledger.begin({ a: '2' });
    ledger.begin({ d: undefined });
    ledger.begin({ x: '1', y: '1' });
    assert.deepEqual(ledger.free(), []);
    assert.deepEqual(compare(ledger, { a: '2', d: '1', x: '1', y: '1' }), []);
    assert.deepEqual(ledger.unanswered, { done: 2, notDone: 1 });
    ledger.begin({ p: '1', q: '1' });
    const [fault] = compare(ledger, { a: '2', d: '1', x: '1', y: '1', p: '1' });
    assert.equal(fault, 'a write is half there: p, q');
  });
});

it('a server that is killed at any moment starts again with all that it acknowledged', {
  timeout: 60_000,
}, async (t) => {
  const { killed, compared, acknowledged, received } = await soak(makePlace(t), 5, 1);
  assert.deepEqual(killed, { starting: 2, serving: 3 });
  assert.ok(compared > 1, `compared ${compared} times`);
  assert.ok(acknowledged > 0 && received > 0);
});

describe('what must hold for the authorities', () => {
  const root = (id: string, state: 'prepared' | 'published' | 'active' | 'retired' | 'tainted') =>
    ({ id, role: 'root', state }) as const;

  it('is that states go forward, and that an authority that is gone stays gone', () => {
    const watch = new AuthorityWatch();
    assert.deepEqual(watch.list([root('a', 'active'), root('b', 'published')], 0), []);
    assert.deepEqual(watch.list([root('a', 'retired'), root('b', 'active')], 0), []);
    assert.deepEqual(watch.list([root('b', 'published')], 0), ['the root b was active and is published']);
    assert.deepEqual(watch.list([root('a', 'retired'), root('b', 'active')], 0), [
      'the root a was gone and is retired',
    ]);
    assert.deepEqual(watch.list([root('c', 'active'), root('d', 'active')], 0), ['2 roots are active']);
  });

  it('is that a retired one signs again only when the active one is tainted', () => {
    const watch = new AuthorityWatch();
    watch.list([root('a', 'retired'), root('b', 'active')], 0);
    assert.deepEqual(watch.list([root('a', 'active'), root('b', 'tainted')], 5), []);
    assert.deepEqual(watch.list([root('a', 'retired'), root('b', 'active')], 6), [
      'the root b was tainted and is active',
    ]);
    assert.deepEqual(watch.list([root('a', 'active'), root('b', 'retired')], 7), [
      'the root a was retired and is active',
    ]);
    const issued = (authorityId: string, issuedAt: number) => ({ serial: 's', authorityId, issuedAt });
    assert.deepEqual(watch.issuances([issued('b', 5), issued('a', 9)]), []);
    assert.deepEqual(watch.issuances([issued('b', 6)]), ['b signed s 1 ms after it was tainted']);
  });

  it('is that the sequence number never decreases, and that another bundle has another number', () => {
    const watch = new AuthorityWatch();
    assert.deepEqual(watch.bundle(2, ['a', 'b']), []);
    assert.deepEqual(watch.bundle(2, ['b', 'a']), []);
    assert.deepEqual(watch.bundle(2, ['b']), ['the bundle 2 has other roots than before']);
    assert.deepEqual(watch.bundle(1, ['b']), ["the bundle's sequence number was 2 and is 1"]);
  });
});

it('a server that is killed during rotations and taints starts again and continues', {
  timeout: 120_000,
}, async (t) => {
  const { killed, compared, seen } = await soakRotation(makePlace(t), 5, 3);
  assert.deepEqual(killed, { starting: 2, serving: 3 });
  assert.ok(compared > 1 && seen.authorities > 2, JSON.stringify({ compared, seen }));
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ledger } from '../../soak/ledger.ts';
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

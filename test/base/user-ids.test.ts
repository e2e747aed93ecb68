import assert from 'node:assert/strict';
import { test } from 'node:test';
import { observer, parseIdMap } from '../../src/base/user-ids.ts';

test('a map of ids is read by its lines', () => {
  assert.deepEqual(parseIdMap('         0       1000          1\n         1     100000      65536\n'), [
    { first: 0, count: 1 },
    { first: 1, count: 65_536 },
  ]);
  assert.deepEqual(parseIdMap(''), []);
});

test('this process is known to itself', () => {
  assert.equal(observer().uid, process.geteuid!());
  assert.equal(observer(7).uid, 7);
});

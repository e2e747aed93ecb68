import assert from 'node:assert/strict';
import { test } from 'node:test';
import { observer } from '../../src/base/user-ids.ts';

test('this process is known to itself', () => {
  assert.equal(observer().uid, process.geteuid!());
  assert.equal(observer(7).uid, 7);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseGoDuration } from '../../src/base/go-duration.ts';

test('durations are read as Go reads them', () => {
  assert.deepEqual(
    ['0', '1.5s', '1m30s', '-1s', '+2s', '.5h', '1us', '1.h', '1.1h'].map(parseGoDuration),
    [0, 1_500, 90_000, -1_000, 2_000, 1_800_000, 0.001, 3_600_000, 3_960_000],
  );
  for (const text of ['', '5', 's', '1x', '-', '1s ', '.s', '1 s', '٣s', '1'.repeat(1_000_000)]) {
    assert.equal(parseGoDuration(text), undefined, text.slice(0, 10));
  }
});

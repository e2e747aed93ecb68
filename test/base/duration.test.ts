import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDuration, parseDuration } from '../../src/base/duration.ts';

test('durations are parsed to seconds', () => {
  const cases = {
    '1h': 3_600,
    '90s': 90,
    '1h30m': 5_400,
    '24h': 86_400,
    '7d': 604_800,
    '0s': 0,
    '1d2h3m4s': 93_784,
    3600: 3_600,
    0: 0,
  };
  for (const [text, seconds] of Object.entries(cases)) assert.equal(parseDuration(text), seconds, text);
});

test('text that is not a duration is refused', () => {
  for (const text of [
    '',
    '1m30',
    '-5',
    '9'.repeat(20),
    'h',
    '1.5h',
    '-1h',
    '30m1h',
    '1h1h',
    '1 h',
    '1H',
    '1w',
    '500ms',
    `${'9'.repeat(20)}s`,
  ]) {
    assert.equal(parseDuration(text), undefined, text);
  }
});

test('a formatted duration parses to the same seconds', () => {
  assert.equal(formatDuration(5_400), '1h30m');
  assert.equal(formatDuration(0), '0s');
  fc.assert(
    fc.property(fc.nat(), (seconds) => {
      assert.equal(parseDuration(formatDuration(seconds)), seconds);
    }),
  );
});

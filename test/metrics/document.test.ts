import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { FAMILIES } from '../../src/metrics/families.ts';
import { LIMIT_NAMES } from '../../src/telemetry/counters.ts';
import { DOCUMENT, table, withTable } from './document.ts';

const text = readFileSync(DOCUMENT, 'utf8');

describe('docs/metrics.md', () => {
  test('has the table of all metrics: scripts/node test/metrics/document.ts --write', () => {
    assert.equal(text, withTable(text, table()));
  });

  test('says when each limit is hit', () => {
    const rows = text.slice(text.indexOf('| `limit` |'), text.indexOf('`sidekey_limit_usage_ratio` warns'));
    const named = [...rows.matchAll(/`(\w+)`/g)].map(([, name]) => name);
    for (const name of LIMIT_NAMES) assert.ok(named.includes(name), name);
  });

  for (const [name, { type, unit, labels, meaning }] of Object.entries(FAMILIES)) {
    test(`${name} follows the conventions of Prometheus`, () => {
      assert.match(name, /^(sidekey|process)_[a-z0-9]+(_[a-z0-9]+)*$/);
      assert.equal(name.endsWith('_total'), type === 'counter', 'only counters end in _total');
      assert.doesNotMatch(name, /_(bucket|sum|count)$/, 'these belong to histograms');
      if (unit !== '') assert.match(name, new RegExp(`_${unit}(_total)?$`));
      else assert.doesNotMatch(name, /_(seconds|bytes|ratio)(_total)?$/);
      for (const label of labels) assert.match(label, /^[a-z]+(_[a-z]+)*$/);
      assert.doesNotMatch(meaning, /[|\n\\"]/);
    });
  }
});

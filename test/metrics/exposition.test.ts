import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { formatFor, write } from '../../src/metrics/exposition.ts';
import { Samples } from '../../src/metrics/samples.ts';
import { Times } from '../../src/telemetry/times.ts';
import { parseMetrics } from './parse.ts';

describe('the format of the metrics', () => {
  for (const [accept, format] of [
    [undefined, 'text'],
    ['', 'text'],
    ['*/*', 'text'],
    ['text/plain', 'text'],
    ['application/openmetrics-text', 'openmetrics'],
    ['application/openmetrics-text;version=1.0.0', 'openmetrics'],
    ['Application/OpenMetrics-Text; version=1.0.0; charset=utf-8', 'openmetrics'],
    ['application/openmetrics-text;version=0.0.1', 'text'],
    ['application/openmetrics-text;version=1.0.0;q=0', 'text'],
    ['application/openmetrics-text;version=1.0.0;q=0.3,text/plain;q=0.5', 'text'],
    ['application/openmetrics-text;q=nonsense', 'text'],
    // As Prometheus 2.42 sends it.
    [
      'application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1',
      'openmetrics',
    ],
  ] as const) {
    test(`for Accept ${accept}: ${format}`, () => assert.equal(formatFor(accept), format));
  }

  test('has each family with its help and type, and in OpenMetrics its unit and the end', () => {
    const samples = new Samples();
    samples.set('process_cpu_seconds_total', 1.5);
    const text = write(samples, 'text');
    assert.ok(text.includes('# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1.5\n'));
    assert.doesNotMatch(text, /# UNIT|# EOF/);
    const open = write(samples, 'openmetrics');
    assert.ok(
      open.includes(
        '# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds\nprocess_cpu_seconds_total 1.5\n',
      ),
    );
    assert.ok(open.endsWith('# EOF\n'));
    assert.equal(open.indexOf('# EOF'), open.length - 6);
  });

  test('values that are no numbers are written as Prometheus reads them', () => {
    const samples = new Samples();
    for (const [i, value] of [Infinity, -Infinity, NaN].entries()) samples.set('sidekey_entries', value, { i: `${i}` });
    const lines = write(samples, 'text')
      .split('\n')
      .filter((line) => line.startsWith('sidekey_entries{'));
    assert.deepEqual(
      lines.map((line) => line.split(' ')[1]),
      ['+Inf', '-Inf', 'NaN'],
    );
  });

  test('any value of a label is read back as it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (route) => {
        const samples = new Samples();
        samples.set('sidekey_admin_requests_total', 1, { route });
        for (const format of ['text', 'openmetrics'] as const) {
          const [found] = parseMetrics(write(samples, format)).samples;
          assert.equal(found?.labels.route, route);
        }
      }),
    );
  });

  test('a histogram counts each duration once, in its bucket and all above', () => {
    const bounds = [0.1, 1, 10];
    fc.assert(
      fc.property(fc.array(fc.double({ min: -1, max: 100, noNaN: true })), (durations) => {
        const times = new Times(bounds);
        for (const duration of durations) times.add(duration);
        const counts = bounds.map((bound) => durations.filter((one) => one <= bound).length);
        assert.deepEqual(times.cumulative(), counts);
        assert.equal(times.count, durations.length);
        assert.ok(times.sum >= 0);
      }),
    );
  });
});

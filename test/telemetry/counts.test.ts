import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counters, LIMIT_NAMES } from '../../src/telemetry/counters.ts';
import { LINE_BUDGET } from '../../src/telemetry/line-budget.ts';
import { createLog, ownedLog } from '../../src/telemetry/log.ts';
import { LogCounts } from '../../src/telemetry/log-counts.ts';
import { LoopLag } from '../../src/telemetry/loop-lag.ts';
import { TestClock } from '../support/clock.ts';

test('lines are counted by level, and those that a budget leaves out apart', () => {
  const counts = new LogCounts();
  const log = createLog('info', { clock: new TestClock(), write: () => undefined, counts });
  log.debug('not logged');
  log.warn('one');
  log.child({ of: 'it' }).error('two');
  for (let i = 0; i < LINE_BUDGET.burst + 7; i += 1) ownedLog(log, 'uid 1000').info('again');
  assert.deepEqual(Object.fromEntries(counts.lines.entries().filter(([, count]) => count > 0)), {
    info: LINE_BUDGET.burst,
    warn: 1,
    error: 1,
  });
  assert.equal(counts.leftOut, 7);
});

test('a change of the level reaches logs that were made before', () => {
  const lines: string[] = [];
  const log = createLog('info', { write: (line) => void lines.push(line) });
  const child = ownedLog(log, 'uid 1000', { peer: 'pipe-1' });
  child.debug('before');
  log.level = 'debug';
  child.debug('meanwhile');
  log.level = 'error';
  child.warn('after');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).msg),
    ['meanwhile'],
  );
});

test('every counter and limit begins at 0', () => {
  const counters = new Counters();
  counters.add('connections_accepted_total');
  assert.equal(counters.get('connections_accepted_total'), 1);
  assert.equal(counters.get('connections_refused_total'), 0);
  assert.deepEqual(
    counters.limits.entries(),
    LIMIT_NAMES.map((name) => [name, 0]),
  );
});

test('a blocked event loop is seen as lag', async () => {
  const lag = new LoopLag();
  const begun = performance.now();
  while (performance.now() - begun < 300);
  while (lag.times.count === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(lag.times.sum >= 0.15, `${lag.times.sum}`);
  lag.close();
});

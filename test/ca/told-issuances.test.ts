import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ToldIssuances } from '../../src/ca/told-issuances.ts';
import { createLog } from '../../src/telemetry/log.ts';

test('a failing listener does not fail an issuance that is recorded', async () => {
  const recorded: unknown[] = [];
  const log = { recordIssuances: async (records: readonly unknown[]) => void recorded.push(...records) };
  const issuances = new ToldIssuances(log, createLog('silent'));
  const told: unknown[] = [];
  issuances.onRecorded(() => {
    throw new Error('broken');
  });
  issuances.onRecorded((records) => told.push(...records));
  const record = { serial: '01' } as never;
  await issuances.recordIssuances([record]);
  assert.deepEqual(recorded, [record]);
  assert.deepEqual(told, [record]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counters } from '../../src/telemetry/counters.ts';
import { createQuota } from '../../src/wire/quota.ts';
import { Status } from '../../src/wire/types.ts';

const NOW = Date.UTC(2026, 5, 1);
const exhausted = { status: Status.RESOURCE_EXHAUSTED };

test('a uid has so many calls at a time, and the error names the limit', () => {
  const counters = new Counters();
  const quota = createQuota({ callsPerUid: 2, requestsPerSecondPerUid: 1, unfinishedBytesPerUid: 1_000 }, counters);
  quota.open(1000);
  quota.open(1000);
  assert.throws(() => quota.open(1000), {
    ...exhausted,
    message: 'uid 1000 has 2 streams open, the most it may (maxStreamsPerUid)',
  });
  assert.equal(counters.get('streams_refused_total'), 1);
  quota.open(1001);
  quota.close(1000);
  quota.open(1000);
});

test('a uid may send so many requests a second, a burst of as many included', () => {
  const counters = new Counters();
  const quota = createQuota({ callsPerUid: 1, requestsPerSecondPerUid: 10, unfinishedBytesPerUid: 1_000 }, counters);
  for (let at = 0; at < 10; at += 1) quota.request(1000, NOW);
  assert.throws(() => quota.request(1000, NOW), {
    ...exhausted,
    message: 'uid 1000 sends more than 10 requests a second, the most it may (maxRequestsPerSecondPerUid)',
  });
  assert.equal(counters.get('requests_refused_total'), 1);
  quota.request(1001, NOW);
  quota.request(1000, NOW + 100);
  assert.throws(() => quota.request(1000, NOW + 199), exhausted);
  quota.request(1000, NOW + 200);
  for (let at = 0; at < 10; at += 1) quota.request(1000, NOW + 60_000);
  assert.throws(() => quota.request(1000, NOW + 60_000), exhausted);
});

test('a clock that is set back gives nothing, and goes on from there', () => {
  const quota = createQuota(
    { callsPerUid: 1, requestsPerSecondPerUid: 1, unfinishedBytesPerUid: 1_000 },
    new Counters(),
  );
  quota.request(1000, NOW);
  assert.throws(() => quota.request(1000, NOW - 3_600_000), exhausted);
  quota.request(1000, NOW - 3_600_000 + 1_000);
});

test('uids that have nothing open are forgotten when there are many, others never', () => {
  const quota = createQuota(
    { callsPerUid: 1, requestsPerSecondPerUid: 1, unfinishedBytesPerUid: 1_000 },
    new Counters(),
  );
  quota.open(7);
  for (let uid = 1_000; uid < 6_000; uid += 1) {
    quota.open(uid);
    quota.close(uid);
  }
  assert.throws(() => quota.open(7), exhausted);
  quota.close(7);
  quota.open(7);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counters } from '../../src/telemetry/counters.ts';
import { createQuota } from '../../src/wire/quota.ts';
import { Status } from '../../src/wire/types.ts';

const NOW = Date.UTC(2026, 5, 1);
const LIMITS = { callsPerUid: 1, refusedStreamsPerUid: 2, requestsPerSecondPerUid: 1, unfinishedBytesPerUid: 1_000 };
const exhausted = { status: Status.RESOURCE_EXHAUSTED };

test('a uid has so many calls at a time, and the error names the limit', () => {
  const counters = new Counters();
  const quota = createQuota({ ...LIMITS, callsPerUid: 2 }, counters);
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
  const quota = createQuota({ ...LIMITS, callsPerUid: 1, requestsPerSecondPerUid: 10 }, counters);
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
  const quota = createQuota({ ...LIMITS, callsPerUid: 1 }, new Counters());
  quota.request(1000, NOW);
  assert.throws(() => quota.request(1000, NOW - 3_600_000), exhausted);
  quota.request(1000, NOW - 3_600_000 + 1_000);
});

test('uids that have nothing open are forgotten when there are many, others never', () => {
  const quota = createQuota({ ...LIMITS, callsPerUid: 1 }, new Counters());
  quota.open(7);
  for (let uid = 1_000; uid < 6_000; uid += 1) {
    quota.open(uid);
    quota.close(uid);
  }
  assert.throws(() => quota.open(7), exhausted);
  quota.close(7);
  quota.open(7);
});

test('unfinished messages of a uid take so many bytes, and the error names the limit', () => {
  const counters = new Counters();
  const limits = { ...LIMITS, callsPerUid: 1 };
  const quota = createQuota(limits, counters);
  quota.hold(1000, 600);
  assert.throws(() => quota.hold(1000, 401), {
    ...exhausted,
    message: 'unfinished messages of uid 1000 take 1000 bytes, the most that they may (unfinishedBytesPerUid)',
  });
  assert.equal(counters.get('messages_refused_total'), 1);
  quota.hold(1000, 400);
  quota.hold(1001, 1_000);
  quota.release(1000, 600);
  quota.hold(1000, 600);
});

test('streams have places of their own, some more than calls', () => {
  const quota = createQuota({ ...LIMITS, callsPerUid: 3 }, new Counters());
  for (let at = 0; at < 5; at += 1) assert.equal(quota.openStream(1000), true);
  assert.equal(quota.openStream(1000), false);
  assert.equal(quota.openStream(1001), true);
  quota.closeStream(1000);
  assert.equal(quota.openStream(1000), true);
});

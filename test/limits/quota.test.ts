import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LimitError } from '../../src/limits/limit-error.ts';
import { CONTAINERS_SHARE, type ConnectionPlace, Owners } from '../../src/limits/owner.ts';
import { Quota, type QuotaLimits, type WhyRefused } from '../../src/limits/quota.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { QUOTA_LIMITS } from '../support/quota-limits.ts';

const NOW = Date.UTC(2026, 5, 1);
const exhausted = { name: 'LimitError' };

function quotaOf(limits: Partial<QuotaLimits>, counters = new Counters()): Quota {
  return new Quota({ ...QUOTA_LIMITS, ...limits }, counters);
}

test('an owner has a limited number of calls at a time, and the error names the limit', () => {
  const counters = new Counters();
  const quota = quotaOf({ callsPerUid: 2 }, counters);
  const owners = new Owners();
  const [one, other] = [owners.user(1000), owners.user(1001)];
  quota.open(one);
  quota.open(one);
  assert.throws(() => quota.open(one), {
    ...exhausted,
    message: 'uid 1000 has 2 streams open, which is its limit (maxStreamsPerUid)',
  });
  assert.equal(counters.get('streams_refused_total'), 1);
  quota.open(other);
  quota.close(one);
  quota.open(one);
});

test('an owner has a limited rate of requests, with a burst of one second', () => {
  const counters = new Counters();
  const quota = quotaOf({ requestsPerSecondPerUid: 10 }, counters);
  const owners = new Owners();
  const one = owners.user(1000);
  for (let at = 0; at < 10; at += 1) quota.request(one, NOW);
  assert.throws(() => quota.request(one, NOW), {
    ...exhausted,
    message: 'uid 1000 exceeds its limit of 10 requests per second (maxRequestsPerSecondPerUid)',
  });
  assert.equal(counters.get('requests_refused_total'), 1);
  quota.request(owners.user(1001), NOW);
  quota.request(one, NOW + 100);
  assert.throws(() => quota.request(one, NOW + 199), exhausted);
  quota.request(one, NOW + 200);
  for (let at = 0; at < 10; at += 1) quota.request(one, NOW + 60_000);
  assert.throws(() => quota.request(one, NOW + 60_000), exhausted);
});

test('a clock that is set back adds no tokens, and the rate continues from there', () => {
  const quota = quotaOf({ requestsPerSecondPerUid: 1 });
  const owner = new Owners().user(1000);
  quota.request(owner, NOW);
  assert.throws(() => quota.request(owner, NOW - 3_600_000), exhausted);
  quota.request(owner, NOW - 3_600_000 + 1_000);
});

const opened = (place: ConnectionPlace | WhyRefused): ConnectionPlace => {
  if (typeof place === 'function') assert.fail(place());
  return place;
};
const refused = (place: ConnectionPlace | WhyRefused): string => {
  assert.ok(typeof place === 'function', 'it was opened');
  return place();
};

test('idle owners are forgotten when there are many, active ones never', () => {
  const quota = quotaOf({ connectionsPerUid: 1 });
  const owners = new Owners();
  const seventh = opened(quota.openConnection(owners.user(7), NOW));
  for (let uid = 1_000; uid < 6_000; uid += 1) {
    quota.closeConnection(opened(quota.openConnection(owners.user(uid), NOW)));
  }
  assert.ok([...owners.accounts()].length <= 1_000);
  assert.match(refused(quota.openConnection(owners.user(7), NOW + 60_000)), /maxConnectionsPerUid/);
  quota.closeConnection(seventh);
  opened(quota.openConnection(owners.user(7), NOW + 120_000));
});

test('an owner has a limited number and rate of connections', () => {
  const counters = new Counters();
  const quota = quotaOf({ connectionsPerUid: 3, connectsPerSecondPerUid: 1 }, counters);
  const one = new Owners().user(1000);
  const places = [0, 1, 2].map(() => opened(quota.openConnection(one, NOW)));
  assert.equal(
    refused(quota.openConnection(one, NOW + 60_000)),
    'uid 1000 has 3 connections open, which is its limit (maxConnectionsPerUid)',
  );
  quota.closeConnection(places[0]!);
  assert.equal(
    refused(quota.openConnection(one, NOW)),
    'uid 1000 exceeds its limit of 1 new connections per second (connectsPerSecondPerUid)',
  );
  opened(quota.openConnection(one, NOW + 1_000));
  assert.equal(counters.get('connections_refused_total'), 2);
});

test('when all places are taken, an owner with few connections gets the newest of the owner with most', () => {
  const counters = new Counters();
  const quota = quotaOf({ connections: 4 }, counters);
  const owners = new Owners();
  const evicted: number[] = [];
  const many = [0, 1, 2].map((i) => {
    const place = opened(quota.openConnection(owners.user(1), NOW));
    place.evict = () => void evicted.push(i);
    return place;
  });
  opened(quota.openConnection(owners.user(2), NOW));
  opened(quota.openConnection(owners.user(3), NOW));
  assert.deepEqual(evicted, [2]);
  // An evicted connection returns no place.
  quota.closeConnection(many[2]!);
  assert.match(refused(quota.openConnection(owners.user(1), NOW)), /^all callers together have 4 connections open/);
  assert.match(refused(quota.openConnection(owners.user(2), NOW)), /uid 2 has as many as any other$/);
  quota.closeConnection(many[0]!);
  opened(quota.openConnection(owners.user(2), NOW));
  assert.equal(counters.get('connections_evicted_total'), 1);
});

test('when all places are taken by what looks like many containers of one user, others get some of them', () => {
  const quota = quotaOf({ connections: 40 });
  const owners = new Owners();
  let evicted = 0;
  for (let i = 0; i < 40; i += 1) {
    const place = opened(quota.openConnection(owners.container(`/delegated/${i}`, 7), NOW));
    place.evict = () => {
      evicted += 1;
    };
  }
  opened(quota.openConnection(owners.user(1), NOW));
  opened(quota.openConnection(owners.container('/docker/a', 0), NOW));
  assert.equal(evicted, 2);
  assert.match(refused(quota.openConnection(owners.container('/delegated/40', 7), NOW)), /^all callers together/);
});

test('an owner that connects too fast evicts nobody', () => {
  const counters = new Counters();
  const quota = quotaOf({ connections: 4, connectionsPerUid: 3, connectsPerSecondPerUid: 1 }, counters);
  const owners = new Owners();
  const hasty = owners.user(1);
  for (let i = 0; i < 3; i += 1) quota.closeConnection(opened(quota.openConnection(hasty, NOW)));
  for (let i = 0; i < 3; i += 1) opened(quota.openConnection(owners.user(2), NOW));
  opened(quota.openConnection(owners.user(3), NOW));
  assert.match(refused(quota.openConnection(hasty, NOW)), /connectsPerSecondPerUid/);
  assert.equal(counters.get('connections_evicted_total'), 0);
});

test('streams have their own limit, a little above that of calls', () => {
  const quota = quotaOf({ callsPerUid: 3, refusedStreamsPerUid: 2 });
  const owners = new Owners();
  const one = owners.user(1000);
  for (let at = 0; at < 5; at += 1) assert.equal(quota.openStream(one), true);
  assert.equal(quota.openStream(one), false);
  assert.equal(quota.openStream(owners.user(1001)), true);
  quota.closeStream(one);
  assert.equal(quota.openStream(one), true);
});

test('the owner nearest to a limit: relative to its limit, for all its uids together, with and without calls', () => {
  const quota = quotaOf({ connectionsPerUid: 10, callsPerUid: 4 });
  const owners = new Owners();
  assert.deepEqual(quota.nearest(owners.accounts()), { connections: undefined, calls: undefined });
  for (let i = 0; i < 5; i += 1) opened(quota.openConnection(owners.container(`/docker/${i}`, 0), NOW));
  for (let i = 0; i < 2; i += 1) opened(quota.openConnection(owners.user(1000), NOW));
  quota.open(owners.container('/docker/0', 0));
  assert.deepEqual(quota.nearest(owners.accounts()), {
    connections: { owner: 'uid 1000', used: 2, limit: 10 },
    calls: { owner: 'container /docker/0', used: 1, limit: 4 },
  });
});

test('a container has its own limits, and the containers of one user together a multiple', () => {
  const quota = quotaOf({ callsPerUid: 2 });
  const owners = new Owners();
  const first = owners.container('/docker/a', 7);
  quota.open(first);
  quota.open(first);
  assert.throws(() => quota.open(first), { message: /^container \/docker\/a has 2 streams open/ });
  // The uses of the host processes of that user and of other containers are separate.
  quota.open(owners.user(0));
  let opened = 2;
  const more = () => {
    for (let i = 0; ; i += 1) {
      quota.open(owners.container(`/docker/${i}`, 7));
      opened += 1;
    }
  };
  assert.throws(more, (error: Error) => {
    assert.ok(error instanceof LimitError);
    return /^the containers of uid 7 has 8 streams open/.test(error.message);
  });
  assert.equal(opened, 2 * CONTAINERS_SHARE);
});

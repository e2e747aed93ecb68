import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Entry } from '../../src/registry/types.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { issue } from '../agents/certificates.ts';
import { AGENT, bundle, bytesOf, type FakeOptions, FakeServer, state } from './fake-server.ts';
import { open, request, until } from './support.ts';

function entry(name: string, more: Partial<Entry> = {}): Entry {
  return {
    ...{ id: name, spiffeId: parseSpiffeId(`spiffe://ilinux.io/${name}`), parentId: AGENT },
    ...{ selectors: [{ type: 'unix', value: 'uid:1' }], x509SvidTtl: 0, x509SvidKeyType: '' as const, jwtSvidTtl: 0 },
    ...{ dnsNames: [], federatesWith: [], hint: '', allowContained: false, expiresAt: 0 },
    ...{ createdAt: 1_700_000_000_123, updatedAt: 1_700_000_000_456, revisionNumber: 3, source: 'file' },
    ...more,
  };
}

/** A server whose streams begin with a whole state. */
async function start(
  t: Parameters<typeof FakeServer.start>[0],
  entries: readonly (Entry | Buffer)[] = [],
  options: FakeOptions = {},
) {
  const fake: FakeServer = await FakeServer.start(t, {
    onAttach: (stream) => {
      for (const message of state(fake, entries)) stream.send(message);
    },
    ...options,
  });
  return fake;
}

test('the whole state and each change reach the mirror as they are', async (t) => {
  const one = entry('one', { dnsNames: ['one.example'], federatesWith: [], hint: 'h', expiresAt: 2_000_000_000_000 });
  const fake = await start(t, [one, entry('two')]);
  const { uplink, mirror } = await open(t, { ports: [fake.port], bundle: fake.root.pem, token: 'abc' });
  assert.deepEqual(mirror.byId.get('one'), one);
  assert.deepEqual(mirror.ids, ['spiffe://ilinux.io/one', 'spiffe://ilinux.io/two']);
  assert.partialDeepStrictEqual(uplink.status, {
    ...{
      state: 'connected',
      kind: 'sidekey',
      serverVersion: '9.9.9',
      x509SvidTtl: 3_600,
      jwtSvidTtl: 300,
      agentId: AGENT,
    },
  });
  assert.deepEqual(mirror.calls, ['bundle ilinux.io', 'entries whole 2 0']);
  const stream = await fake.attached();
  await until('the greeting', () => stream.messages.length > 0);
  assert.match(stream.messages[0]!.greeting!.version, /^\d/);

  // A change in two parts is applied once.
  stream.send({ entries: { put: [bytesOf(entry('three'))], gone: [], whole: false, more: true } });
  stream.send({ entries: { put: [], gone: ['two'], whole: false, more: false } });
  await until('three', () => mirror.byId.has('three'));
  assert.deepEqual(mirror.calls.slice(2), ['entries 1 1']);
  assert.ok(!mirror.byId.has('two'));

  const foreign = await issue({ name: 'other', isCa: true });
  stream.send({ bundle: bundle('other.example', [foreign.der], 7n) });
  stream.send({ authorities: { signing: 'ab', tainted: ['cd'] } });
  stream.send({ aliases: { aliases: [{ host: 'web.example', spiffeId: 'spiffe://ilinux.io/one' }] } });
  stream.send({ revocations: { serials: ['0a'], revision: 4n } });
  stream.send({ replaced: {} });
  await until('all of it', () => mirror.replacements === 1);
  assert.equal(mirror.bundles.get('other.example')!.sequenceNumber, 7);
  assert.deepEqual(mirror.authority, { signing: 'ab', tainted: ['cd'] });
  assert.deepEqual(mirror.alias, [{ host: 'web.example', spiffeId: 'spiffe://ilinux.io/one' }]);
  assert.deepEqual(mirror.revoked, { serials: new Set(['0a']), revision: 4n });
  stream.send({ bundle: { ...bundle('other.example', []), gone: true } });
  await until('it to be gone', () => !mirror.bundles.has('other.example'));

  const [made] = await uplink.newSvids([await request('one')]);
  assert.ok('certificates' in made!);
});

test('a change in parts that is not complete, and a broken stream, leave the state as it is', async (t) => {
  const fake = await start(t, [entry('one')]);
  const { mirror, uplink } = await open(t, { ports: [fake.port], bundle: fake.root.pem, token: 'abc' });
  const stream = await fake.attached();
  stream.send({ entries: { put: [bytesOf(entry('two'))], gone: ['one'], whole: false, more: true } });
  stream.sendRaw(Buffer.from('ffffffff', 'hex'));
  await fake.attached(2);
  await until('the connection', () => uplink.status.state === 'connected' && mirror.calls.length === 4);
  assert.deepEqual(mirror.calls, ['bundle ilinux.io', 'entries whole 1 0', 'bundle ilinux.io', 'entries whole 1 0']);
  assert.deepEqual([...mirror.byId.keys()], ['one']);
});

test('entries that this version does not know wholly are left out, and a former version of them goes', async (t) => {
  const unknown = (name: string) =>
    Buffer.from(JSON.stringify({ ...JSON.parse(String(bytesOf(entry(name)))), not_before: 1 }));
  const log: Record<string, unknown>[] = [];
  const fake = await start(t, [entry('one'), unknown('two'), Buffer.from('{')]);
  const { mirror } = await open(t, { ports: [fake.port], bundle: fake.root.pem, token: 'abc', log });
  assert.deepEqual([...mirror.byId.keys()], ['one']);
  const warned = () => log.filter(({ msg }) => /served to nobody/.test(String(msg)));
  assert.deepEqual(
    warned().map(({ entry_id: id }) => id),
    ['two', ''],
  );
  const stream = await fake.attached();
  stream.send({ entries: { put: [unknown('one')], gone: [], whole: false, more: false } });
  await until('one to be gone', () => mirror.byId.size === 0);
  assert.equal(warned().length, 3);
});

test('reports are coalesced, the last one is sent again after each new connection, and questions are answered', async (t) => {
  const fake = await start(t);
  const { uplink } = await open(t, {
    ports: [fake.port],
    bundle: fake.root.pem,
    token: 'abc',
    answer: async (path) => {
      if (path === '/v1/never') return new Promise(() => undefined);
      if (path === '/v1/bad') throw new Error('no');
      return { status: 200, body: Buffer.from(JSON.stringify({ path })) };
    },
  });
  const stream = await fake.attached();
  const report = (bundleNumber: bigint) => ({
    ...{
      bundle: bundleNumber,
      acknowledged: bundleNumber,
      lagging: [],
      allLagging: 0,
      authoritiesInUse: [],
      revocations: 0n,
    },
    ...{ revokedInUse: [], refusing: 0, informed: 0, waiting: 0, unreachable: 0, connections: 0, streams: 0 },
  });
  for (let number = 1n; number <= 100n; number += 1n) uplink.report(report(number));
  const reports = () => stream.messages.flatMap(({ report: one }) => (one === undefined ? [] : [one.bundle]));
  await until('the last report', () => reports().at(-1) === 100n);
  assert.deepEqual(reports(), [1n, 100n]);

  for (const [id, path] of ['/v1/proxies?limit=1', '/v1/bad', 'http://elsewhere', '/v1/never'].entries()) {
    stream.send({ question: { id: BigInt(id), path } });
  }
  const answers = () => stream.messages.flatMap(({ answer }) => (answer === undefined ? [] : [answer]));
  await until('four answers', () => answers().length === 4);
  assert.deepEqual(
    answers()
      .map(({ id, status }) => `${id} ${status}`)
      .sort(),
    ['0 200', '1 500', '2 400', '3 504'],
  );
  assert.equal(String(answers().find(({ id }) => id === 0n)!.body), '{"path":"/v1/proxies?limit=1"}');

  stream.end();
  const next = await fake.attached(2);
  await until('the report', () => next.messages.some(({ report: one }) => one?.bundle === 100n));
});

test('bundles of other trust domains that a new connection does not tell are gone', async (t) => {
  const other = await issue({ name: 'other', isCa: true });
  let count = 0;
  const fake: FakeServer = await start(t, [], {
    onAttach: (stream) => {
      count += 1;
      const [greeting, ...rest] = state(fake);
      stream.send(greeting!);
      for (const name of count === 1 ? ['a.example', 'b.example'] : ['b.example']) {
        stream.send({ bundle: bundle(name, [other.der]) });
      }
      for (const message of rest) stream.send(message);
    },
  });
  const { mirror } = await open(t, { ports: [fake.port], bundle: fake.root.pem, token: 'abc' });
  assert.deepEqual([...mirror.bundles.keys()].sort(), ['a.example', 'b.example', 'ilinux.io']);
  (await fake.attached()).end();
  await until('it to be gone', () => !mirror.bundles.has('a.example'));
  assert.deepEqual([...mirror.bundles.keys()].sort(), ['b.example', 'ilinux.io']);
  assert.deepEqual(mirror.calls.slice(-2), ['bundle gone a.example', 'entries whole 0 0']);
});

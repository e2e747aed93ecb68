import assert from 'node:assert/strict';
import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { digitalSignature, issue, keyCertSign } from '../agents/certificates.ts';
import { AGENT, bundle, type FakeOptions, FakeServer, state } from './fake-server.ts';
import { type OpenOptions, open, request, until } from './support.ts';

async function start(t: TestContext, options: FakeOptions = {}): Promise<FakeServer> {
  const fake: FakeServer = await FakeServer.start(t, {
    onAttach: (stream) => {
      for (const message of state(fake)) stream.send(message);
    },
    ...options,
  });
  return fake;
}

/** The same, joined by an agent. */
async function joined(t: TestContext, options: FakeOptions = {}, more: OpenOptions = {}) {
  const fake = await start(t, options);
  return { fake, ...(await open(t, { ports: [fake.port], bundle: fake.root.pem, token: 'abc', ...more })) };
}

const [DOMAIN, ROOT] = ['spiffe://ilinux.io/spire/server', { name: 'root', isCa: true } as const];

test('a server of another trust domain, or without the ID of a server, gets nothing', async (t) => {
  for (const [uris, why] of [
    [
      ['spiffe://other.example/spire/server'],
      /other\.example\/spire\/server, not spiffe:.*of the trust domain other\.example/,
    ],
    [['spiffe://ilinux.io/web'], /the server has the SPIFFE ID spiffe:\/\/ilinux\.io\/web, not/],
    [[DOMAIN, 'spiffe://ilinux.io/web'], /the server has several URIs, not/],
    [[`${DOMAIN}/more`], /the server has the SPIFFE ID/],
    [[], /the server has no SPIFFE ID/],
  ] as const) {
    const fake = await start(t, { leaf: { uris } });
    const given = { ports: [fake.port], token: 'abc' };
    await assert.rejects(open(t, { ...given, bundle: fake.root.pem }), { code: 'ERR_ATTACH', message: why });
    // Without a proof of anything else, the ID counts still.
    await assert.rejects(open(t, { ...given, trust: { insecure: true } }), { code: 'ERR_ATTACH', message: why });
    assert.deepEqual(fake.calls, []);
  }
});

test('a server under an unknown root, and an authority as a server, get nothing', async (t) => {
  const other = await issue(ROOT);
  const fake = await start(t);
  await assert.rejects(open(t, { ports: [fake.port], token: 'abc', bundle: other.pem }), {
    ...{ code: 'ERR_ATTACH', message: /under no root that this agent knows/ },
  });
  const authority = await start(t, { leaf: { isCa: true, keyUsage: digitalSignature | keyCertSign } });
  await assert.rejects(open(t, { ports: [authority.port], token: 'abc', bundle: authority.root.pem }), {
    ...{ code: 'ERR_ATTACH', message: /certificate of an authority/ },
  });
  assert.deepEqual([...fake.calls, ...authority.calls], []);
});

test('a server whose certificate has ended, or not begun, is a matter of clocks, and is tried again', async (t) => {
  const now = Date.now();
  for (const [leaf, why] of [
    [{ notBefore: now - 7_200_000, notAfter: now - 3_600_000 }, /certificate has expired/],
    [{ notBefore: now + 3_600_000 }, /certificate is not yet valid/],
  ] as const) {
    const fake = await start(t, { leaf });
    const log: Record<string, unknown>[] = [];
    const stop = new AbortController();
    const opening = open(t, { ports: [fake.port], token: 'abc', bundle: fake.root.pem, signal: stop.signal, log });
    opening.catch(() => undefined);
    await until('a line of it', () => log.some(({ problems }) => why.test(String(problems))));
    assert.match(JSON.stringify(log), /compare the clocks of both hosts/);
    stop.abort();
    await assert.rejects(opening, /the agent is stopping/);
  }
});

test('servers that say nothing, or garbage, or nothing sensible after TLS, do not keep the agent from the next one', async (t) => {
  const good = await start(t);
  const sockets: net.Socket[] = [];
  const silent = net.createServer((socket) => void sockets.push(socket.on('error', () => undefined)));
  const garbage = net.createServer(
    (socket) => void socket.on('error', () => undefined).end('HTTP/1.1 400 Bad\r\n\r\n'),
  );
  for (const server of [silent, garbage]) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
  }
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  const ports = [silent, garbage].map((server) => (server.address() as AddressInfo).port);
  // A kept SVID, so that the first thing is the push stream.
  const first = await open(t, { ports: [good.port], bundle: good.root.pem, token: 'abc' });
  await first.uplink.close();
  for (const bad of [...ports, 1]) {
    for (const order of [
      [bad, good.port],
      [good.port, bad],
    ]) {
      const { uplink } = await open(t, { ports: order, dataDir: first.dataDir });
      await until('the good one', () => uplink.status.server === `127.0.0.1:${good.port}`, 8_000);
      await uplink.close();
    }
  }
});

test('more than the limits ends the connection, and the former state stays', async (t) => {
  const gone = Array.from({ length: 300_000 }, () => 'x');
  const many = await Promise.all(Array.from({ length: 3 }, () => issue(ROOT)));
  const whole = { put: [], gone: [], whole: true, more: false };
  for (const [name, message, why] of [
    [
      'a message of 5 MiB',
      { revocations: { serials: ['0'.repeat(5 * 1024 * 1024)], revision: 1n } },
      /larger than max/,
    ],
    [
      'a million entries',
      { entries: { ...whole, put: Array.from({ length: 1_000_000 }, () => Buffer.alloc(0)) } },
      /more than 200000 entries/,
    ],
    ['300,000 ids', { entries: { ...whole, whole: false, gone } }, /more than 200000 entries/],
    [
      'a bundle with 1,200 roots',
      {
        bundle: bundle(
          'ilinux.io',
          Array.from({ length: 1_200 }, () => many[0]!.der),
        ),
      },
      /more than 1000 authorities/,
    ],
    ['an own bundle without a root', { bundle: bundle('ilinux.io', []) }, /the own bundle has no root/],
    ['a bundle of garbage', { bundle: bundle('ilinux.io', [Buffer.from('garbage')]) }, /a root that cannot be read/],
    ['a bundle of no trust domain', { bundle: bundle('NOT A DOMAIN', [many[1]!.der]) }, /of no trust domain/],
    ['a second greeting', { greeting: { version: '', x509SvidTtl: 1, jwtSvidTtl: 1 } }, /it greets twice/],
    ['an authority with a strange name', { authorities: { signing: '\u001b', tainted: [] } }, /lower-case hex/],
    ['an alias without an ID', { aliases: { aliases: [{ host: 'a', spiffeId: 'b' }] } }, /has no SPIFFE ID/],
  ] as const) {
    await t.test(name, async (t) => {
      const { fake, mirror, log, uplink } = await joined(t);
      const stream = await fake.attached();
      const before = mirror.calls.length;
      stream.send(message as never);
      await fake.attached(2);
      assert.ok(
        log.some((line) => why.test(JSON.stringify(line))),
        JSON.stringify(log.slice(-3)),
      );
      await until(
        'the next connection',
        () => mirror.calls.length === before + 2 && uplink.status.state === 'connected',
      );
      assert.equal(mirror.bundles.get('ilinux.io')!.x509Authorities.length, 1);
      assert.equal(stream.isOpen, false);
    });
  }
});

test('a first message that is no greeting, and a first state that is not whole, are no state', async (t) => {
  let count = 0;
  const fake: FakeServer = await start(t, {
    onAttach: (stream) => {
      count += 1;
      const [greeting, own, entries] = state(fake);
      if (count === 1) stream.send(own!);
      else if (count === 2)
        for (const one of [greeting, own, { entries: { ...entries!.entries!, whole: false } }]) stream.send(one!);
      else for (const one of [greeting, entries, own]) stream.send(one!);
    },
  });
  const { mirror } = await open(t, { ports: [fake.port], bundle: fake.root.pem, token: 'abc' });
  assert.deepEqual(mirror.calls, ['bundle ilinux.io', 'entries whole 0 0']);
  assert.equal(count, 3);
});

test('an SVID for another key, of another trust domain, or of no agent, is not taken', async (t) => {
  for (const [options, why] of [
    [{ otherKey: true }, /is for another key/],
    [
      { agentId: () => 'spiffe://other.example/spire/agent/join_token/a' },
      /is not of an agent of spiffe:\/\/ilinux\.io/,
    ],
    [{ agentId: () => 'spiffe://ilinux.io/web' }, /is not of an agent/],
    [{ agentLife: -500 }, /compare the clocks/],
  ] as const) {
    const log: Record<string, unknown>[] = [];
    const fake = await start(t, options);
    const stop = new AbortController();
    const opening = open(t, { ports: [fake.port], bundle: fake.root.pem, token: 'abc', signal: stop.signal, log });
    opening.catch(() => undefined);
    await until('its refusal', () => log.some(({ problems }) => why.test(String(problems))));
    stop.abort();
    await assert.rejects(opening);
    assert.ok(!fake.calls.includes('Attach'));
  }
});

test('an SVID of an agent that is under no root of the bundle is not taken', async (t) => {
  const fake = await start(t);
  fake.roots = [(await issue(ROOT)).der];
  const log: Record<string, unknown>[] = [];
  const stop = new AbortController();
  const opening = open(t, { ports: [fake.port], bundle: fake.root.pem, token: 'abc', signal: stop.signal, log });
  opening.catch(() => undefined);
  await until('its refusal', () => log.some(({ problems }) => /is under no root of its bundle/.test(String(problems))));
  stop.abort();
  await assert.rejects(opening);
});

test('another server in the place of the own one gets no agent, and the state stays', async (t) => {
  const { fake, uplink, mirror, dataDir } = await joined(t);
  const { port } = fake;
  fake.stop();
  await until('it to be away', () => uplink.status.state === 'away');
  const impostor = await start(t, { port, root: await issue({ ...ROOT, uris: ['spiffe://ilinux.io'] }) });
  await until('it to be noticed', () => /under no root that this agent knows/.test(uplink.status.problem ?? ''));
  assert.deepEqual(impostor.calls, []);
  assert.deepEqual(mirror.calls, ['bundle ilinux.io', 'entries whole 0 0']);
  await uplink.close();
  // A bundle kept goes before a new one, and before no proof at all.
  const again = await open(t, { ports: [port], dataDir, trust: { insecure: true } });
  assert.equal(again.uplink.status.state, 'away');
  assert.deepEqual(impostor.calls, []);
});

test('a batch with another number of answers is refused, and its texts are made harmless', async (t) => {
  const { uplink } = await joined(t, {
    refuse: (path) =>
      path.endsWith('BatchNewX509SVID') ? { code: 3, details: `\u001b[31m${'x'.repeat(5_000)}` } : undefined,
  });
  await assert.rejects(uplink.newSvids([await request('one')]), (error: Error) => {
    assert.ok(!error.message.includes('\u001b') && error.message.length < 600, error.message);
    return /INVALID_ARGUMENT/.test(error.message);
  });
  assert.equal(uplink.status.agentId, AGENT);
});

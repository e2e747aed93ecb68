import assert from 'node:assert/strict';
import { createHash, createPublicKey } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { issue } from '../agents/certificates.ts';
import { openPort } from '../agents/support.ts';
import { tempDir } from '../support/temp-dir.ts';
import { AGENT, denied, type FakeOptions, FakeServer, state } from './fake-server.ts';
import { type OpenOptions, open, request, until } from './support.ts';

const [EXPIRED, NOT_ATTESTED, NOT_ACTIVE, BANNED, MUST_REATTEST] = [1, 2, 3, 4, 5];

async function start(t: TestContext, options: FakeOptions = {}): Promise<FakeServer> {
  const fake: FakeServer = await FakeServer.start(t, {
    onAttach: (stream) => {
      for (const message of state(fake)) stream.send(message);
    },
    ...options,
  });
  return fake;
}

async function joined(t: TestContext, options: FakeOptions = {}, more: OpenOptions = {}) {
  const fake = await start(t, options);
  return { fake, ...(await open(t, { ports: [fake.port], bundle: fake.root.pem, token: 'abc', ...more })) };
}

const count = (fake: FakeServer, name: string) => fake.calls.filter((call) => call.endsWith(name)).length;

/** Files of a certificate for x509pop. */
async function pop(t: TestContext) {
  const dir = tempDir(t);
  const { pem, keyPem } = await issue();
  const [certificateFile, keyFile] = [path.join(dir, 'cert.pem'), path.join(dir, 'key.pem')];
  writeFileSync(certificateFile, pem);
  writeFileSync(keyFile, keyPem, { mode: 0o600 });
  return { type: 'x509pop', certificateFile, keyFile } as const;
}

test('at half of its life an agent renews its SVID, connects with it, and loses no request meanwhile', async (t) => {
  const { fake, uplink, mirror, dataDir } = await joined(t, { agentLife: 5_000 });
  const first = await fake.attached(1);
  const ends = uplink.status.svidEnds!;
  let isOver = false;
  const failures: unknown[] = [];
  const requests = (async () => {
    while (!isOver) {
      const answers = await uplink.newSvids([await request('one')]).catch((error: unknown) => [{ fault: error }]);
      for (const answer of answers) if ('fault' in answer) failures.push(answer.fault);
    }
  })();
  await fake.attached(3);
  await until('the former stream to end', () => !first.isOpen);
  isOver = true;
  await requests;
  assert.deepEqual(failures, []);
  assert.ok(uplink.status.svidEnds! > ends);
  assert.ok(count(fake, 'RenewAgent') >= 2);
  assert.equal(count(fake, 'AttestAgent'), 1);
  assert.equal(uplink.status.state, 'connected');
  assert.ok(mirror.calls.length >= 6);
  const kept = JSON.parse(readFileSync(path.join(dataDir, 'agent.json'), 'utf8')) as { certificate_chain: string };
  assert.match(kept.certificate_chain, /BEGIN CERTIFICATE/);
});

test('an agent that can attest itself again does so in place of a renewal', async (t) => {
  const { fake } = await joined(t, { agentLife: 3_000, reattestable: true }, { attestation: await pop(t) });
  await fake.attached(2);
  assert.equal(count(fake, 'RenewAgent'), 0);
  assert.ok(count(fake, 'AttestAgent') >= 2);
});

test('a renewal that fails is tried again, and one for another agent is not taken', async (t) => {
  let tries = 0;
  const { fake, log } = await joined(t, {
    agentLife: 6_000,
    agentId: () => (tries === 1 ? `${AGENT}/other` : AGENT),
    refuse: (call) => {
      if (!call.endsWith('RenewAgent')) return undefined;
      tries += 1;
      return tries === 2 ? { code: 14, details: 'busy' } : undefined;
    },
  });
  await fake.attached(2);
  assert.equal(tries, 3);
  const lines = log
    .filter(({ msg }) => msg === 'the SVID of the agent could not be renewed')
    .map((line) => JSON.stringify(line));
  assert.match(lines[0]!, /is of another agent than/);
  assert.match(lines[1]!, /busy/);
});

test('an SVID under a tainted authority is replaced at once', async (t) => {
  const { fake, uplink } = await joined(t);
  const stream = await fake.attached();
  const spki = createPublicKey(fake.root.keyPem).export({ type: 'spki', format: 'der' });
  const id = createHash('sha1').update(spki.subarray(26)).digest('hex');
  stream.send({ authorities: { signing: '', tainted: ['00'] } });
  stream.send({ authorities: { signing: '', tainted: [id] } });
  await fake.attached(2);
  assert.equal(count(fake, 'RenewAgent'), 1);
  await until('the former stream to end', () => !stream.isOpen);
  assert.equal(uplink.status.state, 'connected');
});

for (const [name, reason] of Object.entries({ EXPIRED, NOT_ATTESTED, NOT_ACTIVE, MUST_REATTEST })) {
  test(`${name}: an agent with a token ends, and one that can attest itself again does so`, async (t) => {
    let isRefused = false;
    const refuse = (call: string) => (isRefused && call === 'Attach' ? denied(reason!) : undefined);
    const withToken = await joined(t, { refuse });
    isRefused = true;
    (await withToken.fake.attached()).end();
    const error = await withToken.fatal;
    assert.equal(error.code, 'ERR_ATTACH');
    assert.match(error.message, /denies this agent.*sidekey agent token/s);

    isRefused = false;
    const again = await joined(t, { refuse, reattestable: true }, { attestation: await pop(t) });
    isRefused = true;
    (await again.fake.attached()).end();
    await until('the attestation', () => count(again.fake, 'AttestAgent') >= 2);
    isRefused = false;
    await again.fake.attached(2);
    assert.equal(again.uplink.status.state === 'away' || again.uplink.status.state === 'connected', true);
  });
}

test('a banned agent ends, however it attests itself', async (t) => {
  for (const attestation of [undefined, await pop(t)]) {
    let isRefused = false;
    const { fake, fatal } = await joined(
      t,
      {
        refuse: (call) => (isRefused && call === 'Attach' ? denied(BANNED) : undefined),
        reattestable: attestation !== undefined,
      },
      attestation === undefined ? {} : { attestation },
    );
    isRefused = true;
    (await fake.attached()).end();
    assert.match((await fatal).message, /denies this agent.*sidekey agent evict/s);
    assert.equal(count(fake, 'AttestAgent'), 1);
  }
});

test('a token that the server refuses ends the start, and does not appear anywhere', async (t) => {
  const log: Record<string, unknown>[] = [];
  const fake = await start(t, {
    refuse: (call) => (call === 'AttestAgent' ? { code: 3, details: 'the join token is unknown' } : undefined),
  });
  const opening = open(t, { ports: [fake.port], bundle: fake.root.pem, token: 'very-secret', log });
  await assert.rejects(opening, (error: Error) => {
    assert.match(error.message, /the join token is unknown.*sidekey agent token/s);
    return !error.message.includes('very-secret');
  });
  assert.ok(!JSON.stringify(log).includes('very-secret'));
  assert.equal(count(fake, 'AttestAgent'), 1);
});

test('after its SVID has ended, a restarted agent joins with a new token, and ends without one', async (t) => {
  const { registry, clock, number, roots } = await openPort(t, { agentTtl: 3 });
  const token = async () => (await registry.agents.createToken({ expiresAt: clock.now() + 60_000, alias: '' })).text;
  const given = { ports: [number], bundle: String(roots()) };
  const { uplink, dataDir } = await open(t, { ...given, token: await token() });
  const ends = uplink.status.svidEnds!;
  await uplink.close();
  await until('its end', () => Date.now() > ends);
  const why = /the SVID of this agent has ended.*compare the clocks.*sidekey agent token/s;
  await assert.rejects(open(t, { ports: [number], dataDir }), { code: 'ERR_ATTACH', message: why });
  clock.advanceTo(Math.max(clock.now(), Date.now()));
  const again = await open(t, { ports: [number], dataDir, token: await token() });
  assert.equal(again.uplink.status.state, 'connected');
});

test('when its server ends, an agent is with the next one at once, and requests wait for it', async (t) => {
  const root = await issue({ name: 'root', isCa: true });
  const one = await start(t, { root });
  const two = await start(t, { root });
  const { uplink, mirror } = await open(t, { ports: [one.port, two.port], bundle: root.pem, token: 'abc' });
  const [first, second] = uplink.status.server === `127.0.0.1:${one.port}` ? [one, two] : [two, one];
  first.stop();
  const [answer] = await uplink.newSvids([await request('one')]);
  assert.ok('certificates' in answer!);
  assert.equal(uplink.status.server, `127.0.0.1:${second.port}`);
  assert.equal(mirror.calls.length, 4);
});

test('a connection on which nothing comes any more is noticed', async (t) => {
  const fake = await start(t);
  const sockets: net.Socket[] = [];
  let isFrozen = false;
  const proxy = net.createServer((near) => {
    if (isFrozen) {
      near.destroy();
      return;
    }
    const far = net.connect(fake.port, '127.0.0.1');
    sockets.push(near, far);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('error', () => undefined);
      from.on('data', (bytes) => void (isFrozen || to.write(bytes)));
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    proxy.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = proxy.address() as AddressInfo;
  const { uplink } = await open(t, { ports: [port], bundle: fake.root.pem, token: 'abc' });
  isFrozen = true;
  await until('it to be away', () => uplink.status.state === 'away', 30_000);
});

test('a state file of another trust domain, a damaged one, and one that others may read are refused and kept', async (t) => {
  const { fake, uplink, dataDir } = await joined(t);
  await uplink.close();
  const file = path.join(dataDir, 'agent.json');
  const good = readFileSync(file, 'utf8');
  const value = JSON.parse(good) as Record<string, unknown>;
  const other = await issue({ uris: [AGENT] });
  for (const [text, why] of [
    [
      JSON.stringify({ ...value, trust_domain: 'other.example' }),
      /an agent of the trust domain other\.example, not ilinux\.io.*--data-dir/s,
    ],
    [good.slice(0, -20), /it is not JSON; restore the file/],
    ['[]', /it is of the version/],
    [JSON.stringify({ ...value, version: 2 }), /it is of the version 2, not 1/],
    [JSON.stringify({ ...value, private_key: other.keyPem }), /its key is of another certificate/],
    [JSON.stringify({ ...value, certificate_chain: fake.root.pem }), /not of an agent of spiffe:\/\/ilinux\.io/],
    [JSON.stringify({ ...value, bundle: { sequence_number: 1, roots: '' } }), /its bundle has no root/],
    [JSON.stringify({ ...value, reattestable: 1 }), /a field of it is missing/],
  ] as const) {
    writeFileSync(file, text);
    const opening = open(t, { ports: [fake.port], dataDir, bundle: fake.root.pem, token: 'new' });
    await assert.rejects(opening, { code: 'ERR_DATA_DIR', message: why });
    assert.equal(readFileSync(file, 'utf8'), text);
  }
  writeFileSync(file, good);
  chmodSync(file, 0o644);
  await assert.rejects(open(t, { ports: [fake.port], dataDir }), { code: 'ERR_DATA_DIR', message: /open to others/ });
  assert.equal(count(fake, 'AttestAgent'), 1);
});

test('without an SVID, a bundle or an attestation, the start says what is missing', async (t) => {
  const fake = await start(t);
  await assert.rejects(open(t, { ports: [fake.port], token: 'abc' }), {
    code: 'ERR_CONFIG',
    message: /--trust-bundle FILE/,
  });
  await assert.rejects(open(t, { ports: [fake.port], bundle: fake.root.pem }), {
    ...{ code: 'ERR_CONFIG', message: /--join-token-file/ },
  });
  await assert.rejects(open(t, { ports: [fake.port], bundle: 'no PEM', token: 'abc' }), { code: 'ERR_CONFIG' });
  assert.deepEqual(fake.calls, []);
});

test('--insecure-bootstrap joins any server with the right ID, says so, and keeps that', async (t) => {
  const fake = await start(t);
  const { uplink, log, dataDir } = await open(t, { ports: [fake.port], trust: { insecure: true }, token: 'abc' });
  assert.equal(uplink.status.joinedInsecurely, true);
  assert.ok(log.some(({ level, msg }) => level === 40 && /believed without a proof/.test(String(msg))));
  await uplink.close();
  const again = await open(t, { ports: [fake.port], dataDir });
  assert.equal(again.uplink.status.joinedInsecurely, true);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { version } from '../../src/base/index.ts';
import type { Entry } from '../../src/registry/types.ts';
import { parseTrustDomain } from '../../src/spiffe/id.ts';
import { input } from '../registry/support.ts';
import { type Identity, reasonOf } from '../support/agent-client.ts';
import { makeCsr } from '../support/csr.ts';
import { asking, attach, json } from './attach-client.ts';
import { openPort } from './support.ts';

const [INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, EXHAUSTED, ABORTED] = [3, 5, 7, 8, 10];
const [EXPIRED, NOT_ATTESTED, NOT_ACTIVE, BANNED] = [1, 2, 3, 4];
/** The status by which a stream ended. */
const codeOf = (error: unknown) => (error as { code?: number } | undefined)?.code;
const BY = { kind: 'server' } as const;

test('an agent that attaches is told the whole state, then each change', async (t) => {
  const { join, entry, registry, ca, client } = await openPort(t);
  const { joined, agent } = await join();
  const mine = await entry('mine', joined.id, { dnsNames: ['mine.example'] });
  await entry('others', 'spiffe://ilinux.io/spire/agent/join_token/other');
  const stream = attach(t, agent);
  assert.deepEqual(await stream.next('greeting'), {
    ...{ version: version(), x509SvidTtl: 3_600, jwtSvidTtl: 300 },
  });
  const bundle = await stream.next('bundle');
  assert.equal(bundle.trustDomain, 'ilinux.io');
  assert.deepEqual(bundle.x509Authorities, ca.bundle().x509Authorities);
  assert.equal(bundle.sequenceNumber, BigInt(ca.bundle().sequenceNumber));
  const { signing, tainted } = await stream.next('authorities');
  assert.ok(ca.signs(signing));
  assert.deepEqual(tainted, []);
  const entries = await stream.next('entries');
  assert.equal(entries.whole, true);
  assert.equal(entries.more, false);
  assert.deepEqual(
    entries.put.map((bytes) => json(bytes)).map(({ id, spiffe_id, dns_names }) => [id, spiffe_id, dns_names]),
    [[mine.id, 'spiffe://ilinux.io/mine', ['mine.example']]],
  );
  // What a stock agent does not understand is told, too.
  const [template] = await registry.create(
    [
      {
        ...(await entry('like', joined.id)),
        id: undefined,
        spiffeId: 'spiffe://ilinux.io/u/{unix:user}' as Entry['spiffeId'],
      },
    ],
    'api',
  );
  const told = new Set<string>();
  while (!told.has(template!.id)) for (const bytes of (await stream.next('entries')).put) told.add(json(bytes).id);
  assert.ok(!(await client(joined).sync()).entries.some(({ id }) => id === template!.id));
  await registry.delete(mine.id);
  const gone = await stream.next('entries');
  assert.deepEqual([gone.whole, gone.put.length, gone.gone], [false, 0, [mine.id]]);
});

test('bundles of other trust domains come for entries that federate with them, also with all', async (t) => {
  const { join, entry, registry, ca, client } = await openPort(t);
  const { joined, agent } = await join();
  const { x509Authorities, jwtAuthorities } = ca.bundle();
  const contents = { x509Authorities, jwtAuthorities, sequenceNumber: 1n, refreshHint: 60 };
  const put = (name: string) => registry.federatedBundles.set(parseTrustDomain(name), contents);
  const stream = attach(t, agent);
  await stream.next('entries');
  await put('one.example');
  const all = await entry('all', joined.id, { federatesWith: ['*'] as unknown as Entry['federatesWith'] });
  assert.equal((await stream.next('bundle')).trustDomain, 'one.example');
  await put('two.example');
  assert.equal((await stream.next('bundle')).trustDomain, 'two.example');
  // A stock agent is told the names.
  const { entries } = await client(joined).sync();
  assert.deepEqual(entries[0]!.federatesWith, ['one.example', 'two.example']);
  await registry.federatedBundles.delete(parseTrustDomain('one.example'));
  const gone = await stream.next('bundle');
  assert.deepEqual([gone.trustDomain, gone.gone], ['one.example', true]);
  await registry.delete(all.id);
  assert.deepEqual((await stream.next('bundle')).trustDomain, 'two.example');
});

for (const [name, act, reason] of [
  ['banned', ({ registry, id }) => registry.agents.ban(id, BY), BANNED],
  ['evicted', ({ registry, id }) => registry.agents.evict(id, BY), NOT_ATTESTED],
  ['past the end of its SVID', ({ clock }) => clock.advance(6_000), EXPIRED],
  [
    'renewed',
    async ({ agent, client }) => {
      const renewed: Identity = await agent.renew();
      await client(renewed).sync();
    },
    NOT_ACTIVE,
  ],
] as [string, (of: Of) => unknown, number][]) {
  test(`the stream of an agent that is ${name} ends at once, with the reason for agents`, async (t) => {
    const port = await openPort(t, { agentTtl: 5 });
    const { joined, agent } = await port.join();
    const stream = attach(t, agent);
    await stream.next('entries');
    const denials = port.refusals.length;
    await act({ ...port, agent, id: joined.id });
    const error = await stream.ended;
    assert.equal((error as { code: number }).code, PERMISSION_DENIED, String(error));
    assert.equal(reasonOf(error), reason);
    // The agent has asked for nothing that was refused.
    assert.equal(port.refusals.length, denials);
  });
}

type OpenPort = Awaited<ReturnType<typeof openPort>>;
type Of = OpenPort & { readonly agent: Awaited<ReturnType<OpenPort['join']>>['agent']; readonly id: string };

test('a second stream of an agent takes the place of the first', async (t) => {
  const { join, port } = await openPort(t);
  const { joined, agent } = await join();
  const first = attach(t, agent, { host: 'one' });
  await first.next('entries');
  const second = attach(t, agent, { host: 'two' });
  await second.next('entries');
  assert.equal(codeOf(await first.ended), ABORTED);
  const listed = [...port.attachments.list()];
  assert.deepEqual(
    listed.map(({ id, host }) => [id, host]),
    [[joined.id, 'two']],
  );
  second.half();
  assert.equal(await second.ended, undefined);
  assert.deepEqual([...port.attachments.list()], []);
});

test('strangers, banned agents and agents that do not greet are refused', async (t) => {
  const { join, client, registry } = await openPort(t);
  assert.equal(codeOf(await attach(t, client()).ended), PERMISSION_DENIED);
  const { joined, agent } = await join();
  const rude = attach(t, agent, { greeting: false });
  rude.report({});
  assert.equal(codeOf(await rude.ended), INVALID_ARGUMENT);
  const odd = attach(t, agent, { host: 'a\nb' });
  assert.equal(codeOf(await odd.ended), INVALID_ARGUMENT);
  await registry.agents.ban(joined.id, BY);
  const banned = await attach(t, agent).ended;
  assert.equal(reasonOf(banned), BANNED);
});

test('reports that are too large end the stream; messages that it does not know do not', async (t) => {
  const { join, port } = await openPort(t);
  const { agent } = await join();
  const large = attach(t, agent);
  await large.next('entries');
  large.report({ revokedInUse: ['x'.repeat(600 * 1024)] });
  assert.equal(codeOf(await large.ended), EXHAUSTED);
  const huge = attach(t, agent);
  await huge.next('entries');
  huge.report({ revokedInUse: ['x'.repeat(10 * 1024 * 1024)] });
  assert.equal(codeOf(await huge.ended), EXHAUSTED);
  const calm = attach(t, agent);
  await calm.next('entries');
  // Nothing is set, as in a message of a later version.
  calm.send({});
  calm.send({ answer: { id: 7n, status: 200, body: Buffer.from('{}') } });
  calm.report({ streams: 3 });
  const said = () => [...port.attachments.list()][0]?.streams;
  while (said() !== 3) await sleep(5);
});

test('of many reports the last one counts, and a flood ends the stream', async (t) => {
  const { join, port, clock } = await openPort(t);
  const { agent } = await join();
  const stream = attach(t, agent);
  await stream.next('entries');
  for (let streams = 1; streams <= 20; streams += 1) stream.report({ streams });
  const said = () => [...port.attachments.list()][0]?.streams;
  while (said() !== 1) await sleep(5);
  // The clock stands, so no other one is read before it goes on.
  await agent.sync();
  assert.equal(said(), 1);
  while (said() !== 20) {
    clock.advance(30);
    await sleep(5);
  }
  for (let streams = 1; streams <= 1_000; streams += 1) stream.report({ streams });
  assert.equal(codeOf(await stream.ended), EXHAUSTED);
});

test('an agent that does not read keeps little memory in the server, and gets the last state when it does', async (t) => {
  const { join, registry, port, clock } = await openPort(t);
  const { joined, agent } = await join();
  const inputs = Array.from({ length: 2_000 }, (_, at) => {
    return input(`n/${at}`, [`unix:uid:${at}`], { parentId: joined.id, hint: 'h'.repeat(200) });
  });
  await registry.create(inputs, 'api');
  const stream = attach(t, agent, { reads: false });
  while ([...port.attachments.list()].length === 0) await sleep(5);
  const all = registry.list({ limit: 1_000 }).entries.filter(({ parentId }) => parentId === joined.id);
  for (let round = 0; round < 3; round += 1) {
    for (const { id } of all.slice(0, 10)) await registry.update(id, { hint: `round ${round}` });
  }
  // Two messages of entries and the window of HTTP/2 at most.
  assert.ok(port.heldBytes < 2 * 1024 * 1024, `${port.heldBytes} bytes`);
  stream.read();
  const told = new Map<string, string>();
  const isLast = () => all.slice(0, 10).every(({ id }) => told.get(id) === 'round 2');
  while (told.size < 2_000 || !isLast()) {
    for (const bytes of (await stream.next('entries')).put) told.set(json(bytes).id, json(bytes).hint);
    clock.advance(10);
  }
});

test('an agent gets no SVID of another one, and of a template only what it renders', async (t) => {
  const { join, entry } = await openPort(t);
  const [{ joined, agent }, other] = [await join(), await join()];
  const theirs = await entry('theirs', other.joined.id);
  const template = await entry('x', joined.id, { spiffeId: 'spiffe://ilinux.io/u/{unix:user}' as Entry['spiffeId'] });
  await entry('taken', joined.id, { spiffeId: 'spiffe://ilinux.io/u/taken' as Entry['spiffeId'] });
  const csrOf = (uri: string | undefined) => makeCsr(uri === undefined ? {} : { attributes: asking(uri) }).csr;
  const { results } = await agent.batch([
    { entryId: theirs.id, csr: csrOf(undefined) },
    { entryId: template.id, csr: csrOf('spiffe://ilinux.io/u/anna') },
    { entryId: template.id, csr: csrOf(undefined) },
    { entryId: template.id, csr: csrOf('spiffe://ilinux.io/u/taken') },
    { entryId: template.id, csr: csrOf('spiffe://ilinux.io/v/anna') },
    { entryId: template.id, csr: csrOf('spiffe://ilinux.io/u/anna/more') },
    { entryId: template.id, csr: csrOf('spiffe://other.example/u/anna') },
    { entryId: template.id, csr: csrOf('no URI') },
    { entryId: template.id, csr: Buffer.from('no CSR') },
  ]);
  const bad = INVALID_ARGUMENT;
  assert.deepEqual(
    results.map(({ status }) => status?.code),
    [NOT_FOUND, 0, bad, bad, bad, bad, bad, bad, bad],
    JSON.stringify(results.map(({ status }) => status)),
  );
  assert.deepEqual(results[1]!.svid!.id, { trustDomain: 'ilinux.io', path: '/u/anna' });
});

test('the number of SPIFFE IDs that an agent has of one template is limited until their SVIDs end', async (t) => {
  const { join, entry, clock, client } = await openPort(t);
  const { joined } = await join();
  const template = await entry('x', joined.id, {
    ...{ spiffeId: 'spiffe://ilinux.io/u/{unix:user}' as Entry['spiffeId'], x509SvidTtl: 60 },
  });
  const { privateKey } = makeCsr();
  const ask = async (from: number, count: number) => {
    const params = Array.from({ length: count }, (_, at) => ({
      entryId: template.id,
      csr: makeCsr({ privateKey, attributes: asking(`spiffe://ilinux.io/u/${from + at}`) }).csr,
    }));
    return (await client(joined).batch(params)).results.map(({ status }) => status!.code);
  };
  assert.deepEqual(new Set([...(await ask(0, 500)), ...(await ask(500, 500))]), new Set([0]));
  clock.advance(2_000);
  assert.deepEqual(await ask(999, 2), [0, INVALID_ARGUMENT]);
  clock.advance(120_000);
  assert.deepEqual(await ask(2_000, 1), [0]);
});

test('rotation waits for what agents report, and for a silent one a minute at most', async (t) => {
  const { join, port, clock, ca } = await openPort(t);
  const { joined, agent } = await join();
  const stream = attach(t, agent);
  await stream.next('entries');
  const number = ca.bundle().sequenceNumber;
  const lagging = () => [...port.attachments.lagging(number)];
  const reported = async (report: Parameters<typeof stream.report>[0], streams: number) => {
    stream.report({ ...report, streams });
    while ([...port.attachments.list()][0]?.streams !== streams) {
      clock.advance(30);
      await sleep(2);
    }
  };
  // It has not said yet which bundle it has.
  assert.deepEqual(
    lagging().map(({ node }) => node),
    [joined.id],
  );
  const row = { pid: 7, uid: 8, node: 'edge', name: 'ROOTCA', rejection: 'bad\u202e\u001b[2J' };
  await reported({ bundle: BigInt(number), acknowledged: BigInt(number - 1), lagging: [row], waiting: 1 }, 1);
  const [shown] = lagging();
  assert.partialDeepStrictEqual(shown, { pid: 7, uid: 8, node: `${joined.id} edge`, name: 'ROOTCA' });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what may not be there
  assert.doesNotMatch(shown!.rejection!, /[\u202e\u001b]/);
  await reported({ bundle: BigInt(number), acknowledged: BigInt(number) }, 2);
  assert.deepEqual(lagging(), []);
  // An agent that says nothing of the next bundle.
  const later = () => [...port.attachments.lagging(number + 1)];
  assert.equal(later().length, 1);
  for (let waited = 0; waited <= 60_000; waited += 1_000) clock.advance(1_000);
  assert.equal(later().length, 0);
});

test('a taint waits for the SVIDs that agents report, a minute at most', async (t) => {
  const { join, port, clock } = await openPort(t);
  const { joined, agent } = await join();
  const stream = attach(t, agent);
  await stream.next('entries');
  stream.report({ authoritiesInUse: ['aa'], streams: 1 });
  while ([...port.attachments.list()][0]?.streams !== 1) await sleep(2);
  const using = () => [...port.using(new Set(['aa']))].map(({ node }) => node);
  assert.deepEqual(using(), [joined.id]);
  for (let waited = 0; waited <= 60_000; waited += 1_000) clock.advance(1_000);
  assert.deepEqual(using(), []);
});

test('a revocation waits for the agents whose entries it concerns until they report new SVIDs', async (t) => {
  const { join, entry, port, registry, store, clock } = await openPort(t);
  const { joined, agent } = await join();
  const mine = await entry('mine', joined.id);
  const other = attach(t, (await join()).agent);
  const stream = attach(t, agent);
  await Promise.all([stream.next('entries'), other.next('entries')]);
  await agent.batch([{ entryId: mine.id, csr: makeCsr().csr }]);
  const [record] = await store.issuances.newest({ limit: 1 });
  const { serial, authorityId, spiffeId, entryId, notAfter } = record!;
  const ids = new Set([spiffeId]);
  const revoked = { serial, authorityId, spiffeId, entryId, notAfter, revokedAt: clock.now(), reason: 'superseded' };
  await registry.revocations.add([revoked as Parameters<typeof registry.revocations.add>[0][number]], BY);
  // At once: neither has it been told, nor has it answered.
  assert.deepEqual([...port.attachments.holders(ids)], [spiffeId]);
  const told = await stream.next('revocations');
  assert.deepEqual(told.serials, [serial]);
  const reported = async (revokedInUse: string[], streams: number) => {
    stream.report({ revocations: told.revision, revokedInUse, streams });
    while (![...port.attachments.list()].some((one) => one.streams === streams)) {
      clock.advance(30);
      await sleep(2);
    }
  };
  await reported([spiffeId, 'spiffe://ilinux.io/another'], 1);
  assert.deepEqual([...port.attachments.holders(ids)], [spiffeId]);
  await reported([], 2);
  assert.deepEqual([...port.attachments.holders(ids)], []);
});

test('an agent answers questions; late, unknown and too many ones are refused', async (t) => {
  const { join, port, clock } = await openPort(t);
  const { joined, agent } = await join();
  const ask = () => port.attachments.ask(joined.id, '/v1/proxies?limit=1');
  const away = (why: RegExp) => (error: { code: string; message: string }) => {
    assert.equal(error.code, 'ERR_AGENT_AWAY');
    assert.match(error.message, why);
    return true;
  };
  await assert.rejects(ask(), away(/not attached/));
  const stream = attach(t, agent);
  await stream.next('entries');
  const answer = ask();
  const { id, path } = await stream.next('question');
  assert.equal(path, '/v1/proxies?limit=1');
  const body = Buffer.alloc(3 * 1024 * 1024, 'x');
  stream.send({ answer: { id, status: 200, body } });
  assert.equal((await answer).body.length, body.length);
  const many = Array.from({ length: 17 }, () => ask());
  const results = Promise.allSettled(many);
  await assert.rejects(many[16]!, away(/16 questions/));
  clock.advance(5_100);
  await assert.rejects(many[0]!, away(/not answered within 5 s/));
  await results;
  const late = await stream.next('question');
  stream.send({ answer: { id: late.id, status: 200, body: Buffer.from('{}') } });
  stream.report({ streams: 9 });
  while ([...port.attachments.list()][0]?.streams !== 9) await sleep(2);
  const last = ask();
  stream.cancel();
  await assert.rejects(last, away(/gone/));
});

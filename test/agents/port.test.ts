import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseTrustDomain } from '../../src/spiffe/id.ts';
import { reasonOf } from '../support/agent-client.ts';
import { makeCsr } from '../support/csr.ts';
import { HOUR, LOCAL, openPort, SERVER } from './support.ts';

const [PERMISSION_DENIED, INVALID_ARGUMENT, NOT_FOUND, EXHAUSTED, UNIMPLEMENTED] = [7, 3, 5, 8, 12];
const [EXPIRED, NOT_ATTESTED, NOT_ACTIVE, BANNED] = [1, 2, 3, 4];

/** Expects a refusal with the reason for agents. */
function denied(promise: Promise<unknown>, reason: number | undefined) {
  return promise.then(
    () => assert.fail('it was allowed'),
    (error: { code: number }) => {
      assert.equal(error.code, PERMISSION_DENIED, String(error));
      assert.equal(reasonOf(error), reason);
    },
  );
}

const idsOf = ({ entries }: { entries: { id: string }[] }) => entries.map(({ id }) => id).sort();

test('an agent joins with a token, and gets SVIDs and tokens of its entries alone', async (t) => {
  const { join, entry, registry, store } = await openPort(t);
  const { joined, agent } = await join();
  assert.match(joined.id, /^spiffe:\/\/ilinux\.io\/spire\/agent\/join_token\/[0-9a-f]{32}$/);
  assert.equal(joined.reattestable, false);
  const [mine, others, local, orphan] = [
    await entry('mine', joined.id, { hint: 'h', dnsNames: ['mine.example'] }),
    await entry('others', 'spiffe://ilinux.io/spire/agent/join_token/other'),
    await entry('local', LOCAL),
    await entry('orphan', ''),
  ];
  const synced = await agent.sync();
  assert.deepEqual(idsOf(synced), [mine.id]);
  assert.partialDeepStrictEqual(synced.entries[0], {
    spiffeId: { trustDomain: 'ilinux.io', path: '/mine' },
    selectors: [{ type: 'unix', value: 'path:/bin/mine' }],
    ...{ hint: 'h', dnsNames: ['mine.example'], revisionNumber: 1n },
  });
  const params = [mine, others, local, orphan].map(({ id }) => ({ entryId: id, csr: makeCsr().csr }));
  const { results } = await agent.batch([...params, { entryId: mine.id, csr: Buffer.from('no CSR') }]);
  assert.deepEqual(
    results.map(({ status, svid }) => [status?.code, svid !== undefined]),
    [[0, true], ...[others, local, orphan].map(() => [NOT_FOUND, false]), [INVALID_ARGUMENT, false]],
  );
  const { svid } = results[0]!;
  const leaf = new X509Certificate(svid!.certChain[0]!);
  assert.equal(leaf.subjectAltName, 'URI:spiffe://ilinux.io/mine, DNS:mine.example');
  assert.equal(svid!.hint, 'h');
  const [record] = await store.issuances.newest({ limit: 1 });
  assert.equal(record!.serial, leaf.serialNumber.toLowerCase());
  assert.equal(record!.entryId, mine.id);
  const { svid: token } = await agent.jwt(mine.id, ['audience']);
  assert.partialDeepStrictEqual(token, { id: { path: '/mine' }, hint: 'h' });
  assert.ok(token!.expiresAt > token!.issuedAt && token!.issuedAt > 0n);
  await assert.rejects(agent.jwt(others.id, ['audience']), { code: NOT_FOUND });
  await assert.rejects(agent.jwt(mine.id, []), { code: INVALID_ARGUMENT });
  await agent.postStatus('1.13.3');
  assert.equal(registry.agents.get(joined.id)!.version, '1.13.3');
  await assert.rejects(agent.postStatus('\n'.repeat(100)), { code: INVALID_ARGUMENT });
});

test('without an SVID only AttestAgent and GetBundle are allowed; what does not exist is UNIMPLEMENTED', async (t) => {
  const { client, ca, entry, join } = await openPort(t);
  const stranger = client();
  const bundle = await stranger.bundle();
  assert.deepEqual(
    bundle.x509Authorities.map(({ asn1 }) => asn1),
    ca.bundle().x509Authorities,
  );
  assert.equal(bundle.jwtAuthorities.length, ca.bundle().jwtAuthorities.length);
  assert.ok(bundle.jwtAuthorities.every(({ keyId, publicKey }) => keyId !== '' && publicKey.length > 0));
  const one = await entry('one', LOCAL);
  for (const call of [
    stranger.sync(),
    stranger.renew(),
    stranger.postStatus('1'),
    stranger.batch([{ entryId: one.id, csr: makeCsr().csr }]),
    stranger.jwt(one.id, ['a']),
    stranger.federatedBundle('other.example'),
  ]) {
    await denied(call, undefined);
  }
  const { agent } = await join();
  const type = { encode: () => ({ finish: () => new Uint8Array() }), decode: () => ({}) };
  const unknown = agent.stream('/spire.api.server.agent.v1.Agent/ListAgents', type, type);
  unknown.write({});
  await assert.rejects(
    (async () => {
      for await (const _ of unknown.messages);
    })(),
    { code: UNIMPLEMENTED },
  );
});

test('a workload is no agent, although its SVID is good', async (t) => {
  const { join, entry, client } = await openPort(t);
  const { joined, agent } = await join();
  const { id } = await entry('mine', joined.id);
  const { csr, privateKey } = makeCsr();
  const { results } = await agent.batch([{ entryId: id, csr }]);
  const chain = results[0]!.svid!.certChain.map(
    (der) => `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`,
  );
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  await denied(client({ id: 'workload', key, chain: chain.join('') }).sync(), NOT_ATTESTED);
});

test('entries reach an agent by its alias, by node aliases and by other entries, and leave it with them', async (t) => {
  const { join, entry, registry } = await openPort(t);
  const { joined, agent } = await join('spiffe://ilinux.io/host');
  const byAlias = await entry('by-alias', 'spiffe://ilinux.io/host');
  const byEntry = await entry('by-entry', 'spiffe://ilinux.io/by-alias');
  const deep = await entry('deep', 'spiffe://ilinux.io/by-entry');
  const nodeAlias = await entry('fleet', SERVER, { selectors: [{ type: 'x509pop', value: 'subject:cn:other' }] });
  const ofFleet = await entry('of-fleet', 'spiffe://ilinux.io/fleet');
  // A loop ends.
  await entry('loop', 'spiffe://ilinux.io/loop');
  assert.deepEqual(idsOf(await agent.sync()), [byAlias.id, byEntry.id, deep.id].sort());
  await registry.agents.attested(
    {
      ...registry.agents.get(joined.id)!,
      selectors: [{ type: 'x509pop', value: 'subject:cn:other' }],
    },
    { kind: 'server' },
  );
  assert.deepEqual(idsOf(await agent.sync()), [byAlias.id, byEntry.id, deep.id, ofFleet.id].sort());
  await registry.delete(nodeAlias.id);
  await registry.delete(byAlias.id);
  assert.deepEqual(idsOf(await agent.sync()), []);
  const { results } = await agent.batch([deep, ofFleet].map(({ id }) => ({ entryId: id, csr: makeCsr().csr })));
  assert.deepEqual(
    results.map(({ status }) => status?.code),
    [NOT_FOUND, NOT_FOUND],
  );
});

test("no entry's SPIFFE ID leads an agent to the entries of the server's own host, or to node aliases", async (t) => {
  const { join, entry } = await openPort(t);
  const { joined, agent } = await join();
  const mine = [
    await entry('as-local', joined.id, { spiffeId: LOCAL as never }),
    await entry('as-server', joined.id, { spiffeId: 'spiffe://ilinux.io/sidekey/server' as never }),
  ];
  await entry('local', LOCAL);
  await entry('alias', 'spiffe://ilinux.io/sidekey/server', { selectors: [{ type: 'x509pop', value: 'a' }] });
  assert.deepEqual(idsOf(await agent.sync()), mine.map(({ id }) => id).sort());
});

test('templates and negative selectors, which agents do not know, are not for them', async (t) => {
  const { join, entry } = await openPort(t);
  const { joined, agent } = await join();
  await entry('negative', joined.id, {
    selectors: [
      { type: 'unix', value: 'path:/bin/a' },
      { type: 'unix', value: 'uid:0', negated: true },
    ],
  });
  await entry('template', joined.id, { spiffeId: 'spiffe://ilinux.io/{unix.user}' as never });
  assert.deepEqual(idsOf(await agent.sync()), []);
});

test('a token works once, also for several agents at the same time', async (t) => {
  const { registry, client, clock, refusals } = await openPort(t);
  const { text } = await registry.agents.createToken({ expiresAt: clock.now() + HOUR, alias: '' });
  const tries = await Promise.allSettled(Array.from({ length: 5 }, () => client().attest('join_token', text)));
  assert.deepEqual(tries.map(({ status }) => status).sort(), ['fulfilled', ...Array(4).fill('rejected')]);
  for (const one of tries) if (one.status === 'rejected') assert.equal(one.reason.code, INVALID_ARGUMENT);
  await assert.rejects(client().attest('join_token', text), { code: INVALID_ARGUMENT });
  assert.equal(registry.agents.list().length, 1);
  assert.ok(refusals.some(({ code, by }) => code === 'attestation' && by.kind === 'stranger'));
  for (const [type, payload] of [
    ['join_token', 'unknown'],
    ['x509pop', '{}'],
    ['k8s_psat', '{}'],
    ['', ''],
  ] as const) {
    await assert.rejects(client().attest(type, payload), { code: INVALID_ARGUMENT });
  }
  const bad = { csr: Buffer.alloc(100_000), privateKey: makeCsr().privateKey };
  const late = await registry.agents.createToken({ expiresAt: clock.now() + HOUR, alias: '' });
  await assert.rejects(client().attest('join_token', late.text, undefined, bad), { code: INVALID_ARGUMENT });
  await client().attest('join_token', late.text);
});

test('a renewed SVID counts from its first use, and the former one until then', async (t) => {
  const { join, client, registry } = await openPort(t);
  const { joined, agent } = await join();
  const renewed = await agent.renew();
  assert.equal(renewed.id, joined.id);
  await agent.sync();
  const next = client(renewed);
  await next.sync();
  await denied(agent.sync(), NOT_ACTIVE);
  await denied(agent.renew(), NOT_ACTIVE);
  await next.renew();
  assert.equal(registry.agents.get(joined.id)!.newSerial.length > 0, true);
});

test('a banned, evicted, expired or revoked agent is told why', async (t) => {
  const { join, registry, clock, entry, counts } = await openPort(t);
  const { joined, agent } = await join();
  const one = await entry('one', joined.id);
  await agent.sync();
  await registry.agents.ban(joined.id);
  await denied(agent.sync(), BANNED);
  await denied(agent.batch([{ entryId: one.id, csr: makeCsr().csr }]), BANNED);
  await denied(agent.renew(), BANNED);
  await registry.agents.evict(joined.id);
  await denied(agent.jwt(one.id, ['a']), NOT_ATTESTED);
  const revoked = await join();
  const { serial, notAfter } = registry.agents.get(revoked.joined.id)!;
  const what = { spiffeId: revoked.joined.id, entryId: '', authorityId: 'aa', notAfter, revokedAt: clock.now() };
  await registry.revocations.add([{ ...what, serial, reason: 'key-compromise' }]);
  await denied(revoked.agent.sync(), NOT_ACTIVE);
  assert.equal(counts.denied.get('banned'), 3);
});

test('an SVID that ends while its connection is open is refused', async (t) => {
  const { join, clock } = await openPort(t, { agentTtl: 30 });
  const { agent } = await join();
  await agent.sync();
  clock.advance(30_000);
  await denied(agent.sync(), EXPIRED);
});

test('the answer to a sync is held until something changes for the agent', async (t) => {
  const { join, entry, registry, clock, ca } = await openPort(t);
  const { joined, agent } = await join();
  assert.deepEqual(idsOf(await agent.sync()), []);
  /** The next answer, after `change` while it is held. */
  const after = async (change: () => Promise<unknown>) => {
    let isAnswered = false;
    const answer = agent.sync().finally(() => {
      isAnswered = true;
    });
    answer.catch(() => undefined);
    await sleep(100);
    assert.equal(isAnswered, false, 'it is held');
    await change();
    await sleep(20);
    clock.advance(20);
    return answer;
  };
  const made = { id: '' };
  const first = await after(async () => {
    made.id = (await entry('one', joined.id)).id;
  });
  assert.deepEqual(idsOf(first), [made.id]);
  const changed = await after(() => registry.update(made.id, { hint: 'new' }));
  assert.equal(changed.entries[0]!.revisionNumber, 2n);
  const replaced = await after(() => ca.rotate('intermediate'));
  assert.ok(replaced.entries[0]!.revisionNumber > 2n, 'its SVIDs are made anew');
  // What is not the agent's does not end the wait.
  const nothing = await after(async () => {
    await entry('other', 'spiffe://ilinux.io/other');
    clock.advance(25_000);
  });
  assert.equal(nothing.entries.length, 1);
  await entry('while-away', joined.id);
  assert.equal((await agent.sync()).entries.length, 2, 'what changed in between is answered at once');
  await denied(
    after(() => registry.agents.ban(joined.id)),
    BANNED,
  );
});

test('near its rotation an agent is not held', async (t) => {
  const { join, clock } = await openPort(t, { agentTtl: 60 });
  const { agent } = await join();
  await agent.sync();
  // The life of an SVID begins 30 s before it is made.
  clock.advance(10_000);
  await agent.sync();
});

test('more entries than one answer has come as revisions, and by their ids', async (t) => {
  const { join, registry, entry } = await openPort(t);
  const { joined, agent } = await join();
  const others = await entry('other', LOCAL);
  const { input } = await import('../registry/support.ts');
  const inputs = Array.from({ length: 1_201 }, (_, i) => input(`e${i}`, [`unix:path:/${i}`], { parentId: joined.id }));
  const made = await registry.create(inputs, 'api');
  const stream = agent.openSync();
  stream.write({ outputMask: undefined, ids: [] });
  const got = new Set<string>();
  let asked = false;
  for await (const { entryRevisions, entries, more } of stream.messages) {
    if (!asked) {
      assert.equal(entryRevisions.length, made.length);
      assert.equal(entries.length, 0);
      asked = true;
      stream.write({ outputMask: undefined, ids: [...made.map(({ id }) => id), others.id, 'unknown'] });
      continue;
    }
    assert.ok(entries.length <= 500);
    for (const { id } of entries) got.add(id);
    if (!more) break;
  }
  stream.cancel();
  assert.deepEqual([...got].sort(), made.map(({ id }) => id).sort());
});

test('a batch is limited', async (t) => {
  const { join, entry } = await openPort(t);
  const { joined, agent } = await join();
  const { id } = await entry('one', joined.id);
  const { csr } = makeCsr();
  await assert.rejects(agent.batch(Array.from({ length: 501 }, () => ({ entryId: id, csr }))), { code: EXHAUSTED });
  const { results } = await agent.batch(Array.from({ length: 500 }, () => ({ entryId: id, csr })));
  assert.ok(results.every(({ status, svid }) => status?.code === 0 && svid !== undefined));
  assert.equal(new Set(results.map(({ svid }) => svid!.certChain[0]!.toString('hex'))).size, 500);
  await agent.batch(Array.from({ length: 500 }, () => ({ entryId: id, csr })));
  await assert.rejects(agent.batch([{ entryId: id, csr }]), { code: EXHAUSTED });
  await assert.rejects(agent.batch([{ entryId: id, csr: Buffer.alloc(10_000_000) }]), { code: EXHAUSTED });
});

test("foreign bundles are given for the agent's entries that federate with them", async (t) => {
  const { join, entry, registry, ca } = await openPort(t);
  const { joined, agent } = await join();
  const [other, third] = ['other.example', 'third.example'].map(parseTrustDomain);
  const { x509Authorities, jwtAuthorities } = ca.bundle();
  const contents = { x509Authorities, jwtAuthorities, sequenceNumber: 7n, refreshHint: 60 };
  await entry('one', joined.id, { federatesWith: [other!] });
  await assert.rejects(agent.federatedBundle('other.example'), { code: NOT_FOUND });
  for (const name of [other!, third!]) await registry.federatedBundles.set(name, contents);
  const bundle = await agent.federatedBundle('other.example');
  assert.partialDeepStrictEqual(bundle, { trustDomain: 'other.example', sequenceNumber: 7n, refreshHint: 60n });
  await assert.rejects(agent.federatedBundle('third.example'), { code: NOT_FOUND });
});

test('the server shows its SVID, on record, and a new one after a change of the authority', async (t) => {
  const { ca, store, join, client } = await openPort(t);
  const ids = async () => (await store.issuances.newest({ limit: 10 })).map(({ spiffeId }) => spiffeId);
  assert.deepEqual(await ids(), [SERVER]);
  await ca.rotate('intermediate');
  for (let tries = 0; tries < 200 && (await ids()).length < 2; tries += 1) await sleep(10);
  assert.deepEqual(await ids(), [SERVER, SERVER]);
  await client().bundle();
  await join();
});

test('agents and their SVIDs survive a restart', async (t) => {
  const before = await openPort(t);
  const { joined, agent } = await before.join();
  const { id } = await before.entry('one', joined.id);
  await agent.sync();
  agent.close();
  await before.close();
  const after = await openPort(t, { dir: before.dir });
  assert.deepEqual(idsOf(await after.client(joined).sync()), [id]);
});

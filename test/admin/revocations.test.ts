/** Revocations over REST, over a registry that records them; the lists are not part of it. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { describe, type TestContext, test } from 'node:test';
import type { Refusal } from '../../src/audit/index.ts';
import type { IssuanceRecord } from '../../src/base/index.ts';
import type { RevocationProxy } from '../../src/revocation/index.ts';
import { call, entry, startAdmin } from './support.ts';

const HOUR = 3_600_000;

async function start(t: TestContext, more: Parameters<typeof startAdmin>[1] = {}) {
  const running = await startAdmin(t, more);
  const { socketPath, store, clock } = running;
  const issue = (serial: string, record: Partial<IssuanceRecord> = {}) =>
    store.issuances.recordIssuances([
      {
        kind: 'x509',
        serial,
        spiffeId: 'spiffe://ilinux.io/a',
        entryId: 'entry-a',
        authorityId: 'ab',
        notBefore: clock.now(),
        notAfter: clock.now() + HOUR,
        issuedAt: clock.now(),
        ...record,
      },
    ]);
  const revoke = (json: unknown) => call(socketPath, 'POST', '/v1/revocations', { json });
  const list = (query = '') => call(socketPath, 'GET', `/v1/revocations${query}`);
  return { ...running, issue, revoke, list };
}

function proxy(pid: number, state: RevocationProxy['state'], more: Partial<RevocationProxy> = {}): RevocationProxy {
  const since = state === 'refusing' ? 1_900_000_000_000 : undefined;
  return { pid, uid: 7, node: undefined, name: 'ROOTCA', state, since, rejection: undefined, ...more };
}

const serials = (revocations: readonly { serial: string }[]) => revocations.map(({ serial }) => serial);

describe('POST /v1/revocations', () => {
  test('revokes by serial number, by SPIFFE ID and by entry; again, it says so', async (t) => {
    const { issue, revoke, revoker, registry, clock } = await start(t);
    await issue('0a01');
    await issue('0a02', { spiffeId: 'spiffe://ilinux.io/b', entryId: 'entry-b' });
    await issue('0a03', { spiffeId: 'spiffe://ilinux.io/b' });
    await issue('0a04', { notAfter: clock.now() - 1 });
    await issue('0a05', { kind: 'jwt' });
    const one = await revoke({ serial: '0A:01', reason: 'key-compromise', now: true, wait: 1.5 });
    assert.equal(one.status, 200);
    assert.deepEqual(one.body, {
      revoked: [
        {
          serial: '0a01',
          spiffe_id: 'spiffe://ilinux.io/a',
          entry_id: 'entry-a',
          authority_id: 'ab',
          expires_at: new Date(clock.now() + HOUR).toISOString(),
          revoked_at: new Date(clock.now()).toISOString(),
          reason: 'key-compromise',
        },
      ],
      already: 0,
      replaced: { asked: 0, acknowledged: 0 },
      published_at: new Date(clock.now()).toISOString(),
      proxy_counts: { refusing: 0, informed: 0, waiting: 0, unreachable: 0 },
      proxies: [],
    });
    const by = { kind: 'unix', uid: process.getuid!(), pid: process.pid };
    assert.deepEqual(revoker.asked, [
      { target: { serial: '0a01' }, options: { reason: 'key-compromise', immediately: true, waitMs: 1_500, by } },
    ]);
    const byId = await revoke({ spiffe_id: 'spiffe://ilinux.io/b' });
    assert.deepEqual([serials(byId.body.revoked), byId.body.already], [['0a03', '0a02'], 0]);
    assert.deepEqual(revoker.asked[1]!.options, { reason: 'unspecified', immediately: false, waitMs: 0, by });
    const byEntry = await revoke({ entry_id: 'entry-a' });
    assert.deepEqual([byEntry.body.revoked, byEntry.body.already], [[], 2]);
    assert.equal(registry.revocations.size, 3);
    for (const target of [{ serial: '0a04' }, { serial: '0a05' }, { entry_id: 'entry-c' }]) {
      const { status, body } = await revoke(target);
      assert.deepEqual([status, body.code], [404, 'ERR_NOT_FOUND']);
    }
  });

  test('lists proxies that do not refuse first, at most 1,000, with the number of all', async (t) => {
    const { issue, revoke, revoker } = await start(t);
    await issue('0a01');
    revoker.state.proxies = [
      ...Array.from({ length: 1_200 }, (_, at) => proxy(at + 1, 'refusing')),
      proxy(5_001, 'unreachable'),
      proxy(5_002, 'waiting', { rejection: 'no', node: 'n' }),
    ];
    const { body } = await revoke({ serial: '0x0a01' });
    assert.deepEqual(body.proxy_counts, { refusing: 1_200, informed: 0, waiting: 1, unreachable: 1 });
    assert.equal(body.proxies.length, 1_000);
    const common = { uid: 7, name: 'ROOTCA' };
    assert.deepEqual(body.proxies.slice(0, 3), [
      { pid: 5_002, ...common, node_id: 'n', state: 'waiting', refusing_since: null, rejection: 'no' },
      { pid: 5_001, ...common, node_id: null, state: 'unreachable', refusing_since: null, rejection: null },
      {
        ...{ pid: 1, ...common, node_id: null, state: 'refusing', rejection: null },
        refusing_since: '2030-03-17T17:46:40.000Z',
      },
    ]);
  });

  const BAD: readonly (readonly [body: unknown, path: string, says: RegExp])[] = [
    [[], '', /not an object/],
    [{}, '', /names no certificate.*exactly one of serial, spiffe_id, entry_id/],
    [{ serial: '0a', entry_id: 'e' }, '', /it has serial and entry_id/],
    [{ serial: '123456' }, '/serial', /decimal/],
    [{ serial: 5 }, '/serial', /not a string/],
    [{ spiffe_id: 'spiffe://other.org/a' }, '/spiffe_id', /other\.org.*ilinux\.io only/],
    [{ spiffe_id: 'web' }, '/spiffe_id', /./],
    [{ spiffe_id: 7 }, '/spiffe_id', /./],
    [{ entry_id: '' }, '/entry_id', /1 to 255/],
    [{ entry_id: 'x'.repeat(256) }, '/entry_id', /1 to 255/],
    [{ serial: '0a', reason: 'key-compromised' }, '/reason', /did you mean key-compromise\?.*one of unspecified/],
    [{ serial: '0a', reason: 'toString' }, '/reason', /one of/],
    [{ serial: '0a', reason: 1 }, '/reason', /one of/],
    [{ serial: '0a', now: 'yes' }, '/now', /true or false/],
    [{ serial: '0a', wait: 21 }, '/wait', /0 to 20/],
    [{ serial: '0a', wait: -1 }, '/wait', /0 to 20/],
    [{ serial: '0a', wait: '5s' }, '/wait', /0 to 20/],
    [{ serial: '0a', why: 'x' }, '/why', /no such field/],
  ];
  for (const [json, path, says] of BAD) {
    test(`refuses ${JSON.stringify(json).slice(0, 60)}`, async (t) => {
      const { revoke, revoker } = await start(t);
      const { status, body } = await revoke(json);
      assert.deepEqual([status, body.code, body.errors[0].path], [400, 'ERR_BAD_INPUT', path]);
      assert.match(body.detail, says);
      assert.deepEqual(revoker.asked, []);
    });
  }

  test('that is not possible is refused with 409, which the audit counts', async (t) => {
    const refusals: Refusal[] = [];
    const { issue, revoke, revoker, registry } = await start(t, { onRefused: (one) => refusals.push(one) });
    await issue('0a01');
    revoker.state.problem = 'the root belongs to the upstream';
    const { status, body } = await revoke({ serial: '0a01' });
    assert.deepEqual([status, body.code, body.detail], [409, 'ERR_REVOCATION', 'the root belongs to the upstream']);
    assert.equal(registry.revocations.size, 0);
    assert.deepEqual(
      refusals.map(({ action, code, what }) => [action, code, what]),
      [['admin.refused', 'ERR_REVOCATION', 'POST /v1/revocations']],
    );
  });

  test('is an event, as is its undoing, and the audit finds both by the serial number', async (t) => {
    const { issue, revoke, socketPath } = await start(t);
    await issue('0a01');
    const request = httpRequest({ socketPath, path: '/v1/events', agent: false }).end();
    t.after(() => request.destroy());
    request.on('error', () => undefined);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    let text = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    await revoke({ serial: '0a01', reason: 'certificate-hold' });
    await call(socketPath, 'DELETE', '/v1/revocations/0a01');
    while (!text.includes('event: restored')) await once(response, 'data');
    const events = [...text.matchAll(/event: (\w+)\ndata: (.*)\n/g)].map(([, name, data]) => [name, JSON.parse(data!)]);
    const common = { serial: '0a01', spiffe_id: 'spiffe://ilinux.io/a', entry_id: 'entry-a' };
    assert.deepEqual(
      events.map(([name, { at: _, ...rest }]) => [name, rest]),
      ['revoked', 'restored'].map((name) => [name, { ...common, reason: 'certificate-hold' }]),
    );
    const { body } = await call(socketPath, 'GET', '/v1/audit?serial=0a01');
    const actor = { kind: 'unix', uid: process.getuid!(), pid: process.pid };
    for (const row of body.rows.slice(0, 2)) assert.deepEqual(row.actor, actor);
    assert.deepEqual(
      body.rows.map(({ action }: { action: string }) => action),
      ['svid.restored', 'svid.revoked', 'svid.issued'],
    );
  });
});

test('revocations over TCP need the role entries, and the audit has the token', async (t) => {
  const { issue, socketPath, tcp, registry } = await start(t);
  await issue('0a01');
  const make = async (role: string) => {
    const { body } = await call(socketPath, 'POST', '/v1/tokens', { json: { name: `of-${role}`, role } });
    return { authorization: `Bearer ${body.token}` };
  };
  const [reader, writer] = [await make('read'), await make('entries')];
  const json = { serial: '0a01', reason: 'certificate-hold' };
  const requests = [
    ['POST', '/v1/revocations', json],
    ['DELETE', '/v1/revocations/0a01', undefined],
  ] as const;
  for (const [method, url, json] of requests) {
    const refused = await call(tcp.port, method, url, { headers: reader, json });
    assert.deepEqual([refused.status, refused.body.needed_role], [403, 'entries']);
  }
  assert.equal((await call(tcp.port, 'GET', '/v1/revocations', { headers: reader })).status, 200);
  for (const [method, url, json] of requests) {
    assert.equal((await call(tcp.port, method, url, { headers: writer, json })).status, 200);
  }
  assert.equal(registry.revocations.size, 0);
  const { body } = await call(socketPath, 'GET', '/v1/audit?serial=0a01&limit=2');
  const actor = { kind: 'token', name: 'of-entries', role: 'entries', address: '127.0.0.1' };
  assert.deepEqual(
    body.rows.map((row: Record<string, unknown>) => [row.action, row.actor]),
    [
      ['svid.restored', actor],
      ['svid.revoked', actor],
    ],
  );
});

describe('GET /v1/revocations', () => {
  test('has revocations newest first in pages, the lists, the proxies, and why none is possible', async (t) => {
    const { issue, revoke, list, revoker, clock } = await start(t);
    for (const serial of ['0a01', '0a02', '0a03', '0a04', '0a05']) await issue(serial);
    await revoke({ serial: '0a03' });
    clock.advance(1);
    await revoke({ entry_id: 'entry-a' });
    revoker.state.problem = 'no key';
    revoker.state.proxies = [proxy(1, 'refusing')];
    revoker.state.lists = [
      { authorityId: 'ab', role: 'root', entries: 0, thisUpdate: 1_000, nextUpdate: 2_000 },
      { authorityId: 'cd', role: 'intermediate', entries: 5, thisUpdate: 3_000, nextUpdate: 4_000 },
    ];
    const { body: whole } = await list();
    assert.deepEqual(serials(whole.revocations), ['0a01', '0a02', '0a04', '0a05', '0a03']);
    assert.deepEqual([whole.total, whole.next_cursor, whole.why_not], [5, '', 'no key']);
    assert.deepEqual(whole.lists[1], {
      ...{ authority_id: 'cd', role: 'intermediate', entries: 5 },
      this_update: '1970-01-01T00:00:03.000Z',
      next_update: '1970-01-01T00:00:04.000Z',
    });
    assert.deepEqual(whole.proxy_counts, { refusing: 1, informed: 0, waiting: 0, unreachable: 0 });
    const paged: string[] = [];
    for (let cursor = ''; ; ) {
      const { body } = await list(`?limit=2&cursor=${cursor}`);
      assert.ok(body.revocations.length <= 2);
      paged.push(...serials(body.revocations));
      cursor = body.next_cursor;
      if (cursor === '') break;
    }
    assert.deepEqual(paged, serials(whole.revocations));
    for (const query of ['?cursor=x', '?cursor=MQ', '?limit=0', '?limit=1001', '?serial=0a01']) {
      assert.equal((await list(query)).status, 400, query);
    }
  });

  test('goes on after a page whose last revocation is gone in the meantime', async (t) => {
    const { issue, revoke, list, socketPath } = await start(t);
    for (const serial of ['0a01', '0a02', '0a03']) await issue(serial);
    await revoke({ entry_id: 'entry-a', reason: 'certificate-hold' });
    const { body: first } = await list('?limit=2');
    assert.deepEqual(serials(first.revocations), ['0a01', '0a02']);
    assert.equal((await call(socketPath, 'DELETE', '/v1/revocations/0a02')).status, 200);
    const { body: second } = await list(`?limit=2&cursor=${first.next_cursor}`);
    assert.deepEqual(serials(second.revocations), ['0a03']);
  });
});

describe('DELETE /v1/revocations/{serial}', () => {
  test('undoes a hold, in each form of the serial number, and no other revocation', async (t) => {
    const { issue, revoke, registry, socketPath } = await start(t);
    const undo = (serial: string, query = '') => call(socketPath, 'DELETE', `/v1/revocations/${serial}${query}`);
    await issue('0a01');
    await issue('0a02');
    await revoke({ serial: '0a01', reason: 'certificate-hold' });
    await revoke({ serial: '0a02', reason: 'key-compromise' });
    const { status, body } = await undo('0A:01', '?wait=1');
    assert.equal(status, 200);
    assert.deepEqual(serials(body.restored), ['0a01']);
    assert.deepEqual([(await undo('0a02')).status, (await undo('0a02')).body.code], [409, 'ERR_REVOCATION']);
    assert.deepEqual([(await undo('0a01')).status, (await undo('0a01')).body.code], [404, 'ERR_NOT_FOUND']);
    assert.equal((await undo('1234')).status, 400);
    assert.equal((await undo('0a02', '?wait=99')).status, 400);
    assert.deepEqual(serials(registry.revocations.list()), ['0a02']);
  });
});

describe('DELETE /v1/entries/{id}?revoke=REASON', () => {
  async function withEntry(t: TestContext) {
    const running = await start(t);
    await call(running.socketPath, 'POST', '/v1/entries', { json: entry('a', { id: 'entry-a' }) });
    const remove = (query: string, headers = {}) =>
      call(running.socketPath, 'DELETE', `/v1/entries/entry-a${query}`, { headers });
    return { ...running, remove };
  }

  test('revokes before it deletes, and what was issued in the meantime after it', async (t) => {
    const { issue, remove, registry, revoker } = await withEntry(t);
    await issue('0a01');
    let entries: number | undefined;
    revoker.onRevoked = async () => {
      entries ??= registry.size;
      if (registry.size === 1) await issue('0a02');
    };
    const { status, body } = await remove('?revoke=privilege-withdrawn&wait=2');
    assert.equal(status, 200);
    assert.equal(entries, 1, 'the entry stood when its certificate was revoked');
    assert.equal(registry.size, 0);
    assert.deepEqual(serials(body.revoked), ['0a01', '0a02']);
    assert.deepEqual(
      [body.already, registry.revocations.list().map(({ reason }) => reason)],
      [0, ['privilege-withdrawn', 'privilege-withdrawn']],
    );
    assert.deepEqual(
      revoker.asked.map(({ target, options }) => [target, options.immediately, options.waitMs]),
      [0, 2_000].map((wait) => [{ entryId: 'entry-a' }, true, wait]),
    );
  });

  test('deletes an entry without certificates, and says that nothing was revoked', async (t) => {
    const { remove, registry, revoker } = await withEntry(t);
    revoker.state.proxies = [proxy(1, 'refusing')];
    const { status, body } = await remove('?revoke=unspecified');
    assert.deepEqual([status, body.revoked, body.published_at, body.proxies.length], [200, [], null, 1]);
    assert.equal(registry.size, 0);
  });

  test('changes nothing if revoking is not possible, or the entry is another one', async (t) => {
    const { issue, remove, registry, revoker, socketPath } = await withEntry(t);
    await issue('0a01');
    assert.equal((await remove('?revoke=unspecified', { 'if-match': '7' })).status, 412);
    assert.equal((await remove('?revoke=soon')).status, 400);
    assert.equal((await remove('?wait=1')).status, 400);
    const other = await call(socketPath, 'DELETE', '/v1/entries/other?revoke=unspecified');
    assert.equal(other.status, 404);
    assert.deepEqual(revoker.asked, []);
    revoker.state.problem = 'no key';
    assert.equal((await remove('?revoke=unspecified')).status, 409);
    assert.deepEqual([registry.size, registry.revocations.size], [1, 0]);
    revoker.state.problem = undefined;
    assert.equal((await remove('?revoke=unspecified', { 'if-match': '1' })).status, 200);
    assert.deepEqual([registry.size, registry.revocations.size], [0, 1]);
  });

  test('without revoke answers 204 and revokes nothing', async (t) => {
    const { issue, remove, registry, revoker } = await withEntry(t);
    await issue('0a01');
    assert.equal((await remove('')).status, 204);
    assert.deepEqual([registry.size, revoker.asked], [0, []]);
  });
});

/** What the page follows: a whole server on real sockets, and clients of its pipe. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { MOST_OF_TEXT } from '../../src/admin/page/cut.ts';
import type { OverviewJson, PageChangesJson } from '../../src/admin/page/live-schema.ts';
import { MESSAGE_MS } from '../../src/admin/page/live-view.ts';
import { connectAdmin } from '../../src/client/client.ts';
import { type InnerServer, startInnerServer } from '../support/inner-server.ts';
import { call, startAdmin } from './support.ts';

const WEB = 'spiffe://ilinux.io/web';
const API = 'spiffe://ilinux.io/api';

interface Message {
  readonly event: string;
  readonly id: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into messages freely
  readonly data: any;
}

/** The messages of a reader, and its end. */
async function follow(t: TestContext, socketPath: string, lastEventId?: string) {
  const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId };
  const request = get({ socketPath, path: '/v1/page/events', headers, agent: false });
  t.after(() => request.destroy());
  request.on('error', () => undefined);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  assert.equal(response.statusCode, 200);
  const messages = read(response);
  const hello = (await messages.next()).value!;
  assert.equal(hello.event, 'hello');
  return { hello, messages, close: () => request.destroy() };
}

async function* read(response: IncomingMessage): AsyncGenerator<Message> {
  let rest = '';
  for await (const text of response.setEncoding('utf8')) {
    const parts = (rest + text).split('\n\n');
    rest = parts.pop()!;
    for (const part of parts) {
      const fields = Object.fromEntries(
        part.split('\n').map((line) => [line.split(': ', 1)[0], line.slice(line.indexOf(': ') + 2)]),
      );
      if (fields.event !== undefined) yield { event: fields.event, id: fields.id!, data: JSON.parse(fields.data!) };
    }
  }
}

/** Lets the server's clock run until a message has what is looked for. */
async function until(
  { clock }: Pick<InnerServer, 'clock'>,
  messages: AsyncGenerator<Message>,
  is: (data: PageChangesJson) => boolean,
): Promise<PageChangesJson> {
  const ticking = setInterval(() => clock.advance(MESSAGE_MS), 5);
  try {
    for await (const { data } of messages) if (is(data)) return data;
  } finally {
    clearInterval(ticking);
  }
  return assert.fail('the stream has ended');
}

/** As `for await` would, but leaves the stream open. */
function open(messages: AsyncGenerator<Message>): AsyncGenerator<Message> {
  return {
    ...messages,
    next: () => messages.next(),
    [Symbol.asyncIterator]() {
      return this;
    },
    return: async (value) => ({ done: true, value }),
  } as AsyncGenerator<Message>;
}

describe('what the page follows', { timeout: 60_000 }, () => {
  it('is a row for each proxy, as it changes, and counts', async (t) => {
    const server = await startInnerServer(t);
    const { adminSocket, connect, create } = server;
    const { hello, messages } = await follow(t, adminSocket);
    const all = open(messages);
    assert.equal(hello.data.resumed, false);
    const client = connect();
    const stream = client.stream();
    t.after(() => stream.cancel());
    stream.ask(WEB);
    const held = await until(server, all, ({ rows }) => rows[0]?.state === 'held' && rows[0].problem !== null);
    const [row] = held.rows;
    assert.deepEqual(
      [row!.pid, row!.uid, row!.node_id, row!.services],
      [process.pid, process.getuid!(), 'test', ['sds']],
    );
    assert.deepEqual(row!.secrets, { held: 1 });
    assert.match(row!.problem!, /no entry gives/);
    assert.deepEqual(held.counts, { proxies: { held: 1 }, secrets: { held: 1 }, streams: 1 });
    const id = await create(WEB);
    const response = await stream.next();
    stream.ack(response);
    const synced = await until(server, all, ({ rows }) => rows[0]?.state === 'in_sync');
    assert.deepEqual([synced.rows[0]!.spiffe_id, synced.rows[0]!.spiffe_ids], [WEB, 1]);
    assert.ok(synced.rows[0]!.expires_at! > '2026-06-01T12');
    assert.deepEqual(synced.counts.proxies, { in_sync: 1 });
    stream.cancel();
    const gone = await until(server, all, (data) => data.gone.length > 0);
    assert.deepEqual(gone.gone, [row!.connection]);
    assert.deepEqual(gone.counts, { proxies: {}, secrets: {}, streams: 0 });
    const { body } = await call(adminSocket, 'GET', '/v1/page/overview');
    const overview = body as OverviewJson;
    assert.deepEqual([overview.trust_domain, overview.entries], ['ilinux.io', 1]);
    const told = overview.events.map(({ type, id: of }) => [type, of]).toReversed();
    assert.deepEqual(
      told.filter(([type]) => type === 'entry_created'),
      [['entry_created', id]],
    );
    for (const type of ['stream_opened', 'held', 'stream_closed'])
      assert.ok(
        told.some(([one]) => one === type),
        type,
      );
    assert.deepEqual(overview.authorities.map(({ role }) => role).slice(0, 2), ['root', 'intermediate']);
    assert.ok(Array.isArray(overview.findings!.list));
  });

  it('is whole in one list, and what is not answered becomes stale', async (t) => {
    const server = await startInnerServer(t);
    const { adminSocket, connect, create, clock } = server;
    await create(WEB);
    const stream = connect().stream();
    t.after(() => stream.cancel());
    stream.ask(WEB);
    await stream.next();
    const rowsNow = async () => (await call(adminSocket, 'GET', '/v1/page/proxies')).body.rows;
    const [row] = await rowsNow();
    assert.deepEqual(row.secrets, { sent: 1 });
    const { messages } = await follow(t, adminSocket);
    clock.advance(29_000);
    const stale = await until(server, open(messages), ({ rows }) => rows[0]?.state === 'stale');
    assert.deepEqual(
      stale.rows.map(({ connection }) => connection),
      [row.connection],
    );
    assert.deepEqual((await rowsNow())[0].state, 'stale');
    const { body } = await call(adminSocket, 'GET', `/v1/proxies?connection=${row.connection}`);
    assert.deepEqual(
      body.proxies.map(({ connection }: { connection: string }) => connection),
      [row.connection],
    );
    const none = await call(adminSocket, 'GET', '/v1/proxies?connection=pipe-0');
    assert.deepEqual(none.body.proxies, []);
  });

  it('merges any number of changes into one message for each row', async (t) => {
    const server = await startInnerServer(t);
    const { adminSocket, clock, connect } = server;
    const { messages } = await follow(t, adminSocket);
    const all = open(messages);
    const stream = connect().stream();
    t.after(() => stream.cancel());
    stream.ask(WEB);
    await until(server, all, ({ rows }) => rows.length === 1 && rows[0]!.secrets.held === 1);
    const before = (await call(adminSocket, 'GET', '/v1/page/proxies')).body.cursor;
    for (let count = 0; count < 50; count += 1) {
      const { id } = await connectAdmin({ socketPath: adminSocket }).json<{ id: string }>('POST', '/v1/entries', {
        body: { spiffe_id: API, selectors: [{ type: 'unix', value: 'uid:4242' }] },
      });
      await call(adminSocket, 'DELETE', `/v1/entries/${id}`);
    }
    // The clock stands still, so there is no message yet.
    clock.advance(MESSAGE_MS);
    const { value } = await all.next();
    assert.deepEqual([value.data.cursor, value.data.events.length, value.data.lost], [before + 1, 10, 90]);
    assert.deepEqual(value.data.changed, ['entries']);
  });

  it('says whether a reader that comes back has missed something', async (t) => {
    const server = await startInnerServer(t);
    const { adminSocket, clock, create } = server;
    const first = await follow(t, adminSocket);
    first.close();
    assert.equal((await follow(t, adminSocket, first.hello.id)).hello.data.resumed, true);
    await create(WEB);
    clock.advance(MESSAGE_MS);
    const missed = await follow(t, adminSocket, first.hello.id);
    assert.equal(missed.hello.data.resumed, false);
    assert.equal(missed.hello.data.instance, first.hello.data.instance);
    assert.equal((await follow(t, adminSocket, 'another-1')).hello.data.resumed, false);
  });

  it('knows after a minute without readers that it knows nothing', async (t) => {
    const { adminSocket, clock } = await startInnerServer(t);
    const first = await follow(t, adminSocket);
    first.close();
    // Until the server has seen it go.
    for (;;) {
      clock.advance(60_000);
      const again = await follow(t, adminSocket, first.hello.id);
      again.close();
      if (again.hello.data.resumed === false) return;
    }
  });

  it('has texts of others cut, whatever they are', async (t) => {
    const server = await startInnerServer(t);
    const { adminSocket, connect } = server;
    const name = `<img src=x onerror=alert(1)>\u202e${'🤯'.repeat(50_000)}`;
    const stream = connect().stream();
    t.after(() => stream.cancel());
    stream.send({ resourceNames: [WEB], node: { id: name, cluster: 'x' } });
    for (;;) {
      const { body, text } = await call(adminSocket, 'GET', '/v1/page/proxies');
      const [row] = body.rows;
      if (row?.node_id === undefined || row.node_id === null) continue;
      assert.ok(row.node_id.length <= MOST_OF_TEXT + 1, String(row.node_id.length));
      assert.ok(row.node_id.isWellFormed());
      assert.ok(text.length < 4_000);
      return;
    }
  });
});

describe('POST /v1/entries/preview', { timeout: 60_000 }, () => {
  it('says who would gain and lose, and writes nothing', async (t) => {
    const { adminSocket, connect, create } = await startInnerServer(t);
    const ask = (json: object) => call(adminSocket, 'POST', '/v1/entries/preview', { json });
    const id = await create(WEB);
    const stream = connect().stream();
    t.after(() => stream.cancel());
    stream.ask(WEB);
    await stream.next();
    const mine = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
    const created = await ask({ create: { spiffe_id: API, selectors: mine } });
    assert.equal(created.status, 200, created.text);
    assert.deepEqual([created.body.before, created.body.after.spiffe_id], [null, API]);
    assert.deepEqual(
      created.body.effects.callers.map(({ pid, gained, lost }: never) => [pid, gained, lost]),
      [[process.pid, [API], []]],
    );
    const updated = await ask({ update: { id, revision_number: 1, patch: { x509_svid_ttl: 600 } } });
    assert.deepEqual(
      updated.body.fields.map(({ name, after }: never) => [name, after]),
      [['x509_svid_ttl', 600]],
    );
    assert.deepEqual(updated.body.effects.callers[0].changed, [WEB]);
    const deleted = await ask({ delete: { id } });
    assert.deepEqual([deleted.body.after, deleted.body.effects.callers[0].lost], [null, [WEB]]);
    const { body } = await call(adminSocket, 'GET', '/v1/entries');
    assert.deepEqual(
      body.entries.map(({ id: one, revision_number: revision }: never) => [one, revision]),
      [[id, 1]],
    );
  });

  it('lets a reader not guess the values of variables', async (t) => {
    const { socketPath, tcp } = await startAdmin(t);
    const guess = { type: 'docker', value: 'env:PASSWORD=guess' };
    const selectors = [{ type: 'unix', value: 'uid:1' }];
    const create = (more: object) => ({ create: { spiffe_id: WEB, selectors: [...selectors, more] } });
    const { body: stored } = await call(socketPath, 'POST', '/v1/entries', {
      json: { spiffe_id: API, selectors: [...selectors, guess] },
    });
    const asks: [object, number][] = [
      [create(guess), 403],
      [{ create: { spiffe_id: WEB, selectors: ['docker:label:app:a', '!docker:env:PASSWORD=guess'] } }, 403],
      [{ update: { id: stored.id, patch: { selectors: [guess] } } }, 200],
      [{ update: { id: stored.id, patch: { selectors: [{ ...guess, value: 'env:PASSWORD=other' }] } } }, 403],
      [{ delete: { id: stored.id } }, 200],
    ];
    for (const role of ['read', 'entries'] as const) {
      const { body } = await call(socketPath, 'POST', '/v1/tokens', { json: { name: role, role } });
      for (const [json, status] of asks) {
        const headers = { authorization: `Bearer ${body.token}` };
        const answer = await call(tcp.port, 'POST', '/v1/entries/preview', { json, headers });
        const expected = role === 'entries' && status === 403 ? 200 : status;
        assert.equal(answer.status, expected, `${role} ${JSON.stringify(json)}: ${answer.text}`);
        if (expected === 403) assert.equal(answer.body.needed_role, 'entries');
      }
    }
  });

  it('refuses what the write would refuse', async (t) => {
    const { socketPath } = await startAdmin(t);
    const mine = [{ type: 'unix', value: 'uid:1' }];
    const { body: entry } = await call(socketPath, 'POST', '/v1/entries', {
      json: { spiffe_id: WEB, selectors: mine },
    });
    const cases: [unknown, number, string, string?][] = [
      [{ create: { spiffe_id: WEB, selectors: mine } }, 409, 'ERR_ENTRY_EXISTS'],
      [{ create: { spiffe_id: 'web', selectors: mine } }, 400, 'ERR_BAD_INPUT', '/create/spiffe_id'],
      [{ update: { id: entry.id, patch: { colour: 1 } } }, 400, 'ERR_BAD_INPUT', '/update/patch/colour'],
      [{ update: { id: entry.id, revision_number: 7, patch: {} } }, 412, 'ERR_REVISION'],
      [{ delete: { id: 'none' } }, 404, 'ERR_NOT_FOUND'],
      [{ delete: { id: 7 } }, 400, 'ERR_BAD_INPUT', '/delete/id'],
      [{ delete: { id: entry.id, wait: 1 } }, 400, 'ERR_BAD_INPUT', '/delete/wait'],
      [{ delete: { id: entry.id }, create: {} }, 400, 'ERR_BAD_INPUT', ''],
      [{}, 400, 'ERR_BAD_INPUT', ''],
      [[], 400, 'ERR_BAD_INPUT', ''],
    ];
    for (const [json, status, code, path] of cases) {
      const { body, ...answer } = await call(socketPath, 'POST', '/v1/entries/preview', { json });
      assert.deepEqual([answer.status, body.code], [status, code], answer.text);
      if (path !== undefined) assert.equal(body.errors[0].path, path);
    }
  });
});

describe('GET /v1/issuances', { timeout: 60_000 }, () => {
  it('finds what was issued', async (t) => {
    const { adminSocket, connect, create } = await startInnerServer(t);
    const id = await create(WEB);
    const stream = connect().stream();
    t.after(() => stream.cancel());
    stream.ask(WEB);
    await stream.next();
    const found = async (query: string) => (await call(adminSocket, 'GET', `/v1/issuances?${query}`)).body.issuances;
    const [one] = await found('');
    assert.deepEqual([one.spiffe_id, one.entry_id, one.kind, one.revoked], [WEB, id, 'x509', false]);
    for (const query of [
      ...[`spiffe_id=${WEB}`, 'spiffe_id=spiffe://ilinux.io/*', `serial=${one.serial.toUpperCase()}`, `entry_id=${id}`],
      ...['kind=x509', 'since=2026-06-01T12:00:00Z', 'until=2026-06-01T12:00:01Z'],
    ]) {
      assert.deepEqual(await found(query), [one], query);
    }
    for (const query of [
      `spiffe_id=${API}`,
      'spiffe_id=spiffe://ilinux.io/x*',
      'kind=jwt',
      'until=2026-06-01T12:00:00Z',
    ]) {
      assert.deepEqual(await found(query), [], query);
    }
    for (const query of ['serial=x', 'since=yesterday', 'kind=ssh', 'cursor=0']) {
      assert.equal((await call(adminSocket, 'GET', `/v1/issuances?${query}`)).body.code, 'ERR_BAD_INPUT', query);
    }
    await call(adminSocket, 'POST', '/v1/revocations', { json: { serial: one.serial } });
    assert.equal((await found('kind=x509')).at(-1).revoked, true);
  });
});

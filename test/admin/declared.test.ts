/** `PUT /v1/entries`: large bodies, what stays, what is taken over, and what a dry run tells. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import Value from 'typebox/value';
import { SOURCE_CHANGES } from '../../src/admin/schema.ts';
import { Turnstile } from '../../src/admin/turnstile.ts';
import { call, entry, startAdmin } from './support.ts';

async function start(t: TestContext) {
  const running = await startAdmin(t);
  const put = (entries: readonly unknown[], query = '', source = 'ci') =>
    call(running.socketPath, 'PUT', `/v1/entries${query}`, { json: { source, entries } });
  return { ...running, put };
}

const names = (entries: readonly { spiffe_id: string }[]) =>
  entries.map(({ spiffe_id }) => spiffe_id.split('/').at(-1));

describe('PUT /v1/entries', () => {
  test('takes ten thousand entries, which are more than other bodies may have', { timeout: 60_000 }, async (t) => {
    const { put, registry, socketPath } = await start(t);
    const entries = Array.from({ length: 10_000 }, (_, n) => entry(`e${n}`, { hint: 'x'.repeat(100) }));
    const size = JSON.stringify({ source: 'ci', entries }).length;
    assert.ok(size > 1024 * 1024);
    const post = await call(socketPath, 'POST', '/v1/entries', { json: { entries } });
    assert.deepEqual([post.status, post.body.code], [413, 'ERR_TOO_LARGE']);
    assert.match(post.body.detail, /at most 1048576 bytes/);
    const first = await put(entries);
    assert.deepEqual([first.status, first.body.created.length, registry.size], [200, 10_000, 10_000]);
    const again = await put(entries);
    assert.deepEqual([again.body.kept.length, again.body.changed.length], [10_000, 0]);
  });

  test('refuses a body that is larger than its limit', async (t) => {
    const { socketPath } = await start(t);
    const headers = { 'content-type': 'application/json', 'content-length': String(32 * 1024 * 1024 + 1) };
    const { status, body } = await call(socketPath, 'PUT', '/v1/entries', { headers });
    assert.deepEqual([status, body.code], [413, 'ERR_TOO_LARGE']);
    assert.match(body.detail, /at most 33554432 bytes/);
  });

  test('refuses an entry, and members beside the list, that are too large to be parsed in one go', async (t) => {
    const { put, socketPath, registry } = await start(t);
    const many = Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`member${n}`, 1]));
    const element = await put([entry('a'), many]);
    assert.deepEqual([element.status, element.body.code], [400, 'ERR_BAD_JSON']);
    assert.match(element.body.detail, /^\/entries\/1: it has \d+ characters, and 65536 is the limit/);
    const beside = await call(socketPath, 'PUT', '/v1/entries', { json: { source: 'ci', entries: [], ...many } });
    assert.deepEqual([beside.status, beside.body.code], [400, 'ERR_BAD_JSON']);
    assert.equal(registry.size, 0);
  });

  test('tells at most 100 unknown members', async (t) => {
    const { socketPath } = await start(t);
    const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`member${n}`, 1]));
    for (const [method, json] of [
      ['PUT', { source: 'ci', entries: [], ...many }],
      ['POST', { entries: [], ...many }],
    ] as const) {
      const { status, body } = await call(socketPath, method, '/v1/entries', { json });
      assert.deepEqual([status, body.errors.length], [400, 100], method);
    }
  });

  test('refuses a body that is no JSON, or another media type', async (t) => {
    const { socketPath } = await start(t);
    const headers = { 'content-type': 'application/json' };
    for (const raw of ['{"source":"ci","entries":[{}', Buffer.from([0x7b, 0xff]), '{"entries":[],"entries":[]}']) {
      const { status, body } = await call(socketPath, 'PUT', '/v1/entries', { headers, raw });
      assert.deepEqual([status, body.code], [400, 'ERR_BAD_JSON']);
    }
    const other = await call(socketPath, 'PUT', '/v1/entries', { headers: { 'content-type': 'text/yaml' }, raw: 'a' });
    assert.deepEqual([other.status, other.body.code], [415, 'ERR_MEDIA_TYPE']);
    const nothing = await call(socketPath, 'PUT', '/v1/entries', { headers });
    assert.deepEqual([nothing.status, nothing.body.code], [400, 'ERR_BAD_INPUT']);
  });

  test('keeps what is absent with prune=false, and tells each changed field', async (t) => {
    const { put, registry } = await start(t);
    await put([entry('a'), entry('b', { dns_names: ['old.example'] })]);
    const { body } = await put([entry('b', { dns_names: ['new.example'], hint: 'h' })], '?prune=false');
    assert.deepEqual([names(body.absent), names(body.changed), body.deleted], [['a'], ['b'], []]);
    assert.deepEqual(body.differences, [
      {
        id: body.changed[0].id,
        spiffe_id: 'spiffe://ilinux.io/b',
        fields: [
          { name: 'dns_names', before: ['old.example'], after: ['new.example'] },
          { name: 'hint', before: '', after: 'h' },
        ],
      },
    ]);
    assert.ok(Value.Check(SOURCE_CHANGES, body));
    assert.equal(registry.size, 2);
  });

  test('takes over with adopt=true what it would otherwise duplicate or refuse', async (t) => {
    const { put, registry, socketPath } = await start(t);
    const { body: made } = await call(socketPath, 'POST', '/v1/entries', { json: entry('a', { id: 'a-1' }) });
    const twin = await put([entry('a')], '?dry_run=true');
    assert.match(twin.body.warnings[0].problem, /entry a-1 of the source "api" has the same SPIFFE ID/);
    assert.equal(twin.body.warnings[0].path, '/entries/0');
    const refused = await put([{ ...made, hint: 'new' }]);
    assert.deepEqual([refused.status, refused.body.code], [409, 'ERR_ENTRY_EXISTS']);
    assert.deepEqual(
      [refused.body.errors[0].path, refused.body.index, refused.body.entry.id],
      ['/entries/0', 0, 'a-1'],
    );
    assert.deepEqual(names((await put([made])).body.kept), ['a']);
    const { body } = await put([{ ...made, hint: 'new' }], '?adopt=true');
    assert.deepEqual(
      body.differences[0].fields.map(({ name }: { name: string }) => name),
      ['hint', 'source'],
    );
    assert.equal(registry.get('a-1')!.source, 'ci');
  });

  test('refuses unknown switches, and names two entries that are the same', async (t) => {
    const { put, registry } = await start(t);
    for (const [query, path] of [
      ['?prun=true', '?prun'],
      ['?prune=maybe', '?prune'],
      ['?adopt=1', '?adopt'],
    ] as const) {
      const { status, body } = await put([entry('a')], query);
      assert.deepEqual([status, body.errors[0].path], [400, path]);
    }
    const { status, body } = await put([entry('a'), entry('b'), entry('a')]);
    assert.deepEqual(
      [status, body.errors[0].path, body.errors[0].problem],
      [409, '/entries/2', 'it is the same as /entries/0'],
    );
    assert.equal(registry.size, 0);
  });

  test('lets one sender have a number of requests inside and waiting', async () => {
    const turnstile = new Turnstile(1);
    const leave = await turnstile.enter('token:ci');
    const waiting = Array.from({ length: 7 }, () => turnstile.enter('token:ci'));
    await assert.rejects(turnstile.enter('token:ci'), /token:ci run or wait already/);
    const other = turnstile.enter('unix:0');
    leave();
    leave();
    for (const one of waiting) (await one)();
    (await other)();
    (await turnstile.enter('token:ci'))();
  });

  test('lets a number of requests at once read their bodies, and the others in their order', async (t) => {
    const turnstile = new Turnstile(2);
    const [first] = await Promise.all([turnstile.enter(), turnstile.enter()]);
    const order: number[] = [];
    const third = turnstile.enter().then((leave) => {
      order.push(3);
      return leave;
    });
    const fourth = turnstile.enter().then(() => order.push(4));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(order, []);
    first!();
    first!();
    const leave = await third;
    assert.deepEqual(order, [3]);
    leave();
    await fourth;
    assert.deepEqual(order, [3, 4]);
    // Through the API: many at once are all answered.
    const { put } = await start(t);
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, n) => put([entry(`e${n}`)], '?prune=false', `s${n}`)),
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      Array(8).fill(200),
    );
  });

  test('a client that leaves while it waits for others takes no turn', { timeout: 30_000 }, async (t) => {
    const { put, socketPath } = await start(t);
    const head =
      'PUT /v1/entries HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99\r\n';
    const open = async () => {
      const socket = connect(socketPath);
      await once(socket, 'connect');
      // The server answers when it has read the headers.
      socket.write(`${head}expect: 100-continue\r\n\r\n`);
      await once(socket, 'data');
      return socket;
    };
    const leave = async (socket: Socket) => {
      socket.destroy();
      await once(socket, 'close');
    };
    const reading = await Promise.all(Array.from({ length: 8 }, open));
    const waiting = await Promise.all(Array.from({ length: 8 }, open));
    for (const socket of [...waiting, ...reading]) await leave(socket);
    assert.equal((await put([entry('a')])).status, 200);
  });
});

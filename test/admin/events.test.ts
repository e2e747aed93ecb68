/** Events as they happen: who hears what, and who is let go. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { HEARTBEAT_MS, MAX_READERS, MAX_WAITING } from '../../src/admin/event-readers.ts';
import type { Peer } from '../../src/attest/index.ts';
import { type AdminEvent, connectAdmin } from '../../src/client/client.ts';
import { Ledger } from '../../src/delivery/ledger.ts';
import type { StreamEvent } from '../../src/delivery/stream-event.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { startInnerServer } from '../support/inner-server.ts';
import { serve } from '../support/serve.ts';
import { call, entry, startAdmin, TOKEN } from './support.ts';

const WEB = 'spiffe://ilinux.io/web';

/** The next events, by name and data, until one of this name. */
async function until(events: AsyncIterator<AdminEvent>, name: string): Promise<AdminEvent[]> {
  const told: AdminEvent[] = [];
  for (;;) {
    const { value, done } = await events.next();
    if (done === true) throw new Error(`it ended before ${name}`);
    told.push(value);
    if (value.event === name) return told;
  }
}

/** An answer that nobody reads yet. */
async function read(t: TestContext, where: string | number, headers = {}): Promise<IncomingMessage> {
  const place = typeof where === 'string' ? { socketPath: where } : { host: '127.0.0.1', port: where };
  const request = httpRequest({ ...place, path: '/v1/events', headers, agent: false }).end();
  t.after(() => request.destroy());
  request.on('error', () => undefined);
  const [response] = await once(request, 'response');
  return response;
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) text += chunk;
  return text;
}

function held(name: string): StreamEvent {
  const peer = { id: 'pipe-1', credentials: { pid: 1, uid: 2, gid: 3 } } as Peer;
  return { type: 'held', at: 0, stream: 1, peer, pid: 1, uid: 2, node: undefined, names: [name], detail: 'no-entry' };
}

describe('GET /v1/events', { timeout: 60_000 }, () => {
  it('tells what happens on streams, to entries and in the authority, in order', async (t) => {
    const { admin, connect, create } = await startInnerServer(t);
    const events = (await admin.events())[Symbol.asyncIterator]();
    const stream = connect().delta();
    stream.ask(WEB);
    const toHeld = await until(events, 'held');
    assert.deepEqual(
      toHeld.map(({ event }) => event),
      ['stream_opened', 'held'],
    );
    const { stream: number, ...rest } = toHeld[1]!.data as Record<string, unknown>;
    const at = '2026-06-01T12:00:00.000Z';
    const who = { at, pid: process.pid, uid: process.getuid!(), node_id: 'test' };
    assert.deepEqual(rest, { ...who, names: [WEB], detail: 'no-entry' });

    const id = await create(WEB);
    const response = await stream.next();
    stream.ack(response);
    const toAcked = await until(events, 'acked');
    assert.deepEqual(
      toAcked.map(({ event }) => event),
      ['entry_created', 'issued', 'sent', 'acked'],
    );
    assert.deepEqual(toAcked[0]!.data, { at, id, spiffe_id: WEB, source: 'api', revision_number: 1 });
    const issued = toAcked[1]!.data as Record<string, unknown>;
    assert.deepEqual([issued.entry_id, issued.spiffe_id, issued.expires_at], [id, WEB, '2026-06-01T13:00:00.000Z']);
    assert.deepEqual(toAcked[2]!.data, { ...who, stream: number, names: [WEB], detail: response.systemVersionInfo });

    await admin.json('PATCH', `/v1/entries/${id}`, { body: { hint: 'default', dns_names: ['web.example'] } });
    stream.nack(await stream.next(), 'no such key');
    const toRejected = await until(events, 'rejected');
    assert.equal(toRejected[0]!.event, 'entry_changed');
    assert.equal((toRejected.at(-1)!.data as { detail: string }).detail, 'no such key');

    await admin.text('DELETE', `/v1/entries/${id}`);
    stream.ack(await stream.next());
    assert.deepEqual(
      (await until(events, 'removed')).map(({ event }) => event),
      ['entry_deleted', 'held', 'removed'],
    );
    stream.cancel();
    await until(events, 'stream_closed');
    await events.return!();
  });

  it('tells an entry that expires from one that is deleted', async (t) => {
    const { registry, clock, socketPath } = await startAdmin(t);
    const events = (await connectAdmin({ socketPath }).events())[Symbol.asyncIterator]();
    const expiresAt = new Date(clock.now() + 60_000).toISOString();
    await call(socketPath, 'POST', '/v1/entries', { json: entry('web', { expires_at: expiresAt }) });
    await until(events, 'entry_created');
    clock.advance(60_000);
    const [expired] = await until(events, 'entry_expired');
    assert.equal((expired!.data as { spiffe_id: string }).spiffe_id, WEB);
    assert.equal(registry.size, 1);
    await events.return!();
  });

  it('comes over TCP to who has the token, and HEAD has none', async (t) => {
    const ledger = new Ledger(createLog('silent'));
    const { tcp, socketPath } = await startAdmin(t, { ledger });
    assert.equal((await call(tcp.port, 'GET', '/v1/events')).status, 401);
    assert.equal((await call(socketPath, 'HEAD', '/v1/events')).status, 405);
    const events = await connectAdmin({ url: `http://127.0.0.1:${tcp.port}`, token: TOKEN }).events();
    ledger.tell(() => held('tcp'));
    const [told] = await until(events[Symbol.asyncIterator](), 'held');
    const { names, detail } = told!.data as { names: string[]; detail: string };
    assert.deepEqual([names, detail], [['tcp'], 'no-entry']);
  });

  it('says at intervals that it lives, and nothing is watched once nobody reads', async (t) => {
    const ledger = new Ledger(createLog('silent'));
    const { socketPath, clock } = await startAdmin(t, { ledger });
    const response = await read(t, socketPath);
    assert.match(response.headers['content-type']!, /^text\/event-stream/);
    response.setEncoding('utf8');
    assert.deepEqual(await once(response, 'data'), [':\n\n']);
    for (let i = 0; i < 2; i += 1) {
      clock.advance(HEARTBEAT_MS);
      assert.deepEqual(await once(response, 'data'), [':\n\n']);
    }
    const pending = clock.pending;
    response.destroy();
    while (clock.pending === pending) await turn();
    let asked = false;
    ledger.tell(() => {
      asked = true;
      return held('nobody');
    });
    assert.equal(asked, false);
  });

  it('lets a reader that does not read go, with the word that it lagged; others go on', async (t) => {
    const ledger = new Ledger(createLog('silent'));
    const { socketPath } = await startAdmin(t, { ledger });
    const slow = await read(t, socketPath);
    const events = (await connectAdmin({ socketPath }).events())[Symbol.asyncIterator]();
    const name = 'x'.repeat(MAX_WAITING / 8);
    for (let i = 0; i < 12; i += 1) {
      ledger.tell(() => held(name));
      await until(events, 'held');
    }
    const text = await textOf(slow);
    assert.ok(text.length > MAX_WAITING / 2 && text.length < 2 * MAX_WAITING, String(text.length));
    assert.match(text.slice(-300), /\n\nevent: lagged\ndata: \{"at":"[^"]+","detail":"[^"]+"\}\n\n$/);
    ledger.tell(() => held('after'));
    await until(events, 'held');
    await events.return!();
  });

  it('lets everybody go when too much happens at once, and a reader that lags is cut in the end', async (t) => {
    const ledger = new Ledger(createLog('silent'));
    const { socketPath, clock } = await startAdmin(t, { ledger });
    const [reader, stuck] = [await read(t, socketPath), await read(t, socketPath)];
    const name = 'x'.repeat(MAX_WAITING / 4);
    let made = 0;
    for (let i = 0; i < 100; i += 1) {
      ledger.tell(() => {
        made += 1;
        return held(name);
      });
    }
    assert.ok(made < 8, `${made} were made for nobody`);
    assert.match(await textOf(reader), /^:\n\nevent: lagged\n/);
    clock.advance(60_000);
    stuck.resume();
    await once(stuck, 'close');
    const next = (await connectAdmin({ socketPath }).events())[Symbol.asyncIterator]();
    ledger.tell(() => held('next'));
    await until(next, 'held');
    await next.return!();
  });

  it('takes so many readers of one sender, and of all, and no more, until one goes', async (t) => {
    const { socketPath, tcp } = await startAdmin(t);
    const { port } = tcp;
    const { body: made } = await call(socketPath, 'POST', '/v1/tokens', { json: { name: 'ci', role: 'read' } });
    const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
    const open = (where: string | number, headers = {}) =>
      Promise.all(Array.from({ length: MAX_READERS / 2 }, () => read(t, where, headers)));
    const readers = await open(socketPath);
    const refused = await call(socketPath, 'GET', '/v1/events');
    assert.deepEqual([refused.status, refused.body.code], [503, 'ERR_TOO_MANY_READERS']);
    assert.match(refused.body.detail, /^unix:\d+, with the sessions that it made, reads events 8 times already/);
    await assert.rejects(connectAdmin({ socketPath }).events(), { code: 'ERR_TOO_MANY_READERS' });
    // The others have the rest.
    for (const one of await open(port, bearer(made.token))) assert.equal(one.statusCode, 200);
    const third = await read(t, port, bearer(TOKEN));
    assert.equal(third.statusCode, 503);
    assert.match(await textOf(third), /16 clients read events already/);
    readers[0]!.destroy();
    let answer = await read(t, socketPath);
    while (answer.statusCode === 503) {
      answer.resume();
      answer = await read(t, socketPath);
    }
    assert.equal(answer.statusCode, 200);
  });

  it('ends when the API closes, also for one that does not read', async (t) => {
    const ledger = new Ledger(createLog('silent'));
    const { admin, socketPath, clock } = await startAdmin(t, { ledger });
    const stuck = await read(t, socketPath);
    ledger.tell(() => held('x'.repeat(MAX_WAITING / 2)));
    await turn();
    const events = (await connectAdmin({ socketPath }).events())[Symbol.asyncIterator]();
    const closed = admin.close();
    assert.deepEqual(await events.next(), { value: undefined, done: true });
    clock.advance(1_000);
    await closed;
    await assert.rejects(textOf(stuck), { code: 'ECONNRESET' });
  });

  it('does not keep the server from stopping in time', async (t) => {
    const server = await serve(t);
    const response = await read(t, server.adminSocket);
    assert.equal(response.statusCode, 200);
    response.resume();
    const ended = once(response, 'end');
    assert.deepEqual(await server.stop('SIGTERM'), { code: 0, signal: null });
    await ended;
  });
});

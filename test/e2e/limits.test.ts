/** The limits of one uid, small enough to reach: who breaks one is told which, and nobody else notices. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';
import { namesOf, SdsClient } from '../support/sds-client.ts';
import { serve, TRUST_DOMAIN } from '../support/serve.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;
const RESOURCE_EXHAUSTED = 8;

describe('the limits of one uid', { concurrency: 2, timeout: 60_000 }, () => {
  it('on streams: one more ends with RESOURCE_EXHAUSTED that names the limit, and a place given back is free', async (t) => {
    const server = await serve(t, { flags: ['--max-streams-per-uid', '2'] });
    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    const held = [client.stream(), client.stream()];
    for (const stream of held) stream.ask(WEB);
    await server.logged('name held');
    const refused = client.stream();
    refused.ask(WEB);
    const { code, details } = await refused.status;
    assert.equal(code, RESOURCE_EXHAUSTED);
    assert.match(details, /2 streams open, which is its limit \(maxStreamsPerUid\)/);
    held[0]!.cancel();
    await server.request('POST', '/v1/entries', {
      spiffe_id: WEB,
      selectors: [{ type: 'unix', value: `uid:${process.getuid!()}` }],
    });
    assert.deepEqual(namesOf(await held[1]!.next()), [WEB]);
    assert.deepEqual(namesOf(await client.fetch({ resourceNames: [WEB] })), [WEB]);
  });

  it('on requests a second: the stream that sends one too many ends, naming the limit', async (t) => {
    const server = await serve(t, { flags: ['--max-requests-per-second-per-uid', '5'] });
    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    const stream = client.stream();
    for (let i = 0; i < 50; i += 1) stream.ask(WEB);
    const { code, details } = await stream.status;
    assert.equal(code, RESOURCE_EXHAUSTED);
    assert.match(details, /limit of 5 requests per second \(maxRequestsPerSecondPerUid\)/);
  });

  it('on connections: one more is closed at once, the log names the limit, and those before go on', async (t) => {
    const server = await serve(t, { flags: ['--max-connections-per-uid', '1'] });
    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    const stream = client.stream();
    stream.ask(WEB);
    await server.logged('name held');
    const refused = net.connect(server.socket);
    refused.on('error', () => undefined);
    await once(refused, 'close');
    const line = await server.logged('connections are refused');
    assert.match(String(line.reason), /has 1 connections open, which is its limit \(maxConnectionsPerUid\)/);
    await server.request('POST', '/v1/entries', {
      spiffe_id: WEB,
      selectors: [{ type: 'unix', value: `uid:${process.getuid!()}` }],
    });
    assert.deepEqual(namesOf(await stream.next()), [WEB]);
  });
});

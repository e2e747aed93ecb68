/** What a caller does not get leads to the reason: the gRPC status, the log, the proxies and the record say one id. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ServiceError } from '@grpc/grpc-js';
import { ErrorInfo } from '../../src/gen/google/rpc/error_details.ts';
import { Status as RpcStatus } from '../../src/gen/google/rpc/status.ts';
import { SdsClient } from '../support/sds-client.ts';
import { serve, TRUST_DOMAIN } from '../support/serve.ts';

const WEB = `spiffe://${TRUST_DOMAIN}/web`;

describe('decisions', { timeout: 60_000 }, () => {
  it('are told of a hold and of a fetch that finds nothing, and survive a restart', async (t) => {
    const server = await serve(t);
    const selectors = ['unix:uid:4000000', `unix:gid:${process.getgid!()}`];
    const { body: entry } = await server.request('POST', '/v1/entries', { spiffe_id: WEB, selectors });
    const client = new SdsClient(server.socket);
    t.after(() => client.close());
    const stream = client.stream();
    t.after(() => stream.cancel());
    stream.ask(WEB);
    const { decision: held } = await server.logged('name held');
    const { body } = await server.request('GET', '/v1/proxies');
    assert.equal(body.proxies[0].streams[0].secrets[0].held.decision, held);

    const { body: record } = await server.request('GET', `/v1/decisions/${held}`);
    assert.deepEqual(
      [record.kind, record.pid, record.uid, record.name, record.spiffe_id, record.reason, record.ended_at],
      ['held', process.pid, process.getuid!(), WEB, WEB, 'lacks-selectors', null],
    );
    assert.deepEqual(record.candidates, [{ entry_id: entry.id, lacks: ['unix:uid:4000000'] }]);
    const uid = { selector: `unix:uid:${process.getuid!()}`, source: 'the kernel: SO_PEERCRED' };
    assert.deepEqual(
      record.facts.find(({ selector }: { selector: string }) => selector === uid.selector),
      uid,
    );

    const refused = await client.fetch({ resourceNames: [WEB] }).then(
      () => assert.fail('not refused'),
      (error: ServiceError) => error,
    );
    const fetched = /decision (d-[0-9a-f]{12})/.exec(refused.message)![1]!;
    const [bytes] = refused.metadata.get('grpc-status-details-bin');
    const { code, message, details } = RpcStatus.decode(bytes as Buffer);
    assert.deepEqual([code, message], [refused.code, refused.details]);
    const info = { reason: 'NO_SECRET', domain: 'sidekey', metadata: { decision: fetched } };
    assert.deepEqual(ErrorInfo.decode(details[0]!.value), info);
    const page = await server.request('GET', `/v1/decisions?pid=${process.pid}&limit=1`);
    assert.deepEqual([page.body.decisions[0].id, page.body.decisions[0].kind], [fetched, 'fetch-nothing']);
    assert.notEqual(page.body.next_cursor, '');
    const rest = await server.request('GET', `/v1/decisions?spiffe_id=${WEB}&cursor=${page.body.next_cursor}`);
    assert.deepEqual([rest.body.decisions.map(({ id }: { id: string }) => id), rest.body.next_cursor], [[held], '']);

    await server.request('PATCH', `/v1/entries/${entry.id}`, { selectors: [uid.selector] });
    await stream.next();
    assert.notEqual((await server.request('GET', `/v1/decisions/${held}`)).body.ended_at, null);

    await server.stop();
    const next = await serve(t, { place: server });
    assert.equal((await next.request('GET', `/v1/decisions/${fetched}`)).body.id, fetched);
    const missing = await next.request('GET', '/v1/decisions/d-000000000000');
    assert.deepEqual([missing.status, missing.body.code], [404, 'ERR_NOT_FOUND']);
  });
});

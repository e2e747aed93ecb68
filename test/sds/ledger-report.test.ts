/** What the ledger tells is read bit by bit, while streams come and go. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DiscoveryRequest } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { Ledger } from '../../src/sds/ledger.ts';
import { secretDiscoveryService } from '../../src/sds/service.ts';
import { log, makeJoin, ScriptedPeer, TRUST_DOMAIN } from '../identity/support.ts';

const WEB = 'spiffe://ilinux.io/web';

test('a stream that closes while it is told of tells nothing more, and is told of no more', async (t) => {
  const { identities, clock } = await makeJoin(t);
  const ledger = new Ledger();
  const settings = { identities, trustDomain: TRUST_DOMAIN, clock, log, ledger, validation: 'spiffe' } as const;
  const method = secretDiscoveryService(settings).find(({ kind }) => kind === 'stream')!;
  assert.ok(method.kind === 'stream');
  const peer = new ScriptedPeer();
  const streams = [0, 1].map(() => method.open({ peer, send: () => undefined, end: () => undefined }));
  const request = { resourceNames: [WEB, 'default', 'ROOTCA'] };
  streams[0]!.message(DiscoveryRequest.encode(DiscoveryRequest.fromPartial(request)).finish());
  const [connection] = ledger.connections();
  const told = connection!.streams[Symbol.iterator]();
  const secrets = told.next().value!.report(clock.now()).secrets[Symbol.iterator]();
  assert.equal(secrets.next().value!.name, WEB);
  for (const stream of streams) stream.closed();
  assert.equal(secrets.next().done, true);
  assert.equal(told.next().done, true);
  assert.deepEqual([...ledger.connections()], []);
});

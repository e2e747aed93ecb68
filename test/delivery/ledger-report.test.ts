/** The ledger can be read step by step while streams come and go, and many NACKs do not cause a lookup each. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger, type LedgerStream } from '../../src/delivery/ledger.ts';
import { DiscoveryRequest } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { secretDiscoveryService } from '../../src/sds/service.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { callOf, log, makeJoin, NO_METADATA, ScriptedPeer, TRUST_DOMAIN } from '../identity/support.ts';
import { TestClock } from '../support/clock.ts';

const WEB = 'spiffe://ilinux.io/web';

test('a stream that closes while the ledger is read is no longer reported', async (t) => {
  const { identities, clock } = await makeJoin(t);
  const ledger = new Ledger(createLog('silent'));
  const settings = { identities, trustDomain: TRUST_DOMAIN, clock, log, ledger, validation: 'spiffe' } as const;
  const method = secretDiscoveryService(settings).find(({ kind }) => kind === 'bidirectional')!;
  assert.ok(method.kind === 'bidirectional');
  const peer = new ScriptedPeer();
  const streams = [0, 1].map(() =>
    method.open({ ...callOf(peer), send: () => undefined, end: () => undefined }, NO_METADATA),
  );
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

test('many NACKs of one proxy within the interval cause two reports of its entries, not one each', () => {
  const clock = new TestClock();
  const ledger = new Ledger(createLog('silent'));
  const peer = new ScriptedPeer();
  let looks = 0;
  const streams = Array.from(
    { length: 100 },
    (_, i): LedgerStream => ({
      ...{ peer, selectors: [], node: undefined, unknownNames: 0 },
      report: () => assert.fail('nobody reads a report'),
      sentGrants: () => {
        looks += 1;
        return [`entry-${i}`];
      },
    }),
  );
  const told: string[] = [];
  const reject = () => ledger.rejected(peer, clock, (entryId) => told.push(entryId));
  for (const stream of streams) ledger.open(stream);
  for (const _ of streams) reject();
  assert.equal(new Set(told).size, 100, 'at once');
  assert.equal(looks, 100);
  clock.advance(1_000);
  assert.deepEqual([looks, told.length], [200, 200], 'once more for the entries sent meanwhile');
  clock.advance(1_000);
  assert.equal(looks, 200);
  reject();
  assert.equal(looks, 300, 'at once again');
  reject();
  for (const stream of streams) ledger.close(stream);
  clock.advance(1_000);
  assert.equal(looks, 300, 'a closed connection is not reported');
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SidekeyError } from '../../src/base/errors.ts';
import { DiscoveryRequest, DiscoveryResponse } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { secretDiscoveryService } from '../../src/sds/service.ts';
import type { Message } from '../../src/wire/types.ts';
import {
  callOf,
  type Join,
  log,
  makeJoin,
  NO_METADATA,
  ScriptedPeer,
  TRUST_DOMAIN,
  until,
} from '../identity/support.ts';
import { bytesOf } from '../support/message.ts';
import { namesOf, rootsOf, secretOf } from '../support/sds-client.ts';

function answer({ identities, clock }: Join, peer: ScriptedPeer, ...resourceNames: string[]): Promise<Message> {
  const settings = { identities, trustDomain: TRUST_DOMAIN, clock, log, validation: 'spiffe' } as const;
  const method = secretDiscoveryService(settings).find(({ kind }) => kind === 'unary')!;
  assert.ok(method.kind === 'unary');
  const request = DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ resourceNames })).finish();
  return method.call(callOf(peer), request, NO_METADATA);
}

async function respond(...asked: Parameters<typeof answer>): Promise<DiscoveryResponse> {
  return DiscoveryResponse.decode(bytesOf(await answer(...asked)));
}

async function fetch(...asked: Parameters<typeof answer>): Promise<string[]> {
  return namesOf(await respond(...asked));
}

describe('a fetch of secrets', () => {
  it('omits an SVID whose entry was deleted while the others were issued', async (t) => {
    const join = await makeJoin(t);
    const early = await join.create('/early', ['unix:uid:1']);
    await join.create('/late', ['unix:uid:1']);
    const gate = Promise.withResolvers<void>();
    const issue = join.ca.issue.bind(join.ca);
    join.ca.issue = async (request) => {
      if (request.spiffeId.endsWith('/late')) await gate.promise;
      return issue(request);
    };
    const peer = new ScriptedPeer('unix:uid:1');
    assert.deepEqual(await fetch(join, peer, 'spiffe://ilinux.io/early'), ['spiffe://ilinux.io/early']);
    const both = fetch(join, peer, 'spiffe://ilinux.io/early', 'spiffe://ilinux.io/late');
    await new Promise(setImmediate);
    await join.registry.delete(early.id);
    gate.resolve();
    assert.deepEqual(await both, ['spiffe://ilinux.io/late']);
  });

  it('returns the bundle as it is when the SVID has been issued, whose root may be new in it', async (t) => {
    const join = await makeJoin(t);
    await join.create('/web', ['unix:uid:1']);
    const gate = Promise.withResolvers<void>();
    const issue = join.ca.issue.bind(join.ca);
    join.ca.issue = async (request) => {
      await gate.promise;
      return issue(request);
    };
    const both = respond(join, new ScriptedPeer('unix:uid:1'), 'spiffe://ilinux.io/web', 'spiffe://ilinux.io');
    await new Promise(setImmediate);
    await join.ca.rotate('root');
    gate.resolve();
    assert.equal(rootsOf(secretOf(await both, 'spiffe://ilinux.io')).length, 2);
  });

  it('returns the SVID of the changed entry when the entry changes during issuance', async (t) => {
    const join = await makeJoin(t);
    const entry = await join.create('/web', ['unix:uid:1']);
    const gate = Promise.withResolvers<void>();
    const original = join.ca.issue.bind(join.ca);
    const issue = t.mock.method(join.ca, 'issue', async (request: Parameters<typeof join.ca.issue>[0]) => {
      if (request.dnsNames.length === 0) await gate.promise;
      return original(request);
    });
    const fetched = fetch(join, new ScriptedPeer('unix:uid:1'), 'spiffe://ilinux.io/web');
    await until(() => issue.mock.callCount() === 1);
    await join.registry.update(entry.id, { dnsNames: ['web.example'] }, entry.revisionNumber);
    gate.resolve();
    assert.deepEqual(await fetched, ['spiffe://ilinux.io/web']);
    assert.deepEqual(issue.mock.calls.at(-1)?.arguments[0].dnsNames, ['web.example']);
  });

  it('does not mix the responses of two concurrent fetches', async (t) => {
    const join = await makeJoin(t);
    for (const path of ['/web', '/api']) await join.create(path, ['unix:uid:1']);
    const peer = new ScriptedPeer('unix:uid:1');
    const names = ['spiffe://ilinux.io/web', 'spiffe://ilinux.io/api'];
    const apart: DiscoveryResponse[] = [];
    for (const name of names) apart.push(await respond(join, peer, name));
    const together = await Promise.all(names.map((name) => respond(join, peer, name)));
    assert.notEqual(apart[0]!.versionInfo, apart[1]!.versionInfo);
    assert.deepEqual(together, apart);
  });

  it('fails with NOT_FOUND for a caller without an entry, and does not say what it lacks', async (t) => {
    const join = await makeJoin(t);
    await join.create('/web', ['unix:uid:7']);
    await assert.rejects(fetch(join, new ScriptedPeer('unix:uid:1'), 'spiffe://ilinux.io/web'), {
      status: 5,
      message: /^no secret for this caller under the name spiffe:\/\/ilinux\.io\/web \(decision d-[0-9a-f]{12}\)$/,
    });
  });

  it('fails with UNAVAILABLE if an SVID could not be issued', async (t) => {
    const join = await makeJoin(t);
    await join.create('/web', ['unix:uid:1']);
    t.mock.method(join.ca, 'issue', () => Promise.reject(new SidekeyError('ERR_STORE', 'the disk is full')));
    await assert.rejects(fetch(join, new ScriptedPeer('unix:uid:1'), 'spiffe://ilinux.io/web', 'other'), {
      status: 14,
      message: /^some of the requested SVIDs could not be issued \(decision d-[0-9a-f]{12}\)$/,
    });
  });
});

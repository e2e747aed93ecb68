/** The memory that calls charge to their owner, on a real socket: whatever happens in whatever order, it is returned. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import type { Attestor, Peer } from '../../src/attest/types.ts';
import { DeltaDiscoveryRequest, DiscoveryRequest } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { HealthCheckRequest } from '../../src/gen/grpc/health/v1/health.ts';
import { ServerReflectionRequest } from '../../src/gen/grpc/reflection/v1/reflection.ts';
import { MemoryBudget, memoryLimits } from '../../src/limits/memory.ts';
import { Owners } from '../../src/limits/owner.ts';
import { Quota } from '../../src/limits/quota.ts';
import { Turns } from '../../src/limits/turns.ts';
import { secretDiscoveryService } from '../../src/sds/service.ts';
import { standardServices } from '../../src/standard/service.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { createWire } from '../../src/wire/wire.ts';
import { log, makeJoin, TRUST_DOMAIN } from '../identity/support.ts';
import { callHeaders, dataFrames, END_STREAM, grpcMessage, RawClient, resetStream } from '../support/http2-frames.ts';
import { credentialsAttestor, startPipe } from '../support/pipe.ts';
import { QUOTA_LIMITS } from '../support/quota-limits.ts';

const SDS = '/envoy.service.secret.v3.SecretDiscoveryService';
const WEB = `spiffe://${TRUST_DOMAIN}/web`;

/** Of each kind of method, with and without an attestation. */
const METHODS = [
  `${SDS}/FetchSecrets`,
  `${SDS}/StreamSecrets`,
  `${SDS}/DeltaSecrets`,
  '/grpc.health.v1.Health/Watch',
  '/grpc.health.v1.Health/Check',
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
] as const;
type Path = (typeof METHODS)[number];

function requestOf(path: Path, names: number): Uint8Array {
  const asked = names === 0 ? [] : [WEB, ...Array.from({ length: names - 1 }, (_, i) => `${WEB}/${i}`)];
  if (path.endsWith('Secrets') && !path.endsWith('DeltaSecrets')) {
    return DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ resourceNames: asked })).finish();
  }
  if (path.endsWith('DeltaSecrets')) {
    const request = DeltaDiscoveryRequest.fromPartial({ resourceNamesSubscribe: asked });
    return DeltaDiscoveryRequest.encode(request).finish();
  }
  if (path.includes('Health')) return HealthCheckRequest.encode(HealthCheckRequest.fromPartial({})).finish();
  return ServerReflectionRequest.encode(ServerReflectionRequest.fromPartial({ listServices: '*' })).finish();
}

/** Attests when the test lets it. */
class GatedAttestor implements Attestor {
  readonly name = 'unix';
  readonly #waiting: PromiseWithResolvers<void>[] = [];

  async attest(...asked: Parameters<Attestor['attest']>) {
    const gate = Promise.withResolvers<void>();
    this.#waiting.push(gate);
    await gate.promise;
    return credentialsAttestor.attest(...asked);
  }

  /** Ends all attestations that run now. */
  release(outcome: 'succeed' | 'fail'): void {
    for (const gate of this.#waiting.splice(0)) {
      if (outcome === 'succeed') gate.resolve();
      else gate.reject(new Error('the attestor fails'));
    }
  }
}

/** A real server of all services, whose attestations the test ends. */
async function startServer(t: TestContext) {
  const { identities, clock, create } = await makeJoin(t);
  await create('/web', [`unix:uid:${process.getuid!()}`]);
  const counters = new Counters();
  const memory = new MemoryBudget(memoryLimits(), new Owners(), counters);
  const quota = new Quota(QUOTA_LIMITS, counters);
  const secrets = secretDiscoveryService({ identities, trustDomain: TRUST_DOMAIN, clock, log, validation: 'spiffe' });
  const { methods } = standardServices(secrets);
  const turns = new Turns();
  const wire = createWire({ methods: [...secrets, ...methods], clock, log, quota, memory, turns });
  const attestor = new GatedAttestor();
  const pipe = await startPipe(t, {
    attestors: [attestor],
    attestTimeoutMs: 600_000,
    onConnection: (socket, peer, reading) => wire.inject(socket, peer, reading),
  });
  t.after(() => wire.close(0));

  return {
    attestor,
    memory,
    async connect(): Promise<{ readonly client: RawClient; readonly peer: Peer }> {
      const client = await RawClient.begin(pipe.path);
      return { client, peer: (await pipe.next()).peer };
    },
  };
}

interface Ledger {
  readonly bytes: number;
  readonly holders: number;
  readonly calls: number;
  readonly streams: number;
}

const NOTHING: Ledger = { bytes: 0, holders: 0, calls: 0, streams: 0 };

function ledgerOf({ owner }: Peer): Ledger {
  const [{ heldBytes, holders, calls, streams }] = owner.accounts;
  return { bytes: heldBytes, holders: holders.size, calls, streams };
}

/** @param before what the owner had before, which a former failure may have left */
async function assertReturned(peer: Peer, when: string, before = NOTHING): Promise<void> {
  const end = performance.now() + 5_000;
  while (!isDeepStrictEqual(ledgerOf(peer), before) && performance.now() < end) await sleep(1);
  assert.deepEqual(ledgerOf(peer), before, when);
}

/** Lets handlers go on that waited for an attestation. */
async function goOn(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await nextTurn();
}

type Step =
  | { readonly do: 'open'; readonly connection: number; readonly path: Path }
  | { readonly do: 'send'; readonly call: number; readonly names: number; readonly end: boolean }
  | { readonly do: 'reset'; readonly call: number }
  | { readonly do: 'attestation'; readonly outcome: 'succeed' | 'fail' }
  | { readonly do: 'close'; readonly connection: number }
  | { readonly do: 'wait' };

const CONNECTIONS = 2;
const connection = fc.nat({ max: CONNECTIONS - 1 });
const call = fc.nat({ max: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('open'), connection, path: fc.constantFrom(...METHODS) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('send'),
      call,
      names: fc.constantFrom(0, 0, 1, 600),
      end: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('reset'), call }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('attestation'), outcome: fc.constantFrom('succeed', 'fail') }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close'), connection }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait') }) },
) as fc.Arbitrary<Step>;

describe('the memory charged to an owner', { timeout: 120_000 }, () => {
  it('is returned when fetches are reset while the attestation is slow', async (t) => {
    const { connect, attestor } = await startServer(t);
    const { client, peer } = await connect();
    t.after(() => client.destroy());
    const path = `${SDS}/FetchSecrets`;
    for (let id = 1; id < 20; id += 2) {
      // Without names it asks for everything, which is known only after the attestation.
      const names = id % 4 === 1 ? 0 : 100;
      client.write(callHeaders(id, path), dataFrames(id, grpcMessage(requestOf(path, names)), END_STREAM));
    }
    await client.ping();
    assert.equal(ledgerOf(peer).calls, 10);
    for (let id = 1; id < 20; id += 2) client.write(resetStream(id));
    await client.ping();
    await assertReturned(peer, 'after the resets');
    attestor.release('succeed');
    await goOn();
    await assertReturned(peer, 'after the attestation');
  });

  it('is returned after any order of opening, sending, resetting, attesting and closing', async (t) => {
    const { connect, attestor, memory } = await startServer(t);
    const property = fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 24 }), async (steps) => {
      const connections = await Promise.all(Array.from({ length: CONNECTIONS }, connect));
      const [{ peer }] = connections as [(typeof connections)[0]];
      const before = ledgerOf(peer);
      const calls: { readonly client: RawClient; readonly id: number; readonly path: Path }[] = [];
      const settle = () => Promise.all(connections.map(({ client }) => client.ping().catch(() => undefined)));
      for (const one of steps) {
        if (one.do === 'wait') await settle();
        else if (one.do === 'attestation') attestor.release(one.outcome);
        else if (one.do === 'close') connections[one.connection]!.client.destroy();
        else if (one.do === 'open') {
          const { client } = connections[one.connection]!;
          const id = 1 + 2 * calls.length;
          calls.push({ client, id, path: one.path });
          client.write(callHeaders(id, one.path));
        } else {
          const found = calls[one.call];
          if (found === undefined) continue;
          const { client, id, path } = found;
          if (one.do === 'reset') client.write(resetStream(id));
          else client.write(dataFrames(id, grpcMessage(requestOf(path, one.names)), one.end ? END_STREAM : 0));
        }
      }
      await settle();
      for (const { client, id } of calls) client.write(resetStream(id));
      await settle();
      await assertReturned(peer, 'after all calls were reset', before);
      attestor.release('succeed');
      await goOn();
      await assertReturned(peer, 'after the last attestation', before);
      for (const { client } of connections) client.destroy();
      await assertReturned(peer, 'after the connections', before);
      assert.equal(memory.heldBytes, before.bytes);
    });
    await fc.assert(property, { numRuns: 400 });
  });
});

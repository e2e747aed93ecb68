/** The secrets that callers get when the clock jumps, from the authority to the stream. The test controls the clock. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Attestation } from '../../src/attest/types.ts';
import { SidekeyError } from '../../src/base/errors.ts';
import { DiscoveryRequest, DiscoveryResponse } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { secretDiscoveryService } from '../../src/sds/service.ts';
import { callOf, type Join, log, makeJoin, NO_METADATA, ScriptedPeer, TRUST_DOMAIN } from '../identity/support.ts';
import { bytesOf } from '../support/message.ts';
import { chainOf, namesOf, rootsOf, secretsOf } from '../support/sds-client.ts';

const WEB = 'spiffe://ilinux.io/web';
const BUNDLE = 'spiffe://ilinux.io';
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;
const HALF_LIFE = HOUR / 2;

interface Seen {
  /** Leaf serials in the order of their arrival. */
  readonly serials: string[];
  /** The number of roots in the last bundle. */
  roots: number;
  /** The status with which the stream ended, if it has. */
  ended: string | undefined;
}

/** Records a response, and fails if any certificate is outside its validity. */
function look(bytes: Uint8Array, now: number, seen: Seen): DiscoveryResponse {
  const response = DiscoveryResponse.decode(bytes);
  for (const secret of secretsOf(response)) {
    const certificates = secret.tlsCertificate === undefined ? [] : chainOf(secret);
    for (const { validFromDate, validToDate } of certificates) {
      assert.ok(validFromDate.getTime() <= now, `not valid before ${validFromDate.toISOString()}`);
      assert.ok(now < validToDate.getTime(), `ended at ${validToDate.toISOString()}`);
    }
    if (certificates[0] !== undefined) seen.serials.push(certificates[0].serialNumber);
    else seen.roots = rootsOf(secret).length;
  }
  return response;
}

/** A stream that acknowledges every response. */
function openStream(t: TestContext, join: Join, peer: ScriptedPeer, ...resourceNames: string[]): Seen {
  const { identities, clock } = join;
  const seen: Seen = { serials: [], roots: 0, ended: undefined };
  const service = secretDiscoveryService({ identities, trustDomain: TRUST_DOMAIN, clock, log, validation: 'spiffe' });
  const method = service.find(({ kind }) => kind === 'bidirectional');
  assert.ok(method?.kind === 'bidirectional');
  const write = (request: Parameters<typeof DiscoveryRequest.fromPartial>[0]) =>
    handler.message(DiscoveryRequest.encode(DiscoveryRequest.fromPartial(request)).finish());
  const handler = method.open(
    {
      ...callOf(peer),
      send(message) {
        const { nonce, versionInfo } = look(bytesOf(message), clock.now(), seen);
        setImmediate(() => write({ resourceNames, responseNonce: nonce, versionInfo }));
      },
      end(_status, details) {
        seen.ended = details;
      },
    },
    NO_METADATA,
  );
  t.after(() => handler.closed());
  write({ resourceNames, node: { id: 'n', cluster: 'c' } });
  return seen;
}

/** Waits for a condition; fails after 10 s instead of hanging. */
async function until(condition: () => boolean): Promise<void> {
  const giveUp = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < giveUp, `never: ${condition}`);
    await nextTurn();
  }
}

/** A join with a stream that has the SVID of /web and the bundle, and a count of the authority's issuances. */
async function openWeb(t: TestContext, more: Record<string, unknown> = {}) {
  const join = await makeJoin(t);
  const issue = t.mock.method(join.ca, 'issue');
  await join.create('/web', ['unix:uid:1'], more);
  const peer = new ScriptedPeer('unix:uid:1');
  const seen = openStream(t, join, peer, WEB, BUNDLE);
  await until(() => seen.serials.length === 1);
  return { ...join, peer, seen, issued: () => issue.mock.callCount(), issue };
}

describe('when the clock jumps, a stream', () => {
  for (const [what, jump] of [
    ['set back by an hour', -HOUR],
    ['set back by a day', -DAY],
    ['set back by a year', -YEAR],
    ['set ahead by an hour', HOUR],
    ['set ahead by a year', YEAR],
    ['resumed after a week of sleep', 7 * DAY],
    ['set ahead beyond the root', 11 * YEAR],
  ] as const) {
    it(`gets a new SVID at the next tick of a clock ${what}, and the next one at its half life`, async (t) => {
      const { clock, seen, issued } = await openWeb(t);
      clock.set(clock.now() + jump);
      clock.tick();
      await until(() => seen.serials.length === 2);
      clock.advance(HALF_LIFE - 1);
      clock.advance(1);
      await until(() => seen.serials.length === 3);
      assert.equal(issued(), 3);
      assert.equal(seen.ended, undefined);
    });
  }

  it('keeps a valid SVID when the clock goes a few seconds back, until its half life', async (t) => {
    const { clock, seen, issued } = await openWeb(t);
    clock.set(clock.now() - 29_000);
    clock.tick();
    clock.advance(HALF_LIFE + 29_000 - 1);
    assert.equal(issued(), 1);
    clock.advance(1);
    await until(() => seen.serials.length === 2);
    assert.equal(issued(), 2);
  });

  it('gets one new SVID when the clock goes a year ahead, and one when it comes back', async (t) => {
    const { clock, seen, issued } = await openWeb(t);
    for (const [round, jump] of [YEAR, -YEAR, 11 * YEAR, -11 * YEAR].entries()) {
      clock.set(clock.now() + jump);
      clock.tick();
      await until(() => seen.serials.length === round + 2);
    }
    clock.advance(HALF_LIFE);
    await until(() => seen.serials.length === 6);
    assert.equal(issued(), 6);
    await until(() => seen.roots === 2);
  });

  it('never gets an SVID that is not yet valid when the clock goes back during attestation', async (t) => {
    const { clock, peer, seen, issued } = await openWeb(t);
    const attest = peer.attest.bind(peer);
    const jump = t.mock.method(peer, 'attest', async (): Promise<Attestation> => {
      jump.mock.restore();
      const attestation = await attest();
      clock.set(clock.now() - DAY);
      return attestation;
    });
    clock.advance(HALF_LIFE);
    await until(() => seen.serials.length === 2); // `look` has checked its validity
    assert.equal(jump.mock.callCount(), 1);
    assert.equal(issued(), 3);
  });
});

it('a fetch gets a new SVID, and none that is not yet valid, when the clock goes back during it', async (t) => {
  const { identities, clock, create } = await makeJoin(t);
  await create('/web', ['unix:uid:1']);
  const peer = new ScriptedPeer('unix:uid:1');
  const service = secretDiscoveryService({ identities, trustDomain: TRUST_DOMAIN, clock, log, validation: 'spiffe' });
  const method = service.find(({ kind }) => kind === 'unary');
  assert.ok(method?.kind === 'unary');
  const request = DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ resourceNames: [WEB, BUNDLE] })).finish();
  const seen: Seen = { serials: [], roots: 0, ended: undefined };
  const fetch = async () =>
    namesOf(look(bytesOf(await method.call(callOf(peer), request, NO_METADATA)), clock.now(), seen));
  assert.deepEqual(await fetch(), [BUNDLE, WEB]);
  clock.advance(HALF_LIFE);
  const attest = peer.attest.bind(peer);
  const jump = t.mock.method(peer, 'attest', async (): Promise<Attestation> => {
    jump.mock.restore();
    clock.set(clock.now() - DAY);
    return attest();
  });
  assert.deepEqual(await fetch(), [BUNDLE, WEB]);
  assert.equal(jump.mock.callCount(), 1);
  assert.equal(new Set(seen.serials).size, 2);
});

describe('an attempt that failed before the clock was set back is repeated', () => {
  it('half a second later, for an issuance', async (t) => {
    const { clock, seen, issue } = await openWeb(t);
    const { promise, reject } = Promise.withResolvers<never>();
    issue.mock.mockImplementationOnce(() => promise);
    clock.advance(HALF_LIFE);
    reject(new SidekeyError('ERR_STORE', 'the disk is full'));
    await nextTurn();
    clock.set(clock.now() - MINUTE);
    clock.tick();
    assert.equal(seen.serials.length, 1);
    clock.advance(500);
    await until(() => seen.serials.length === 2);
  });

  it('half a second later, for an attestation', async (t) => {
    const { clock, peer, seen } = await openWeb(t);
    const deadlines = clock.pending;
    peer.facts = new SidekeyError('ERR_ATTESTATION_FAILED', 'the engine does not answer');
    clock.advance(HALF_LIFE);
    // The caller's next attempt, and the stream's last attempt at the end of its SVID.
    await until(() => clock.pending === deadlines + 2);
    peer.facts = ['unix:uid:1'];
    clock.set(clock.now() - MINUTE / 3); // not far enough for SVIDs to be replaced
    clock.tick();
    clock.advance(500);
    await until(() => seen.serials.length === 2);
  });
});

it('an SVID that expires with its entry is not reissued again and again until then', async (t) => {
  const { clock, seen, issued } = await openWeb(t, { expires_at: Date.UTC(2026, 5, 1, 13) / 1000 });
  for (let minute = 0; minute < 59; minute += 1) {
    clock.advance(MINUTE);
    for (let turn = 0; turn < 5; turn += 1) await nextTurn();
  }
  assert.equal(issued(), 1);
  assert.equal(seen.serials.length, 1);
  clock.advance(MINUTE);
  assert.equal(clock.pending, 1, 'only the timers of the authority remain');
  assert.equal(issued(), 1);
});

/** Facts of a caller that appear late or are missing for a moment, on streams of both variants with a scripted wire. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { Ledger } from '../../src/delivery/ledger.ts';
import type { SecretReport } from '../../src/delivery/stream-report.ts';
import {
  DeltaDiscoveryRequest,
  DeltaDiscoveryResponse,
  DiscoveryRequest,
  DiscoveryResponse,
} from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { ROUND_MAX_MS } from '../../src/identity/looks.ts';
import { secretDiscoveryService } from '../../src/sds/service.ts';
import { createLog } from '../../src/telemetry/log.ts';
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
import { chainOf, namesOf, secretOf } from '../support/sds-client.ts';

const WEB = 'spiffe://ilinux.io/web';
const BUNDLE = 'spiffe://ilinux.io';
const HALF_LIFE = 1_800_000;
const MATCHING = ['unix:uid:1', 'unix:user:web'];
const LACKING = ['unix:uid:1'];

type Response = DiscoveryResponse | DeltaDiscoveryResponse;
type Variant = 'sotw' | 'delta';
const VARIANTS: readonly Variant[] = ['sotw', 'delta'];

interface Opened {
  readonly responses: Response[];
  ended: boolean;
  ask(...names: string[]): void;
  /** Waits for the next response and acknowledges it. */
  next(): Promise<Response>;
  state(name?: string): SecretReport;
  close(): void;
}

function open(t: TestContext, { identities, clock }: Join, peer: ScriptedPeer, variant: Variant): Opened {
  const ledger = new Ledger(createLog('silent'));
  const settings = { identities, trustDomain: TRUST_DOMAIN, clock, log, ledger, validation: 'spiffe' } as const;
  const streams = secretDiscoveryService(settings).filter(({ kind }) => kind === 'bidirectional');
  const path = variant === 'sotw' ? '/StreamSecrets' : '/DeltaSecrets';
  const method = streams.find((one) => one.path.endsWith(path))!;
  assert.ok(method.kind === 'bidirectional');
  const decode = variant === 'sotw' ? DiscoveryResponse.decode : DeltaDiscoveryResponse.decode;
  const handler = method.open(
    {
      ...callOf(peer),
      send: (message) => opened.responses.push(decode(bytesOf(message))),
      end: () => {
        opened.ended = true;
      },
    },
    NO_METADATA,
  );
  const close = () => handler.closed();
  t.after(close);
  let taken = 0;
  let asked: string[] = [];
  const send = (resourceNames: string[], responseNonce: string) => {
    const bytes =
      variant === 'sotw'
        ? DiscoveryRequest.encode(DiscoveryRequest.fromPartial({ resourceNames, responseNonce }))
        : DeltaDiscoveryRequest.encode(
            DeltaDiscoveryRequest.fromPartial({
              resourceNamesSubscribe: responseNonce === '' ? resourceNames : [],
              responseNonce,
            }),
          );
    handler.message(bytes.finish());
  };
  const opened: Opened = {
    responses: [],
    ended: false,
    close,
    ask(...names) {
      asked = names;
      send(names, '');
    },
    async next() {
      await until(() => opened.responses.length > taken);
      const response = opened.responses[taken]!;
      taken += 1;
      send(asked, response.nonce);
      return response;
    },
    state(name = WEB) {
      for (const { streams } of ledger.connections()) {
        for (const stream of streams) {
          for (const secret of stream.report(clock.now()).secrets) if (secret.name === name) return secret;
        }
      }
      return assert.fail(`no ${name} on the stream`);
    },
  };
  return opened;
}

const removedOf = (response: Response) => ('removedResources' in response ? response.removedResources : []);
const serialOf = (response: Response) => chainOf(secretOf(response, WEB))[0]!.serialNumber;

/** A caller that has an SVID of the entry, and a stream that requested these names. */
async function given(t: TestContext, variant: Variant, ...names: string[]) {
  const join = await makeJoin(t);
  const web = await join.create('/web', MATCHING);
  const peer = new ScriptedPeer(...MATCHING);
  const stream = open(t, join, peer, variant);
  stream.ask(...names);
  return { join, web, peer, stream, first: await stream.next() };
}

/** A fact is missing at the renewal. */
async function lapse({ join, peer, stream }: { join: Join; peer: ScriptedPeer; stream: Opened }): Promise<void> {
  peer.facts = LACKING;
  join.clock.advance(HALF_LIFE);
  await until(() => stream.state().held?.reason === 'facts-missing');
}

for (const variant of VARIANTS) {
  describe(`${variant}: missing facts`, () => {
    it('reads the facts of a caller with held names again and pushes to it; a caller without held names is left alone', async (t) => {
      const join = await makeJoin(t);
      await join.create('/web', MATCHING);
      const peer = new ScriptedPeer(...LACKING);
      const stream = open(t, join, peer, variant);
      stream.ask(WEB, BUNDLE);
      await until(() => stream.state().held?.reason === 'lacks-selectors');
      await until(() => stream.state(BUNDLE).held?.reason === 'no-identity');
      peer.facts = MATCHING;
      join.clock.advance(ROUND_MAX_MS);
      assert.deepEqual(namesOf(await stream.next()), [BUNDLE, WEB]);
      const before = peer.attestations;
      join.clock.advance(5 * ROUND_MAX_MS);
      await until(() => stream.state().state === 'in_sync');
      assert.equal(peer.attestations, before);
    });

    it('says the present reason: also after an entry that does not match was made or deleted, and after other facts', async (t) => {
      const join = await makeJoin(t);
      const peer = new ScriptedPeer('unix:uid:1');
      const stream = open(t, join, peer, variant);
      const says = async (text: RegExp) => {
        join.clock.advance(250);
        await until(() => text.test(`${stream.state().held?.reason}: ${stream.state().held?.detail}`));
      };
      stream.ask(WEB);
      await says(/^no-entry: /);
      const { decision } = stream.state().held!;
      const entry = await join.create('/web', ['unix:uid:1', 'unix:gid:2', 'unix:gid:3']);
      await says(/^lacks-selectors: entry \S+ gives \S+ to callers with unix:gid:2, unix:gid:3$/);
      assert.notEqual(stream.state().held!.decision, decision, 'another reason has a record of its own');
      peer.facts = ['unix:uid:1', 'unix:gid:2'];
      join.clock.advance(ROUND_MAX_MS);
      await says(/ with unix:gid:3$/);
      await join.registry.delete(entry.id);
      await says(/^no-entry: /);
      assert.deepEqual(stream.responses, [], 'nothing is sent meanwhile');
    });

    it('renews without a loss when a fact was missing for a moment at the renewal', async (t) => {
      const { join, peer, stream, first } = await given(t, variant, WEB, BUNDLE);
      await lapse({ join, peer, stream });
      const { detail } = stream.state().held!;
      assert.match(
        detail,
        /since 2026-06-01T12:30:00.000Z the caller lacks unix:user:web; .* ends at 2026-06-01T13:00/,
      );
      assert.equal(stream.state(BUNDLE).state, 'in_sync', 'the caller keeps the bundle, too');
      const before = peer.attestations;
      join.clock.advance(500);
      await until(() => peer.attestations === before + 1);
      peer.facts = MATCHING;
      await until(() => {
        join.clock.advance(500);
        return stream.responses.length > 1;
      });
      const second = await stream.next();
      assert.deepEqual([namesOf(second), removedOf(second)], [[WEB], []]);
      assert.notEqual(serialOf(second), serialOf(first));
      assert.equal(stream.state().state, 'in_sync');
      assert.equal(stream.state().held, undefined);
    });

    it('loses the identity when the SVID expires, and gets it back when the fact appears later still', async (t) => {
      const { join, peer, stream } = await given(t, variant, WEB, BUNDLE);
      const end = join.clock.now() + 2 * HALF_LIFE;
      await lapse({ join, peer, stream });
      join.clock.advanceTo(end - 1);
      await new Promise(setImmediate);
      assert.equal(stream.state().held?.reason, 'facts-missing');
      assert.equal(stream.responses.length, 1, 'nothing was sent meanwhile');
      join.clock.advanceTo(end);
      await until(() => stream.state().held?.reason === 'lacks-selectors');
      assert.equal(stream.state(BUNDLE).held?.reason, 'no-identity');
      if (variant === 'delta') assert.deepEqual(removedOf(await stream.next()).sort(), [BUNDLE, WEB]);
      peer.facts = MATCHING;
      join.clock.advance(ROUND_MAX_MS);
      assert.ok(namesOf(await stream.next()).includes(WEB));
    });

    it('reads the missing fact at growing intervals, and sends nothing of the entry meanwhile', async (t) => {
      const { join, web, peer, stream } = await given(t, variant, WEB);
      await lapse({ join, peer, stream });
      const caller = join.identities.caller(peer);
      const before = peer.attestations;
      for (let i = 0; i < 600; i += 1) {
        join.clock.advance(100);
        await new Promise(setImmediate);
        assert.equal(join.identities.peekSvid(caller, web), undefined);
      }
      const looks = peer.attestations - before;
      // Retries after 0.5, 1, 2, 4, 8, 15, 15 … seconds, plus the slow rounds.
      assert.ok(looks >= 6 && looks <= 14, `${looks} attestations in a minute`);
      assert.equal(await join.identities.svid(caller, web), undefined);
      assert.equal(join.identities.holders(web), 0);
    });

    it('applies a loss through the registry at once: the entry is deleted or requires more selectors', async (t) => {
      for (const loss of ['delete', 'update'] as const) {
        const { join, web, peer, stream } = await given(t, variant, WEB);
        await lapse({ join, peer, stream });
        await join.registry.update(web.id, { hint: 'harmless' });
        await new Promise(setImmediate);
        assert.equal(stream.state().held?.reason, 'facts-missing', 'an irrelevant change has no effect');
        if (loss === 'delete') await join.registry.delete(web.id);
        else await join.registry.update(web.id, { selectors: [...web.selectors, { type: 'unix', value: 'gid:1' }] });
        const reason = loss === 'delete' ? 'no-entry' : 'lacks-selectors';
        await until(() => stream.state().held?.reason === reason);
        if (variant === 'delta') assert.deepEqual(removedOf(await stream.next()), [WEB]);
        stream.close();
      }
    });

    it('switches to another entry with the same SPIFFE ID, and applies a gain at once', async (t) => {
      const { join, peer, stream, first } = await given(t, variant, WEB);
      await lapse({ join, peer, stream });
      await join.create('/web', LACKING);
      assert.notEqual(serialOf(await stream.next()), serialOf(first));
      assert.equal(stream.state().state, 'in_sync');
    });

    it('applies a loss at once for a caller without an SVID of the entry', async (t) => {
      const { join, peer, stream } = await given(t, variant, BUNDLE);
      peer.facts = LACKING;
      await join.identities.caller(peer).reattest();
      await until(() => stream.state(BUNDLE).held?.reason === 'no-identity');
      assert.deepEqual(join.identities.caller(peer).entries, []);
    });

    it('stops reading the facts of a caller that has closed its stream', async (t) => {
      const join = await makeJoin(t);
      const peer = new ScriptedPeer(...LACKING);
      const stream = open(t, join, peer, variant);
      stream.ask(WEB);
      await until(() => stream.state().held?.reason === 'no-entry');
      assert.equal(join.identities.caller(peer).waiting, true);
      stream.close();
      assert.equal(join.identities.caller(peer).waiting, false);
    });
  });
}

describe('a wildcard', () => {
  it('grows when a fact of its caller appears later', async (t) => {
    const join = await makeJoin(t);
    await join.create('/web', MATCHING);
    const peer = new ScriptedPeer(...LACKING);
    const stream = open(t, join, peer, 'delta');
    stream.ask('*');
    await until(() => join.identities.caller(peer).attested);
    peer.facts = MATCHING;
    join.clock.advance(ROUND_MAX_MS);
    assert.deepEqual(namesOf(await stream.next()), [BUNDLE, WEB]);
  });
});

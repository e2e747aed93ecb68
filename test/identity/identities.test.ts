import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { describe, it } from 'node:test';
import { SidekeyError } from '../../src/base/errors.ts';
import type { Grant } from '../../src/identity/grant.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { makeJoin, ScriptedPeer, until } from './support.ts';

const WEB = parseSpiffeId('spiffe://ilinux.io/web');
const HALF_LIFE = 1_800_000;

describe('the live join', () => {
  it('joins a caller with the entries whose selectors it has, all of each', async (t) => {
    const { identities, create } = await makeJoin(t);
    const web = await create('/web', ['unix:uid:1']);
    await create('/other', ['unix:uid:1', 'unix:gid:9']);
    const caller = identities.caller(new ScriptedPeer('unix:uid:1', 'unix:gid:1'));
    assert.deepEqual(caller.entries, [], 'nothing before it is attested');
    await caller.attestAfter(0);
    assert.deepEqual(caller.entries, [web]);
    assert.equal(caller.entryFor(WEB), web);
  });

  it('takes the oldest of several entries with one SPIFFE ID', async (t) => {
    const { identities, create, clock } = await makeJoin(t);
    const older = await create('/web', ['unix:uid:1']);
    clock.advance(1_000);
    await create('/web', ['unix:gid:1']);
    const caller = identities.caller(new ScriptedPeer('unix:uid:1', 'unix:gid:1'));
    await caller.attestAfter(0);
    assert.equal(caller.entryFor(WEB), older);
  });

  it('tells who watches an identity when an entry comes, changes and goes, and nobody else', async (t) => {
    const { identities, create, registry } = await makeJoin(t);
    const mine = identities.caller(new ScriptedPeer('unix:uid:1'));
    const other = identities.caller(new ScriptedPeer('unix:uid:2'));
    await Promise.all([mine.attestAfter(0), other.attestAfter(0)]);
    const told: string[] = [];
    mine.watchIdentity(WEB, () => told.push('web'));
    mine.watchIdentity(parseSpiffeId('spiffe://ilinux.io/api'), () => told.push('api'));
    mine.watchEntries(() => told.push('entries'));
    other.watchEntries(() => told.push('other'));
    const web = await create('/web', ['unix:uid:1']);
    assert.deepEqual(told.splice(0).sort(), ['entries', 'web']);
    await registry.update(web.id, { hint: 'x' });
    assert.deepEqual(told.splice(0).sort(), ['entries', 'web']);
    await registry.delete(web.id);
    assert.deepEqual(told.splice(0).sort(), ['entries', 'web']);
    assert.deepEqual(mine.entries, []);
  });

  it('issues one SVID for an entry, whoever asks and how often', async (t) => {
    const { identities, create } = await makeJoin(t);
    const web = await create('/web', ['unix:uid:1']);
    const callers = [new ScriptedPeer('unix:uid:1'), new ScriptedPeer('unix:uid:1')].map((p) => identities.caller(p));
    const [one, two] = await Promise.all(callers.map((caller) => identities.svid(caller, web)));
    assert.equal(one!.serial, two!.serial);
    assert.equal(identities.peekSvid(callers[0]!, web)!.serial, one!.serial);
  });

  it('gives an SVID only to a caller that was attested after its issuance began', async (t) => {
    const { identities, create, clock } = await makeJoin(t);
    const web = await create('/web', ['unix:uid:1']);
    const peer = new ScriptedPeer('unix:uid:1');
    const caller = identities.caller(peer);
    const first = await identities.svid(caller, web);
    assert.equal(peer.attestations, 1);
    clock.advance(HALF_LIFE);
    assert.equal(identities.peekSvid(caller, web), undefined, 'it is due');
    const second = await identities.svid(caller, web);
    assert.notEqual(second!.serial, first!.serial);
    assert.equal(peer.attestations, 2);
  });

  it('does not take facts that were being read when an issuance began for facts read after it', async (t) => {
    const { identities, create } = await makeJoin(t);
    const web = await create('/web', ['unix:uid:1']);
    const peer = new ScriptedPeer('unix:uid:1');
    const caller = identities.caller(peer);
    const gate = Promise.withResolvers<void>();
    peer.gate = gate.promise;
    const early = caller.attestAfter(0);
    await identities.svid(identities.caller(new ScriptedPeer('unix:uid:1')), web);
    const svid = identities.svid(caller, web);
    await new Promise(setImmediate);
    gate.resolve();
    await early;
    assert.ok(await svid);
    assert.equal(peer.attestations, 2);
  });

  it('gives an SVID that another caller had issued only after a look at this one', async (t) => {
    const { identities, create } = await makeJoin(t);
    const web = await create('/web', ['unix:uid:1']);
    const [early, late] = [new ScriptedPeer('unix:uid:1'), new ScriptedPeer('unix:uid:1')].map((p) =>
      identities.caller(p),
    );
    await early!.attestAfter(0);
    await identities.svid(late!, web);
    assert.equal(identities.peekSvid(early!, web), undefined);
    await identities.svid(early!, web);
    assert.ok(identities.peekSvid(early!, web));
  });

  it('gives nothing of an entry that changed while it was signed', async (t) => {
    const { identities, create, registry } = await makeJoin(t);
    const web = await create('/web', ['unix:uid:1']);
    const caller = identities.caller(new ScriptedPeer('unix:uid:1'));
    await caller.attestAfter(0);
    const before = identities.svid(caller, web);
    const named = (await registry.update(web.id, { dnsNames: ['new.ilinux.io'] })) as Grant;
    assert.equal(await before, undefined);
    const svid = await identities.svid(caller, named);
    assert.match(new X509Certificate(svid!.certificateChain).subjectAltName!, /new\.ilinux\.io/);
  });

  it('does not hand out an SVID that was revoked as soon as it was recorded', async (t) => {
    const { identities, create, registry, clock, hook, issued } = await makeJoin(t);
    const web = await create('/web', ['unix:uid:1']);
    const caller = identities.caller(new ScriptedPeer('unix:uid:1'));
    hook.onRecorded = async (serials) => {
      hook.onRecorded = async () => undefined;
      const terms = { authorityId: 'ab', spiffeId: WEB, entryId: web.id, reason: 'key-compromise' } as const;
      const times = { revokedAt: clock.now(), notAfter: clock.now() + 2 * HALF_LIFE };
      await registry.revocations.add(serials.map((serial) => ({ serial, ...terms, ...times })));
      await Promise.all(identities.replaceRevoked());
    };
    const svid = await identities.svid(caller, web);
    assert.equal(registry.revocations.get(svid!.serial), undefined);
    assert.equal((await issued()).length, 2);
    assert.equal(identities.peekSvid(caller, web)!.serial, svid!.serial);
  });

  it('gives no renewed SVID to a caller that no longer matches', async (t) => {
    const { identities, create, clock } = await makeJoin(t);
    const web = await create('/web', ['unix:uid:1']);
    const peer = new ScriptedPeer('unix:uid:1');
    const caller = identities.caller(peer);
    assert.ok(await identities.svid(caller, web));
    peer.facts = ['unix:uid:2'];
    clock.advance(HALF_LIFE);
    assert.equal(await identities.svid(caller, web), undefined);
    assert.deepEqual(caller.entries, []);
  });

  it('renews at half life while somebody watches, and forgets when nobody does', async (t) => {
    const { identities, create, clock, issued } = await makeJoin(t);
    const web = await create('/web', ['unix:uid:1']);
    const caller = identities.caller(new ScriptedPeer('unix:uid:1'));
    let told = 0;
    const stop = identities.watchSvid(web, () => {
      told += 1;
    });
    const first = await identities.svid(caller, web);
    assert.equal(told, 1);
    clock.advance(HALF_LIFE - 1);
    assert.equal((await identities.svid(caller, web))!.serial, first!.serial);
    clock.advance(1);
    await until(() => told === 2);
    const second = await identities.svid(caller, web);
    assert.notEqual(second!.serial, first!.serial);
    stop();
    clock.advance(HALF_LIFE);
    // What is issued after it was due shows that it was not issued before.
    const other = await identities.svid(caller, await create('/other', ['unix:uid:1']));
    assert.equal(told, 2);
    assert.deepEqual(await issued(), [other!.serial, second!.serial, first!.serial]);
  });

  it('tells those who watch of an SVID that somebody else had renewed before it was due for them', async (t) => {
    const { identities, create, clock } = await makeJoin(t);
    const web = await create('/web', ['unix:uid:1']);
    const [early, late] = [new ScriptedPeer('unix:uid:1'), new ScriptedPeer('unix:uid:1')].map((p) =>
      identities.caller(p),
    );
    let told = 0;
    await identities.svid(early!, web);
    identities.watchSvid(web, () => {
      told += 1;
    });
    // As after a suspend: it is past due, and the tick that would tell so has not come.
    clock.set(clock.now() + HALF_LIFE + 3_000);
    await identities.svid(late!, web);
    assert.equal(told, 1);
  });

  it('issues anew when the entry changes what stands in the SVID, and not when it changes something else', async (t) => {
    const { identities, create, registry } = await makeJoin(t);
    const web = await create('/web', ['unix:uid:1']);
    const caller = identities.caller(new ScriptedPeer('unix:uid:1'));
    const first = await identities.svid(caller, web);
    const hinted = (await registry.update(web.id, { hint: 'x' })) as Grant;
    assert.equal((await identities.svid(caller, hinted))!.serial, first!.serial);
    const named = (await registry.update(web.id, { dnsNames: ['web.ilinux.io'] })) as Grant;
    const second = await identities.svid(caller, named);
    assert.notEqual(second!.serial, first!.serial);
    const withRsa = (await registry.update(web.id, { x509SvidKeyType: 'rsa-2048' })) as Grant;
    const rsa = await identities.svid(caller, withRsa);
    assert.notEqual(rsa!.serial, second!.serial);
    assert.equal(new X509Certificate(rsa!.certificateChain).publicKey.asymmetricKeyType, 'rsa');
  });

  it('never gives an SVID that outlives its entry, nor any once it has ended', async (t) => {
    const { identities, create, clock } = await makeJoin(t);
    const end = clock.now() + 60_000;
    const web = await create('/web', ['unix:uid:1'], { expires_at: end / 1000 });
    const caller = identities.caller(new ScriptedPeer('unix:uid:1'));
    const svid = await identities.svid(caller, web);
    assert.equal(svid!.notAfter, end);
    let told = 0;
    caller.watchIdentity(WEB, () => {
      told += 1;
    });
    clock.advanceTo(end);
    assert.equal(told, 1);
    assert.deepEqual(caller.entries, []);
    assert.deepEqual(identities.explain(caller, WEB).reason, 'expired');
    assert.equal(identities.peekSvid(caller, web), undefined);
  });

  it('attests again until it works when an attestor fails at renewal, and tells then', async (t) => {
    const { identities, create, clock } = await makeJoin(t);
    const web = await create('/web', ['unix:uid:1']);
    const peer = new ScriptedPeer('unix:uid:1');
    const caller = identities.caller(peer);
    await identities.svid(caller, web);
    let told = 0;
    caller.watchRecovery(() => {
      told += 1;
    });
    clock.advance(HALF_LIFE);
    peer.facts = new SidekeyError('ERR_ATTESTATION_FAILED', 'the engine does not answer');
    await assert.rejects(identities.svid(caller, web), { code: 'ERR_ATTESTATION_FAILED' });
    assert.deepEqual(caller.entries, [web], 'what it was stays on record meanwhile');
    clock.advance(500);
    await until(() => peer.attestations === 3);
    peer.facts = ['unix:uid:1'];
    await until(() => clock.pending > 1);
    clock.advance(1_000);
    await until(() => told === 1);
    assert.ok(identities.peekSvid(caller, web));
  });

  it('explains what a caller lacks by the entry that is nearest, without environment values', async (t) => {
    const { identities, create } = await makeJoin(t);
    const caller = identities.caller(new ScriptedPeer('unix:uid:1', 'unix:gid:1'));
    await caller.attestAfter(0);
    assert.deepEqual(identities.explain(caller, WEB), { reason: 'no-entry', detail: `no entry gives ${WEB}` });
    await create('/web', ['unix:uid:2', 'unix:gid:2']);
    const near = await create('/web', ['unix:uid:1', 'docker:env:TOKEN=s3cret']);
    const held = identities.explain(caller, WEB);
    assert.equal(held.reason, 'lacks-selectors');
    assert.equal(held.detail, `entry ${near.id} gives ${WEB} to callers with docker:env:TOKEN=[redacted]`);
  });

  it('gives bundles to callers that an entry matches, or to anyone where that is wanted', async (t) => {
    const closed = await makeJoin(t);
    const caller = closed.identities.caller(new ScriptedPeer('unix:uid:1'));
    await caller.attestAfter(0);
    assert.equal('reason' in closed.identities.bundle(caller), true);
    await closed.create('/web', ['unix:uid:1']);
    assert.equal('reason' in closed.identities.bundle(caller), false);
    const open = await makeJoin(t, 'anyone');
    const stranger = open.identities.caller(new ScriptedPeer('unix:uid:7'));
    await stranger.attestAfter(0);
    assert.equal('reason' in open.identities.bundle(stranger), false);
  });

  it('reads the facts of its callers anew when the first entry asks for a hash, and only then', async (t) => {
    const { identities, create } = await makeJoin(t);
    const hash = `unix:sha256:${'a'.repeat(64)}`;
    const peer = new ScriptedPeer('unix:uid:1');
    const caller = identities.caller(peer);
    await caller.attestAfter(0);
    peer.facts = ['unix:uid:1', hash];
    let told = 0;
    caller.watchIdentity(WEB, () => {
      told += 1;
    });
    await create('/web', ['unix:uid:1', hash]);
    await until(() => told === 1);
    assert.ok(caller.entryFor(WEB));
    await create('/api', ['unix:uid:1', hash]);
    assert.equal(peer.attestations, 2);
  });

  it('looks at once at a waiting caller that likely has a selector newly asked for, and at none that likely has not', async (t) => {
    const { identities, create, registry, clock } = await makeJoin(t);
    const peers = ['likely', 'not', 'unknown', 'busy'].map(() => new ScriptedPeer('unix:uid:1'));
    const [likely, not, unknown, busy] = peers as [ScriptedPeer, ScriptedPeer, ScriptedPeer, ScriptedPeer];
    const callers = peers.map((peer) => identities.caller(peer));
    for (const caller of callers) await caller.attestAfter(0);
    for (const caller of callers.slice(0, 3)) caller.waits(1);
    for (const peer of [likely, busy]) {
      peer.remembered = ['docker:label:a:b'];
      peer.facts = ['unix:uid:1', 'docker:label:a:b'];
    }
    not.remembered = [];
    const counts = () => peers.map(({ attestations }) => attestations);
    assert.deepEqual(counts(), [1, 1, 1, 1]);
    const web = await create('/web', ['docker:label:a:b']);
    assert.equal(likely.attestations, 2, 'within the very change');
    await until(() => callers[0]!.holds(web));
    await until(() => unknown.attestations === 2);
    clock.advance(5_000);
    await until(() => callers[3]!.holds(web));
    assert.deepEqual(counts(), [2, 1, 2, 2]);
    // What is being read now may have left it out.
    const late = new ScriptedPeer('unix:uid:1');
    const gate = Promise.withResolvers<void>();
    late.gate = gate.promise;
    late.remembered = [];
    const reading = identities.caller(late).attestAfter(0);
    await create('/late', ['docker:label:a:late']);
    clock.advance(1_000);
    gate.resolve();
    await reading;
    await until(() => late.attestations === 2);
    // Asked for already: nothing is new.
    const before = counts();
    await create('/other', ['docker:label:a:b']);
    await registry.delete(web.id);
    clock.advance(1_000);
    assert.deepEqual(counts(), before);
  });

  it('keeps what callers with the same facts have when one of them leaves', async (t) => {
    const { identities, create } = await makeJoin(t);
    const leaving = new ScriptedPeer('unix:uid:1');
    const caller = identities.caller(new ScriptedPeer('unix:uid:1'));
    await Promise.all([identities.caller(leaving).attestAfter(0), caller.attestAfter(0)]);
    leaving.close();
    const web = await create('/web', ['unix:uid:1']);
    assert.deepEqual(caller.entries, [web]);
  });

  it('forgets a caller that is gone', async (t) => {
    const { identities, create } = await makeJoin(t);
    const peer = new ScriptedPeer('unix:uid:1');
    const caller = identities.caller(peer);
    await caller.attestAfter(0);
    let told = 0;
    caller.watchEntries(() => {
      told += 1;
    });
    peer.close();
    await create('/web', ['unix:uid:1']);
    assert.equal(told, 0);
    assert.notEqual(identities.caller(new ScriptedPeer('unix:uid:1')), caller);
  });
});

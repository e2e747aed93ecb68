/** Templates and negative selectors in the join: which SPIFFE IDs callers get by them, and why not. */

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { explain } from '../../src/identity/explanation.ts';
import { keyOf } from '../../src/identity/grant.ts';
import { MAX_RENDERED, Renderings } from '../../src/identity/renderings.ts';
import { parseSpiffeId, type SpiffeId } from '../../src/spiffe/id.ts';
import { splitSelector } from '../../src/spiffe/selector.ts';
import { type Join, makeJoin, ScriptedPeer, until } from './support.ts';

const PROJECT = 'docker:compose_project:shop';
const SERVICES = '/shop/{docker.compose_service}';
const idOf = (path: string): SpiffeId => parseSpiffeId(`spiffe://ilinux.io${path}`);

function service(name: string, project = PROJECT): ScriptedPeer {
  const peer = new ScriptedPeer(project);
  peer.values = { 'docker.compose_service': name };
  return peer;
}

async function callerOf({ identities }: Join, peer: ScriptedPeer) {
  const caller = identities.caller(peer);
  await caller.attestAfter(0);
  return caller;
}

const given = (caller: { entries: readonly { spiffeId: string }[] }) =>
  caller.entries.map(({ spiffeId }) => spiffeId.slice('spiffe://ilinux.io'.length));

describe('the template of an entry', () => {
  it('gives each caller the SPIFFE ID of its own facts, and callers with the same facts one SVID', async (t) => {
    const join = await makeJoin(t);
    const template = await join.create(SERVICES, [PROJECT]);
    const [web, twin, api] = await Promise.all(
      [service('web'), service('web'), service('api')].map((peer) => callerOf(join, peer)),
    );
    assert.deepEqual(
      [web, twin, api].map((caller) => given(caller!)),
      [['/shop/web'], ['/shop/web'], ['/shop/api']],
    );
    assert.equal(web!.entries[0], twin!.entries[0]);
    const [one, same, other] = await Promise.all(
      [web, twin, api].map((caller) => join.identities.svid(caller!, caller!.entries[0]!)),
    );
    assert.equal(one!.serial, same!.serial);
    assert.notEqual(one!.serial, other!.serial);
    assert.deepEqual(
      [one!.spiffeId, one!.entryId, one!.grant],
      [idOf('/shop/web'), template.id, keyOf(web!.entries[0]!)],
    );
    assert.equal(join.identities.holders(template), 3);
    assert.equal(web!.entryFor(idOf('/shop/web')), web!.entries[0]);
    assert.equal(web!.entryFor(idOf('/shop/api')), undefined);
    assert.equal(join.identities.peekSvid(web!, api!.entries[0]!), undefined, 'the other one is not for it');
    assert.equal(await join.identities.svid(web!, api!.entries[0]!), undefined);
  });

  it('gives nothing without a value, for a value that is no segment, or below reserved paths', async (t) => {
    const join = await makeJoin(t);
    await join.create('/{docker.compose_service}/a', [PROJECT]);
    const cases: readonly (readonly [string | { why: string } | undefined, RegExp])[] = [
      [undefined, /\{docker\.compose_service\} has no value: it has not been read yet/],
      [{ why: 'the image itself has it' }, /has no value: the image itself has it/],
      ['a/b', /is no path segment: it has the character "\/"/],
      ['..', /is no path segment/],
      ['spire', /spiffe:\/\/ilinux\.io\/spire\/a is below a path that is reserved/],
      ['SideKey', /is below a path that is reserved/],
    ];
    for (const [value, why] of cases) {
      const peer = new ScriptedPeer(PROJECT);
      peer.values = value === undefined ? {} : { 'docker.compose_service': value };
      const caller = await callerOf(join, peer);
      assert.deepEqual(given(caller), []);
      assert.match(caller.unrendered[0]!.why, why);
      const held = join.identities.explain(caller, idOf('/web/a'));
      // The next attestation decides about a value that was not looked for.
      const reason = value === undefined ? 'facts-missing' : 'not-rendered';
      assert.equal(held.reason, reason);
      assert.match(held.detail, why);
      const bundle = join.identities.bundle(caller);
      assert.ok('reason' in bundle && bundle.reason === reason);
      peer.close();
    }
    assert.deepEqual([...join.identities.unrendered()], []);
  });

  it('never gives a SPIFFE ID that another entry names, from when it is made until it is deleted', async (t) => {
    const join = await makeJoin(t);
    await join.create(SERVICES, [PROJECT]);
    const caller = await callerOf(join, service('web'));
    let told = 0;
    caller.watchIdentity(idOf('/shop/web'), () => {
      told += 1;
    });
    const literal = await join.create('/shop/web', ['unix:uid:7']);
    assert.deepEqual([given(caller), told], [[], 1]);
    assert.match(caller.unrendered[0]!.why, /another entry names spiffe:\/\/ilinux\.io\/shop\/web/);
    assert.deepEqual(given(await callerOf(join, service('web'))), [], 'a caller that comes later neither');
    assert.deepEqual(given(await callerOf(join, service('api'))), ['/shop/api']);
    assert.deepEqual(given(await callerOf(join, service('Web'))), ['/shop/Web'], 'SPIFFE IDs tell cases apart');
    await join.registry.delete(literal.id);
    assert.deepEqual([given(caller), told], [['/shop/web'], 2]);
  });

  it('tries again what it was refused, as when an entry that had expired was deleted', async (t) => {
    const join = await makeJoin(t);
    await join.create(SERVICES, [PROJECT]);
    const expires = new Date(join.clock.now() + 60_000).toISOString();
    const literal = await join.create('/shop/web', ['unix:uid:7'], { expires_at: expires });
    const caller = await callerOf(join, service('web'));
    join.clock.advance(60_000);
    assert.deepEqual(given(caller), [], 'it names the SPIFFE ID still');
    await join.registry.delete(literal.id);
    join.clock.advance(15_000);
    assert.deepEqual(given(caller), ['/shop/web']);
  });

  it('says anew why a name is held when a template could give it, or no longer', async (t) => {
    const join = await makeJoin(t);
    const caller = await callerOf(join, service('api'));
    let told = 0;
    join.identities.watchReason(caller, idOf('/shop/web'), () => {
      told += 1;
    });
    const reason = () => join.identities.explain(caller, idOf('/shop/web')).reason;
    assert.equal(reason(), 'no-entry');
    const entry = await join.create(SERVICES, [PROJECT]);
    join.clock.advance(250);
    assert.deepEqual([reason(), told], ['not-rendered', 1]);
    await join.create('/other/{docker.compose_service}', [PROJECT]);
    join.clock.advance(250);
    assert.equal(told, 1);
    await join.registry.delete(entry.id);
    join.clock.advance(250);
    assert.deepEqual([reason(), told], ['no-entry', 2]);
  });

  it('uses no fact of the process of a caller in a container, unless the entry allows it', async (t) => {
    const join = await makeJoin(t);
    const users = await join.create('/users/{unix.user}', [PROJECT]);
    await join.create('/c/{docker.compose_service}', [PROJECT]);
    const peer = new ScriptedPeer(PROJECT);
    peer.contained = 'its pid namespace is below that of Sidekey';
    peer.values = { 'unix.user': 'alice', 'docker.compose_service': 'web' };
    const caller = await callerOf(join, peer);
    assert.deepEqual(given(caller), ['/c/web']);
    assert.match(
      caller.unrendered[0]!.why,
      /\{unix\.user\} has no value for a caller in a container .*root in a container chooses it/,
    );
    await join.registry.update(users.id, { allowContained: true });
    assert.deepEqual(given(caller).sort(), ['/c/web', '/users/alice']);
  });

  it('is the answer to `default` too, and gives the hint, TTL and DNS names of the entry', async (t) => {
    const join = await makeJoin(t);
    await join.create('/old', [PROJECT]);
    await join.create(SERVICES, [PROJECT], { hint: 'default', dns_names: ['shop.ilinux.io'], x509_svid_ttl: 600 });
    const caller = await callerOf(join, service('web'));
    const { byDefault } = explained(join, [PROJECT, 'docker:compose_service:web']);
    assert.equal(byDefault!.spiffeId, idOf('/shop/web'));
    const svid = await join.identities.svid(caller, caller.entryFor(idOf('/shop/web'))!);
    assert.equal(svid!.notAfter - join.clock.now(), 600_000);
  });

  it('changes for its callers as it is edited, and is gone with the entry', async (t) => {
    const join = await makeJoin(t);
    const entry = await join.create(SERVICES, [PROJECT]);
    const caller = await callerOf(join, service('web'));
    const svid = () => join.identities.svid(caller, caller.entries[0]!);
    const first = await svid();
    join.identities.watchSvid(caller.entries[0]!, () => undefined);
    await join.registry.update(entry.id, { hint: 'x' });
    assert.equal((await svid())!.serial, first!.serial, 'the hint is not in the SVID');
    await join.registry.update(entry.id, { dnsNames: ['web.ilinux.io'] });
    assert.notEqual((await svid())!.serial, first!.serial);
    const spiffeId = (await join.create('/other/{docker.compose_service}', ['unix:uid:9'])).spiffeId;
    await join.registry.update(entry.id, { spiffeId });
    assert.deepEqual(given(caller), ['/other/web']);
    assert.equal((await svid())!.spiffeId, idOf('/other/web'));
    await join.registry.delete(entry.id);
    assert.deepEqual(given(caller), []);
    const issued = await join.issued();
    join.clock.advance(3_600_000);
    assert.deepEqual(await join.issued(), issued, 'nothing is renewed for it');
  });

  it('loses the former SPIFFE ID when a fact changes: nothing is issued for it, and the caller has it until its SVID ends', async (t) => {
    const join = await makeJoin(t);
    await join.create(SERVICES, [PROJECT]);
    const peer = service('web');
    const caller = await callerOf(join, peer);
    const svid = (await join.identities.svid(caller, caller.entries[0]!))!;
    caller.given(svid.grant, svid.notAfter);
    peer.values = { 'docker.compose_service': 'api' };
    await caller.reattest();
    assert.deepEqual(given(caller).sort(), ['/shop/api', '/shop/web']);
    const former = caller.entryFor(idOf('/shop/web'))!;
    assert.equal(caller.holds(former), false);
    assert.match(join.identities.explainLapse(caller, former)!.detail, /the caller has other values for its template/);
    assert.equal(await join.identities.svid(caller, former), undefined);
    assert.ok(await join.identities.svid(caller, caller.entryFor(idOf('/shop/api'))!));
    join.clock.advance(svid.notAfter - join.clock.now());
    assert.deepEqual(given(caller), ['/shop/api']);
  });

  it('is read of callers that were attested before an entry had its placeholders', async (t) => {
    const join = await makeJoin(t);
    const peer = new ScriptedPeer(PROJECT);
    const caller = await callerOf(join, peer);
    peer.values = { 'docker.compose_service': 'web' };
    await join.create(SERVICES, [PROJECT]);
    await until(() => given(caller).length > 0);
    assert.deepEqual([given(caller), peer.attestations], [['/shop/web'], 2]);
  });
});

describe('a template makes a limited number of SPIFFE IDs', () => {
  const facts = (value: string) => ({ values: new Map([['docker.compose_service', { value }]]), contained: undefined });

  async function full(t: TestContext) {
    const join = await makeJoin(t);
    const entry = await join.create(SERVICES, [PROJECT]);
    const renderings = new Renderings({ registry: join.registry, clock: join.clock });
    const holders = Array.from({ length: MAX_RENDERED }, (_, at) => ({ at }));
    for (const holder of holders) renderings.renderAll(holder, [entry], facts(`s${holder.at}`));
    const refused = (name: string) => renderings.renderAll({}, [entry], facts(name)).unrendered.map(({ why }) => why);
    return { join, entry, renderings, holders, refused };
  }

  it('and refuses more with the reason, but not those that it has made', async (t) => {
    const { refused } = await full(t);
    assert.match(refused('one-more')[0]!, /has made 1000 other SPIFFE IDs, which is the limit/);
    assert.deepEqual(refused('s7'), []);
  });

  it('until a caller leaves and the last SVID of its SPIFFE ID has ended', async (t) => {
    const { join, entry, renderings, holders, refused } = await full(t);
    const { grants } = renderings.renderAll(holders[3]!, [entry], facts('s3'));
    renderings.issued(grants[0]!, join.clock.now() + 5_000);
    renderings.release(holders[3]!);
    assert.equal(refused('one-more').length, 1, 'its SVID is valid still');
    join.clock.advance(5_000);
    assert.deepEqual(refused('one-more'), []);
    renderings.release(holders[4]!);
    assert.deepEqual(refused('another'), []);
  });

  it('and each template counts for itself', async (t) => {
    const { join, renderings } = await full(t);
    const other = await join.create('/other/{docker.compose_service}', [PROJECT]);
    assert.equal(renderings.renderAll({}, [other], facts('one-more')).grants.length, 1);
  });
});

describe('a negative selector', () => {
  const CANARY = 'docker:label:tier:canary';

  it('leaves out callers with the fact, and those of which it is not known', async (t) => {
    const join = await makeJoin(t);
    const entry = await join.create('/web', [PROJECT, `!${CANARY}`]);
    const [lacking, having, unknown] = await Promise.all(
      [[PROJECT, `!${CANARY}`], [PROJECT, CANARY], [PROJECT]].map((keys) => callerOf(join, new ScriptedPeer(...keys))),
    );
    assert.deepEqual(
      [lacking, having, unknown].map((caller) => given(caller!)),
      [['/web'], [], []],
    );
    assert.deepEqual([...lacking!.shownSelectors], [PROJECT], 'it is no fact of its own');
    const detail = (caller: typeof having) => join.identities.explain(caller!, idOf('/web')).detail;
    assert.equal(
      detail(having),
      `entry ${entry.id} gives ${idOf('/web')} to callers without ${CANARY} (which this caller has)`,
    );
    assert.match(detail(unknown), /without docker:label:tier:canary \(not known of this caller\)/);
    assert.deepEqual(join.identities.explain(having!, idOf('/web')).candidates, [
      { entryId: entry.id, lacks: [`!${CANARY}`] },
    ]);
  });

  it('that is added takes the entry from callers until they were attested again', async (t) => {
    const join = await makeJoin(t);
    const entry = await join.create('/web', [PROJECT]);
    const peer = new ScriptedPeer(PROJECT);
    const caller = await callerOf(join, peer);
    const svid = (await join.identities.svid(caller, caller.entries[0]!))!;
    peer.facts = [PROJECT, `!${CANARY}`];
    await join.registry.update(entry.id, { selectors: [PROJECT, `!${CANARY}`].map((text) => splitSelector(text)!) });
    assert.deepEqual([given(caller), join.identities.peekSvid(caller, entry)], [[], undefined]);
    await until(() => given(caller).length > 0);
    assert.equal((await join.identities.svid(caller, caller.entries[0]!))!.serial, svid.serial);
    assert.equal(peer.attestations, 3, 'at first, for the SVID, and for the negative selector');
  });
});

function explained(join: Join, facts: readonly string[], spiffeId?: SpiffeId) {
  const query = { spiffeId, limit: 10, failed: false, replaced: undefined };
  return explain(
    facts.map((fact) => splitSelector(fact)!),
    query,
    join,
    join.clock.now(),
  );
}

describe('explain', () => {
  it('shows template, values and result, or why it is not rendered', async (t) => {
    const join = await makeJoin(t);
    const entry = await join.create(SERVICES, [PROJECT]);
    const web = explained(join, [PROJECT, 'docker:compose_service:web'], idOf('/shop/web'));
    assert.deepEqual(web.templates, [
      {
        entry,
        spiffeId: idOf('/shop/web'),
        why: undefined,
        values: [{ placeholder: 'docker.compose_service', value: { value: 'web' } }],
      },
    ]);
    assert.deepEqual([web.asked!.given, web.entries.map(({ spiffeId }) => spiffeId)], [true, [idOf('/shop/web')]]);
    const other = explained(join, [PROJECT, 'docker:compose_service:web'], idOf('/shop/api'));
    assert.equal(other.asked!.reason, 'not-rendered');
    assert.match(
      other.asked!.detail,
      /renders spiffe:\/\/ilinux\.io\/shop\/\{docker\.compose_service\} as spiffe:\/\/ilinux\.io\/shop\/web for this caller, not as/,
    );
    assert.deepEqual(other.fixes, [], 'an entry of that ID would take it from the callers of the template');
    assert.match(other.note!, /the template of entry .* can render this SPIFFE ID/);
    const none = explained(join, [PROJECT]);
    assert.match(none.templates[0]!.why!, /has no value: no docker:compose_service fact is known/);
    const two = explained(join, [PROJECT, 'docker:compose_service:a', 'docker:compose_service:b']);
    assert.match(two.templates[0]!.why!, /several values/);
    assert.equal(await join.issued().then(({ length }) => length), 0);
  });

  it('shows entries whose templates could give the SPIFFE ID among the near misses', async (t) => {
    const join = await makeJoin(t);
    const entry = await join.create(SERVICES, [PROJECT]);
    const { asked, near } = explained(join, ['docker:compose_project:other'], idOf('/shop/web'));
    assert.deepEqual([asked!.reason, near.map((miss) => miss.entry.id)], ['lacks-selectors', [entry.id]]);
    assert.match(
      asked!.detail,
      /gives spiffe:\/\/ilinux\.io\/shop\/\{docker\.compose_service\} to callers with docker:compose_project:shop/,
    );
  });
});

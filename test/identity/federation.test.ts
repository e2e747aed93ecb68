import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import type { Caller } from '../../src/identity/caller.ts';
import type { Held } from '../../src/identity/held.ts';
import { parseSpiffeId, parseTrustDomain } from '../../src/spiffe/id.ts';
import { makeCertificate } from '../support/certificates.ts';
import { type Join, makeJoin, ScriptedPeer, TRUST_DOMAIN, until } from './support.ts';

const OTHER = parseTrustDomain('other.example');
const ANOTHER = parseTrustDomain('another.example');
const [one, two] = await Promise.all([makeCertificate({ name: 'one' }), makeCertificate({ name: 'two' })]);

function input(...roots: readonly { der: Buffer }[]) {
  return {
    x509Authorities: roots.map(({ der }) => der),
    jwtAuthorities: [],
    sequenceNumber: undefined,
    refreshHint: undefined,
  };
}

interface Federation extends Join {
  caller(...facts: string[]): Promise<Caller>;
  /** How the answer for a trust domain reads: its certificates, or why it is held. */
  answer(caller: Caller, trustDomain?: typeof OTHER): readonly Buffer[] | Held['reason'];
}

async function federation(t: TestContext, bundleFor?: 'anyone'): Promise<Federation> {
  const join = await makeJoin(t, bundleFor);
  return {
    ...join,
    async caller(...facts) {
      const caller = join.identities.caller(new ScriptedPeer(...facts));
      await caller.attestAfter(0);
      return caller;
    },
    answer(caller, trustDomain = OTHER) {
      const bundle = join.identities.bundle(caller, trustDomain);
      return 'reason' in bundle ? bundle.reason : bundle.x509Authorities;
    },
  };
}

describe("another trust domain's bundle", () => {
  test('goes to callers that an entry matches which federates with it, once it is set', async (t) => {
    const { create, registry, caller, answer, identities } = await federation(t);
    await create('/web', ['unix:uid:1'], { federates_with: ['other.example'] });
    await create('/api', ['unix:uid:2']);
    const [web, api, nobody] = [await caller('unix:uid:1'), await caller('unix:uid:2'), await caller('unix:uid:3')];
    assert.equal(answer(web), 'no-bundle');
    assert.equal(answer(api), 'not-federated');
    assert.equal(answer(nobody), 'no-identity');
    await registry.federatedBundles.set(OTHER, input(one));
    assert.deepEqual(answer(web), [one.der]);
    assert.equal(answer(api), 'not-federated', 'one that is set is not for everybody');
    assert.equal(answer(web, ANOTHER), 'not-federated');
    assert.equal(identities.bundle(web), identities.bundle(web, TRUST_DOMAIN), 'the own one needs no name');
    assert.equal('reason' in identities.bundle(api), false);
  });

  test('follows the entries also where the own bundle is for anyone', async (t) => {
    const { registry, caller, answer, identities } = await federation(t, 'anyone');
    await registry.federatedBundles.set(OTHER, input(one));
    const nobody = await caller('unix:uid:3');
    assert.equal('reason' in identities.bundle(nobody), false);
    assert.equal(answer(nobody), 'no-identity');
    assert.deepEqual(identities.federated(nobody), []);
  });

  test('of every known domain goes to callers of an entry with *, and so does one that is set later', async (t) => {
    const { create, registry, caller, answer, identities } = await federation(t);
    await create('/web', ['unix:uid:1'], { federates_with: ['*'] });
    const web = await caller('unix:uid:1');
    assert.deepEqual([answer(web), identities.federated(web)], ['no-bundle', []]);
    await registry.federatedBundles.set(OTHER, input(one));
    await registry.federatedBundles.set(ANOTHER, input(one));
    assert.deepEqual(answer(web), [one.der]);
    assert.deepEqual(
      identities.federated(web).map(({ trustDomain }) => trustDomain),
      [ANOTHER, OTHER],
    );
    await assert.rejects(
      create('/api', ['unix:uid:1'], { federates_with: ['*', 'other.example'] }),
      /stands for every known trust domain: give it alone/,
    );
  });

  test('without authorities is given to no caller, as its partner wants it', async (t) => {
    const { create, registry, caller, answer, identities } = await federation(t);
    await create('/web', ['unix:uid:1'], { federates_with: ['other.example'] });
    const web = await caller('unix:uid:1');
    await registry.federatedBundles.setPolled(OTHER, { ...input(one), x509Authorities: [] }, () => true);
    assert.equal(answer(web), 'no-bundle');
    assert.deepEqual(identities.federated(web), []);
  });

  test('says what is missing, and of whom', async (t) => {
    const { create, caller, identities } = await federation(t);
    await create('/web', ['unix:uid:1'], { federates_with: ['other.example'] });
    const web = await caller('unix:uid:1');
    const detail = (trustDomain: typeof OTHER) => (identities.bundle(web, trustDomain) as Held).detail;
    assert.match(detail(OTHER), /the bundle of other\.example is not set/);
    assert.match(detail(ANOTHER), /no entry that matches this caller federates with another\.example/);
  });

  test('comes and goes with federates_with, and who watches its entries hears of it', async (t) => {
    const { create, registry, caller, answer, clock } = await federation(t);
    await registry.federatedBundles.set(OTHER, input(one));
    const entry = await create('/web', ['unix:uid:1']);
    const web = await caller('unix:uid:1');
    const told: unknown[] = [];
    web.watchEntries(() => told.push(answer(web)));
    await registry.update(entry.id, { federatesWith: [OTHER] });
    await registry.update(entry.id, { federatesWith: [ANOTHER] });
    assert.deepEqual(told.splice(0), [[one.der], 'not-federated']);
    const second = await create('/more', ['unix:uid:1'], { federates_with: ['other.example'] });
    await registry.update(second.id, { expiresAt: clock.now() + 1_000 });
    told.splice(0);
    clock.advance(1_000);
    assert.deepEqual(told, ['not-federated'], 'an entry that has ended counts no more');
  });

  test('goes from a caller whose facts are others now', async (t) => {
    const { create, registry, answer, identities } = await federation(t);
    await registry.federatedBundles.set(OTHER, input(one));
    await create('/web', ['unix:uid:1', 'unix:gid:1'], { federates_with: ['other.example'] });
    await create('/less', ['unix:uid:1']);
    const peer = new ScriptedPeer('unix:uid:1', 'unix:gid:1');
    const web = identities.caller(peer);
    await web.attestAfter(0);
    assert.deepEqual(answer(web), [one.der]);
    let told = false;
    web.watchEntries(() => {
      told = true;
    });
    peer.facts = ['unix:uid:1'];
    await web.reattest();
    await until(() => told);
    assert.equal(answer(web), 'not-federated');
  });

  test('that is set, changed or deleted is told to who watches it', async (t) => {
    const { create, registry, caller, answer, identities } = await federation(t);
    await create('/web', ['unix:uid:1'], { federates_with: ['other.example', 'another.example'] });
    const web = await caller('unix:uid:1');
    const told: unknown[] = [];
    const stop = identities.watchBundle(OTHER, () => told.push(answer(web)));
    let any = 0;
    const stopAny = identities.watchBundles(() => {
      any += 1;
    });
    identities.watchBundle(TRUST_DOMAIN, () => told.push('own'));
    await registry.federatedBundles.set(OTHER, input(one));
    await registry.federatedBundles.set(OTHER, input(one, two));
    await registry.federatedBundles.set(ANOTHER, input(two));
    await registry.federatedBundles.delete(OTHER);
    assert.deepEqual(told, [[one.der], [one.der, two.der], 'no-bundle']);
    assert.equal(any, 4);
    stop();
    stopAny();
    await registry.federatedBundles.set(OTHER, input(two));
    assert.deepEqual([told.length, any], [3, 4]);
  });

  test('is the very same object until it changes, so that it is encoded once', async (t) => {
    const { create, registry, caller, identities } = await federation(t);
    await create('/web', ['unix:uid:1'], { federates_with: ['other.example'] });
    await registry.federatedBundles.set(OTHER, input(one));
    const [a, b] = [await caller('unix:uid:1'), await caller('unix:uid:1', 'unix:gid:1')];
    assert.equal(identities.bundle(a, OTHER), identities.federated(b)[0]);
  });
});

test('the federated bundles of a caller are those of all its entries, each once, by trust domain', async (t) => {
  const { create, registry, caller, identities } = await federation(t);
  await create('/web', ['unix:uid:1'], { federates_with: ['other.example', 'unset.example', 'another.example'] });
  await create('/api', ['unix:uid:1'], { federates_with: ['other.example', 'another.example'] });
  await create('/else', ['unix:uid:2'], { federates_with: ['third.example'] });
  for (const name of ['other.example', 'another.example', 'third.example']) {
    await registry.federatedBundles.set(parseTrustDomain(name), input(one));
  }
  const web = await caller('unix:uid:1');
  const domains = () => identities.federated(web).map(({ trustDomain }) => trustDomain);
  assert.deepEqual(domains(), [ANOTHER, OTHER]);
  await registry.federatedBundles.delete(OTHER);
  assert.deepEqual(domains(), [ANOTHER]);
});

test('a change of the own bundle is told to who watches it by name, and to who watches all', async (t) => {
  const { identities, ca, clock } = await federation(t);
  const told: string[] = [];
  identities.watchBundle(TRUST_DOMAIN, () => told.push('own'));
  identities.watchBundles(() => told.push('any'));
  identities.watchBundle(OTHER, () => told.push('other'));
  const before = ca.bundle();
  clock.set(clock.now() + 11 * 365.25 * 86_400_000);
  clock.advance(0);
  await until(() => ca.bundle() !== before);
  assert.deepEqual(told, ['own', 'any']);
});

test('an alias is found in any case, and its changes are told', async (t) => {
  const { identities, registry } = await federation(t);
  const web = parseSpiffeId('spiffe://ilinux.io/web');
  const told: unknown[] = [];
  const stop = identities.watchAlias('Web.example', () => told.push(identities.aliasOf('web.EXAMPLE')));
  assert.equal(identities.aliasOf('web.example'), undefined);
  await registry.aliases.set('web.example', web);
  await registry.aliases.delete('web.example');
  assert.deepEqual(told, [web, undefined]);
  stop();
  await registry.aliases.set('web.example', web);
  assert.equal(told.length, 2);
});

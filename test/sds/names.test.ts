import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Secret } from '../../src/gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import { DiscoveryResponse } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { isHeld, readName, secretFor } from '../../src/sds/names.ts';
import { bundleSecret, type EncodedSecret } from '../../src/sds/secrets.ts';
import { makeTrustBundle, type TrustBundle } from '../../src/spiffe/bundle.ts';
import { parseTrustDomain } from '../../src/spiffe/id.ts';
import { type ReservedNames, SPIRE_NAMES } from '../../src/spiffe/sds-names.ts';
import { makeJoin, ScriptedPeer, TRUST_DOMAIN } from '../identity/support.ts';
import { bytesOf } from '../support/message.ts';
import { rootsOf, secretsOf } from '../support/sds-client.ts';

describe('a resource name', () => {
  const kinds: readonly (readonly [string, string])[] = [
    ['default', 'default'],
    ['ROOTCA', 'bundle'],
    ['ALL', 'all'],
    ['spiffe://ilinux.io', 'bundle'],
    ['spiffe://ilinux.io/web', 'identity'],
    ['spiffe://other.io/web', 'identity'],
    ['spiffe://other.io', 'bundle'],
    ['spiffe://ilinux.io/', 'alias'],
    ['spiffe://ILINUX.io', 'alias'],
    ['spiffe://ilinux.io/../web', 'alias'],
    ['rootca', 'alias'],
    ['', 'alias'],
    ['web.ilinux.io', 'alias'],
  ];
  for (const [name, kind] of kinds) {
    it(`${JSON.stringify(name)} stands for: ${kind}`, () => assert.equal(readName(name, TRUST_DOMAIN).kind, kind));
  }
});

describe('a reserved name that is set', () => {
  it('stands for what its setting says, and the one of SPIRE for nothing', () => {
    const kindOf = (name: string, reserved: ReservedNames) => readName(name, TRUST_DOMAIN, reserved).kind;
    const own = { default: 'me', bundle: 'roots', allBundles: 'every' };
    const names = ['me', 'roots', 'every', 'default', 'ROOTCA', 'ALL'];
    assert.deepEqual(
      names.map((name) => kindOf(name, own)),
      ['default', 'bundle', 'all', 'alias', 'alias', 'alias'],
    );
    assert.equal(kindOf('ROOTCA', { ...SPIRE_NAMES, allBundles: 'ROOTCA' }), 'all');
  });
});

describe('the secret behind a name', () => {
  it('default is the entry with that hint, else the oldest one', async (t) => {
    const { identities, create, clock, registry } = await makeJoin(t);
    const caller = identities.caller(new ScriptedPeer('unix:uid:1'));
    await caller.attestAfter(0);
    const found = async () => {
      const secret = await secretFor(identities, caller, readName('default', TRUST_DOMAIN), 'spiffe');
      return isHeld(secret) ? secret.reason : secret.certificate?.spiffeId;
    };
    assert.equal(await found(), 'no-entry');
    await create('/older', ['unix:uid:1']);
    clock.advance(1_000);
    const younger = await create('/younger', ['unix:uid:1']);
    assert.equal(await found(), 'spiffe://ilinux.io/older');
    await registry.update(younger.id, { hint: 'default' });
    assert.equal(await found(), 'spiffe://ilinux.io/younger');
  });

  it('is the same object for all callers, and gets another version when its content changes', async (t) => {
    const { identities, create } = await makeJoin(t);
    await create('/web', ['unix:uid:1']);
    const callers = [new ScriptedPeer('unix:uid:1'), new ScriptedPeer('unix:uid:1')].map((p) => identities.caller(p));
    await Promise.all(callers.map((caller) => caller.attestAfter(0)));
    const ask = async (name: string, validation: 'spiffe' | 'plain' = 'spiffe', caller = callers[0]!) =>
      (await secretFor(identities, caller, readName(name, TRUST_DOMAIN), validation)) as EncodedSecret;
    const web = await ask('spiffe://ilinux.io/web');
    assert.equal(await ask('spiffe://ilinux.io/web', 'spiffe', callers[1]!), web);
    assert.notEqual((await ask('default')).version, web.version, 'the name is content too');
    const bundle = await ask('spiffe://ilinux.io');
    const plain = await ask('spiffe://ilinux.io', 'plain');
    assert.notEqual(plain.version, bundle.version);
    const roots = [bundle, plain].map((one) => rootsOf(decoded(one)).map((root) => root.fingerprint256));
    assert.deepEqual(roots[0], roots[1]);
    const all = decoded(await ask('ALL', 'plain'));
    assert.equal(all.validationContext?.trustedCa, undefined, 'ALL is always the validator');
  });

  it('is not cached for an unlimited number of alias spellings', async (t) => {
    const { identities, create, registry } = await makeJoin(t);
    const web = await create('/web', ['unix:uid:1']);
    await registry.aliases.set('www.example.org', web.spiffeId);
    const caller = identities.caller(new ScriptedPeer('unix:uid:1'));
    await caller.attestAfter(0);
    const ask = async (name: string) =>
      (await secretFor(identities, caller, readName(name, TRUST_DOMAIN), 'spiffe')) as EncodedSecret;
    const first = await ask('www.example.org');
    assert.equal(await ask('www.example.org'), first);
    const letters = [...'www.example.org'];
    for (let bits = 1; bits < 1_024; bits += 1) {
      const spelled = letters.map((letter, i) => ((bits >> i) & 1 ? letter.toUpperCase() : letter)).join('');
      assert.equal((await ask(spelled)).name, spelled);
    }
    const again = await ask('www.example.org');
    assert.ok(again !== first, 'it was evicted');
    assert.equal(again.version, first.version);
  });

  it('is not cached for every set of bundles that ever existed', () => {
    const bundle = (name: string) => {
      const trustDomain = parseTrustDomain(name);
      return makeTrustBundle({ trustDomain, roots: [], sequenceNumber: 1, refreshHint: undefined });
    };
    const own = bundle('ilinux.io');
    const ask = (other: TrustBundle) => bundleSecret('ALL', [own, other], 'spiffe');
    const others = Array.from({ length: 300 }, (_, i) => bundle(`d${i}.example`));
    const first = ask(others[0]!);
    assert.equal(ask(others[0]!), first);
    for (const other of others) ask(other);
    assert.ok(ask(others[0]!) !== first, 'it was evicted');
  });

  it('is held with the reason while issuance fails', async (t) => {
    const { identities, create, ca } = await makeJoin(t);
    await create('/web', ['unix:uid:1']);
    const caller = identities.caller(new ScriptedPeer('unix:uid:1'));
    await caller.attestAfter(0);
    await ca.close();
    const held = await secretFor(identities, caller, readName('spiffe://ilinux.io/web', TRUST_DOMAIN), 'spiffe');
    assert.ok(isHeld(held));
    assert.equal(held.reason, 'issuance-failed');
  });
});

function decoded({ sotw }: EncodedSecret): Secret {
  return secretsOf(DiscoveryResponse.decode(bytesOf(sotw)))[0]!;
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeIntermediate, makeRoot } from '../../src/ca/authority.ts';
import { checkLeaf } from '../../src/ca/check.ts';
import { type Leaf, LeafWriter } from '../../src/ca/leaf.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { DAY, HOUR, TRUST_DOMAIN } from './support.ts';

const now = Date.UTC(2026, 5, 1, 12);
const making = { trustDomain: TRUST_DOMAIN, subject: [{ type: 'O', value: 'SPIFFE' } as const], now };
const root = await makeRoot(making);
const [authority, sibling] = [await makeIntermediate(making, root, DAY), await makeIntermediate(making, root, DAY)];
const request = { spiffeId: parseSpiffeId('spiffe://ilinux.io/a'), dnsNames: [], now, notAfter: now + HOUR };
const writer = new LeafWriter(authority);
const leaf = writer.write(request);

function faultOf(changes: Partial<Leaf>, at: { now?: number; authority?: typeof authority } = {}): string {
  try {
    checkLeaf({ ...leaf, ...changes }, { ...request, now: at.now ?? now }, at.authority ?? authority);
    return '';
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'ERR_CA');
    return (error as Error).message.replace('the SVID made for spiffe://ilinux.io/a is withheld: ', '');
  }
}

test('a good SVID passes', () => {
  assert.equal(faultOf({}), '');
});

test('an SVID with another key, another issuer or dates that do not hold is withheld', () => {
  assert.equal(faultOf({ privateKey: writer.write(request).privateKey }), 'its key is another one');
  assert.equal(faultOf({}, { authority: sibling }), 'its issuer is another authority');
  assert.equal(faultOf({}, { now: leaf.notBefore - 1 }), 'it is not valid now');
  assert.equal(faultOf({}, { now: leaf.notAfter }), 'it is not valid now');
  assert.equal(faultOf({ notAfter: authority.notAfter + 1 }), 'it outlives its authority');
});

test('an SVID that cannot be read is withheld', () => {
  assert.throws(() => checkLeaf({ ...leaf, certificateChain: Buffer.from('x') }, request, authority));
  assert.throws(() => checkLeaf({ ...leaf, privateKey: Buffer.from('x') }, request, authority));
});

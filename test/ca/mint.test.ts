/** Authorities whose intermediates somebody else signs. The upstream is in this process, and fails when the test says so. */

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { Authority } from '../../src/ca/authority.ts';
import type { CertificateAuthorityOptions } from '../../src/ca/certificate-authority.ts';
import { pemBlocks } from '../../src/ca/pem.ts';
import type { CertificateAuthority, LaggingProxy, X509Svid } from '../../src/ca/types.ts';
import { TestClock } from '../support/clock.ts';
import { DAY, HOUR, MINUTE, openTestAuthority, request, SECOND, type TestAuthority, until } from './support.ts';
import { newRoot, TestUpstream } from './test-upstream.ts';

interface Opened extends TestAuthority {
  readonly upstream: TestUpstream;
  readonly lagging: LaggingProxy[];
}

const PROXY: LaggingProxy = { pid: 1, uid: 2, node: 'envoy', name: 'ROOTCA', rejection: undefined };
/** Where the test's clock begins. */
const BEGIN = Date.UTC(2026, 5, 1, 12);

async function open(
  t: TestContext,
  overrides: Partial<CertificateAuthorityOptions> = {},
  fault?: string,
): Promise<Opened> {
  const lagging: LaggingProxy[] = [];
  const clock = new TestClock(BEGIN);
  const upstream = new TestUpstream(await newRoot(BEGIN), () => clock.now());
  upstream.fault = fault;
  const authority = await openTestAuthority(t, { upstream, lagging: () => lagging, ...overrides }, clock);
  return { ...authority, upstream, lagging };
}

const states = (ca: CertificateAuthority) => ca.authorities().map(({ role, state }) => `${role} ${state}`);
const isSigning = (ca: CertificateAuthority) => states(ca).includes('intermediate active');

function assertUnder(svid: X509Svid, root: Authority): void {
  const [, intermediate] = pemBlocks(svid.certificateChain, 'CERTIFICATE').map((block) => new X509Certificate(block));
  assert.ok(intermediate!.verify(root.publicKey));
}

test("the intermediate is the upstream's, and the bundle has its root", async (t) => {
  const { ca, upstream, restart } = await open(t);
  await until(() => isSigning(ca));
  assert.deepEqual(states(ca), ['root active', 'intermediate active']);
  assertUnder(await ca.issue(request()), upstream.root);
  assert.deepEqual(ca.bundle().x509Authorities, [upstream.root.certificate.raw]);
  assert.equal(ca.trouble(), undefined);
  const again = await restart();
  assert.ok(upstream.closed);
  assertUnder(await again.issue(request()), upstream.root);
  assert.equal(upstream.requests, 1);
});

test('while the upstream has not answered, nothing is signed and the bundle is empty; it is asked again', async (t) => {
  const { ca, clock, upstream } = await open(t, {}, 'the upstream is down');
  await until(() => ca.trouble()?.includes('is down') === true);
  assert.deepEqual(states(ca), []);
  assert.equal(ca.bundle().x509Authorities.length, 0);
  await assert.rejects(ca.issue(request()), {
    code: 'ERR_CA',
    message: 'no intermediate can sign: the upstream is down',
  });
  upstream.fault = undefined;
  await until(() => {
    if (!isSigning(ca)) clock.advance(SECOND);
    return isSigning(ca);
  });
  assert.equal(ca.bundle().x509Authorities.length, 1);
  assert.equal(ca.trouble(), undefined);
});

test("an upstream that is down delays nothing before two thirds of the intermediate's life; then it is a trouble", async (t) => {
  const { ca, clock, upstream } = await open(t);
  await until(() => isSigning(ca));
  const first = await ca.issue(request());
  upstream.fault = 'the upstream is down';
  clock.advance(DAY / 2);
  await until(() => upstream.requests > 1);
  assert.equal((await ca.issue(request())).authorityId, first.authorityId);
  assert.equal(ca.trouble(), undefined);
  assert.equal(ca.upstream()!.problem, 'the upstream is down');
  clock.set(clock.now() + DAY / 6);
  assert.match(
    ca.trouble()!,
    /^the intermediate ends at .*, and the upstream has not signed another one: the upstream is down$/,
  );
  clock.set(clock.now() + DAY / 3);
  await assert.rejects(ca.issue(request()), { code: 'ERR_CA', message: /^no intermediate can sign: / });
  upstream.fault = undefined;
  await until(() => {
    clock.advance(10 * SECOND);
    return ca.trouble() === undefined;
  });
  assertUnder(await ca.issue(request()), upstream.root);
});

test('another root of the upstream signs once all proxies have it; the old one leaves with what it signed', async (t) => {
  const { ca, clock, upstream, lagging } = await open(t, { rootPublishTime: 60 });
  await until(() => isSigning(ca));
  const old = upstream.root;
  upstream.root = await newRoot(clock.now());
  upstream.listed = [upstream.root];
  lagging.push(PROXY);
  upstream.changed.tell();
  await until(() => states(ca).includes('root published'));
  clock.advance(2 * MINUTE);
  assertUnder(await ca.issue(request()), old);
  assert.deepEqual([...ca.authorities().find(({ state }) => state === 'published')!.waitsFor], [PROXY]);
  lagging.pop();
  await until(() => {
    clock.advance(SECOND);
    return states(ca).includes('root retired');
  });
  assertUnder(await ca.issue(request()), upstream.root);
  assert.equal(ca.bundle().x509Authorities.length, 2);
  await until(() => {
    clock.advance(HOUR);
    return ca.bundle().x509Authorities.length === 1;
  });
  // A request may wait for its next try.
  await until(() => {
    clock.advance(SECOND);
    return ca.trouble() === undefined;
  });
  assertUnder(await ca.issue(request()), upstream.root);
});

test('an answer that has ended when it arrives is followed by another request', async (t) => {
  const { ca, clock, upstream } = await open(t);
  await until(() => isSigning(ca));
  upstream.onAnswer = () => clock.set(clock.now() + 3 * DAY);
  clock.advance(13 * HOUR);
  await until(() => upstream.onAnswer === undefined);
  await until(() => {
    clock.advance(SECOND);
    return ca.trouble() === undefined && isSigning(ca);
  });
  assertUnder(await ca.issue(request()), upstream.root);
});

test('all roots that the upstream lists are in the bundle, until it does not list them any more', async (t) => {
  const { ca, upstream } = await open(t);
  await until(() => isSigning(ca));
  upstream.listed = [upstream.root, await newRoot(BEGIN)];
  await ca.rotate('intermediate');
  assert.equal(ca.bundle().x509Authorities.length, 2);
  assert.equal(states(ca).filter((one) => one === 'intermediate active').length, 1);
  upstream.listed = [upstream.root];
  await ca.rotate('intermediate');
  assert.equal(ca.bundle().x509Authorities.length, 1);
});

test('an operator replaces the intermediate, not the root; a failing upstream is the answer', async (t) => {
  const { ca, upstream } = await open(t);
  await until(() => isSigning(ca));
  const first = await ca.issue(request());
  await ca.rotate('intermediate');
  assert.notEqual((await ca.issue(request())).authorityId, first.authorityId);
  await assert.rejects(ca.rotate('root'), {
    code: 'ERR_AUTHORITY_STATE',
    message: /^the roots belong to the upstream/,
  });
  upstream.fault = 'the upstream is down';
  await assert.rejects(ca.rotate('intermediate'), { message: /the upstream is down/ });
});

test('a tainted intermediate of an upstream is replaced under the same root, which stays', async (t) => {
  const { ca, clock, upstream } = await open(t);
  await until(() => isSigning(ca));
  const first = await ca.issue(request());
  let replaced = 0;
  ca.onReplaced(() => {
    replaced += 1;
  });
  await ca.taint(first.authorityId);
  const second = await ca.issue(request());
  assert.notEqual(second.authorityId, first.authorityId);
  assert.equal(replaced, 1);
  await until(() => {
    clock.advance(SECOND);
    return !ca.authorities().some(({ id }) => id === first.authorityId);
  });
  assert.deepEqual(ca.bundle().x509Authorities, [upstream.root.certificate.raw]);
});

test('a root of an upstream can be tainted once the upstream signs under another one, and does not come back', async (t) => {
  const { ca, clock, upstream } = await open(t);
  await until(() => isSigning(ca));
  const old = upstream.root;
  const { id } = ca.authorities().find(({ role }) => role === 'root')!;
  await assert.rejects(ca.taint(id), { code: 'ERR_AUTHORITY_STATE', message: /still signs under the root/ });
  assertUnder(await ca.issue(request()), old);
  upstream.root = await newRoot(BEGIN);
  upstream.listed = [upstream.root];
  await ca.taint(id);
  await until(() => {
    clock.advance(100);
    return ca.bundle().x509Authorities.length === 1 && isSigning(ca);
  });
  assertUnder(await ca.issue(request()), upstream.root);
  upstream.root = old;
  upstream.listed = [old];
  await assert.rejects(ca.rotate('intermediate'), { message: /which was declared tainted/ });
  assert.equal(ca.bundle().x509Authorities.length, 1);
});

test('an own root gives way to an upstream, and comes back without it, each time after the proxies have the new bundle', async (t) => {
  const { ca: first, clock, restart } = await openTestAuthority(t, { rootPublishTime: 60 });
  const own = await first.issue(request());
  const root = await newRoot(BEGIN);
  const upstream = new TestUpstream(root, () => clock.now());
  let ca = await restart({ upstream, rootPublishTime: 60 });
  await until(() => states(ca).includes('root published'));
  assert.equal((await ca.issue(request())).authorityId, own.authorityId);
  clock.advance(MINUTE);
  await until(() => states(ca).includes('root retired'));
  assertUnder(await ca.issue(request()), root);
  ca = await restart({ rootPublishTime: 60 });
  assertUnder(await ca.issue(request()), root);
  await until(() => states(ca).includes('root published'));
  clock.advance(MINUTE);
  await until(() => {
    clock.advance(SECOND);
    return states(ca).filter((one) => one === 'root retired').length > 0;
  });
  const last = await ca.issue(request());
  assert.throws(() => assertUnder(last, root));
});

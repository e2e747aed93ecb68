import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { makeRoot } from '../../src/ca/authority.ts';
import type { CertificateAuthorityOptions } from '../../src/ca/certificate-authority.ts';
import { activationOf, lastActivationAt, type RotationTerms, rootDueAt } from '../../src/ca/rotation.ts';
import type { CertificateAuthority, LaggingProxy } from '../../src/ca/types.ts';
import { DAY, HOUR, MINUTE, openTestAuthority, request, SECOND, TRUST_DOMAIN, until, YEAR } from './support.ts';

const NOW = Date.UTC(2026, 5, 1);
const active = await makeRoot({ trustDomain: TRUST_DOMAIN, subject: [], now: NOW }, YEAR);

const PROXY: LaggingProxy = { pid: 1, uid: 2, node: 'envoy', name: 'ROOTCA', rejection: undefined };

describe('when a published root signs', () => {
  const terms: RotationTerms = {
    ...{ rootLife: YEAR, intermediateLife: DAY, publishTime: 2 * DAY, ackTimeout: 3 * DAY, onLagging: 'wait' },
  };
  const since = NOW + HOUR;
  const look = (after: number, isLagging: boolean, changes: Partial<RotationTerms> = {}, startedAt = NOW) =>
    activationOf(
      { since, last: lastActivationAt(active, terms), startedAt },
      since + after,
      { ...terms, ...changes },
      () => isLagging,
    );

  test('is after its time in the bundle, once every proxy has it', () => {
    assert.deepEqual(look(2 * DAY - 1, false), { isDue: false, waitsFor: 'time', lookAt: since + 2 * DAY });
    assert.deepEqual(look(2 * DAY, false), { isDue: true, lagging: false });
    const { isDue, ...why } = look(2 * DAY, true) as { isDue: boolean; waitsFor: string; lookAt: number };
    assert.deepEqual([isDue, why.waitsFor], [false, 'proxies']);
    assert.equal(why.lookAt, since + 2 * DAY + 20);
    const later = look(2 * DAY + MINUTE, true) as { lookAt: number };
    assert.equal(later.lookAt, since + 2 * DAY + MINUTE + 6 * SECOND);
    const muchLater = look(9 * DAY, true) as { lookAt: number };
    assert.equal(muchLater.lookAt, since + 9 * DAY + 10 * SECOND);
  });

  test('is at once without a time, but not while a proxy lags', () => {
    assert.deepEqual(look(0, false, { publishTime: 0 }), { isDue: true, lagging: false });
    assert.equal(look(0, true, { publishTime: 0 }).isDue, false);
  });

  test('is not within a minute after a start, since proxies connect again', () => {
    const startedAt = since + 10 * DAY;
    assert.deepEqual(look(10 * DAY + 1, false, {}, startedAt), {
      ...{ isDue: false, waitsFor: 'time', lookAt: startedAt + MINUTE },
    });
    assert.equal(look(10 * DAY + MINUTE, false, {}, startedAt).isDue, true);
  });

  test('is without the proxies that lag, where the policy says so, after the timeout', () => {
    assert.equal(look(3 * DAY - 1, true, { onLagging: 'continue' }).isDue, false);
    assert.deepEqual(look(3 * DAY, true, { onLagging: 'continue' }), { isDue: true, lagging: true });
    assert.equal(look(3 * DAY, true).isDue, false);
  });

  test('is in any case when intermediates under the old root would be cut short', () => {
    const last = lastActivationAt(active, terms);
    assert.equal(last, active.notAfter - DAY);
    assert.equal(look(last - since - 1, true).isDue, false);
    assert.deepEqual(look(last - since, true), { isDue: true, lagging: true });
    assert.equal(lastActivationAt(active, { ...terms, intermediateLife: 10 * YEAR }), active.notAfter - YEAR / 4);
  });

  test('is never in the past, nor without an end', () => {
    const instant = fc.integer({ min: -YEAR, max: 2 * YEAR });
    const policy = fc.constantFrom('wait', 'continue');
    fc.assert(
      fc.property(instant, instant, fc.boolean(), policy, (after, started, isLagging, onLagging) => {
        const activation = look(after, isLagging, { onLagging }, since + started);
        if (activation.isDue) assert.equal(activation.lagging, isLagging);
        else assert.ok(activation.lookAt > since + after);
        if (after + since >= active.notAfter && after > started + MINUTE && after > MINUTE) assert.ok(activation.isDue);
      }),
    );
  });
});

async function open(t: TestContext, overrides: Partial<CertificateAuthorityOptions> = {}) {
  const lagging: LaggingProxy[] = [];
  const authority = await openTestAuthority(t, { rootTtl: YEAR / SECOND, lagging: () => lagging, ...overrides });
  return { ...authority, lagging };
}

const states = (ca: CertificateAuthority) => ca.authorities().map(({ role, state }) => `${role} ${state}`);
const rootOf = (ca: CertificateAuthority, state: string) =>
  ca.authorities().find((one) => one.role === 'root' && one.state === state)!.id;
const waitsFor = (ca: CertificateAuthority) => ca.authorities().flatMap((one) => [...one.waitsFor]);
/** Lets the review that is due run. */
const review = (ca: CertificateAuthority) => ca.issue(request());

describe('a root', () => {
  test('is replaced at half of its life: published, active after its time, and the old one leaves with what it signed', async (t) => {
    const { ca, clock } = await open(t);
    const [first] = ca.authorities();
    const told: string[] = [];
    ca.onBundleChange(({ x509Authorities }) => told.push(`bundle of ${x509Authorities.length}`));
    ca.onReplaced(() => told.push('replaced'));
    clock.set(rootDueAt(first!) - 1);
    await review(ca);
    assert.deepEqual(states(ca).slice(0, 2), ['root active', 'intermediate active']);
    clock.advance(1);
    await review(ca);
    assert.deepEqual(states(ca).slice(0, 2), ['root active', 'root published']);
    assert.deepEqual(told, ['bundle of 2']);
    const before = await review(ca);
    clock.advance(DAY);
    const after = await review(ca);
    assert.equal(rootOf(ca, 'retired'), first!.id);
    assert.notEqual(after.authorityId, before.authorityId);
    assert.deepEqual(told, ['bundle of 2', 'replaced']);
    // The last intermediate under the old root was made within the day.
    clock.advance(2 * DAY);
    await review(ca);
    assert.deepEqual(
      states(ca).filter((one) => one.startsWith('root')),
      ['root active'],
    );
    assert.deepEqual(told, ['bundle of 2', 'replaced', 'bundle of 1']);
  });

  test('does not sign while a proxy has not acknowledged the bundle; the log names it', async (t) => {
    const { ca, clock, lagging, lines } = await open(t, { rootPublishTime: 0 });
    lagging.push(PROXY);
    await ca.rotate('root');
    await review(ca);
    assert.deepEqual(states(ca).slice(0, 2), ['root active', 'root published']);
    assert.deepEqual(waitsFor(ca), [PROXY]);
    clock.advance(10 * SECOND);
    await review(ca);
    const [line] = lines().filter(({ level }) => level === 'warn') as unknown as { proxies: unknown }[];
    assert.deepEqual(line!.proxies, [{ pid: 1, uid: 2, node: 'envoy', name: 'ROOTCA' }]);
    clock.advance(HOUR);
    await review(ca);
    assert.equal(rootOf(ca, 'published').length, 40);
    lagging.pop();
    clock.advance(10 * SECOND);
    await review(ca);
    assert.equal(states(ca)[1], 'root active');
    assert.deepEqual(waitsFor(ca), []);
  });

  test('signs without the proxies that lag where the policy says so, and the log says which', async (t) => {
    const options = { rootPublishTime: 0, rootAckPolicy: 'continue', rootAckTimeout: 60 } as const;
    const { ca, clock, lagging, lines } = await open(t, options);
    lagging.push({ ...PROXY, rejection: 'no' });
    await ca.rotate('root');
    clock.advance(MINUTE - SECOND);
    await review(ca);
    assert.equal(states(ca)[1], 'root published');
    clock.advance(SECOND);
    await review(ca);
    assert.equal(states(ca)[1], 'root active');
    assert.ok(lines().some(({ level, msg }) => level === 'error' && msg.startsWith('new root signs though')));
  });

  test('that is being replaced is not replaced once more', async (t) => {
    const { ca, clock } = await open(t);
    await Promise.all([ca.rotate('root'), ca.rotate('root')]);
    const next = rootOf(ca, 'published');
    await ca.rotate('root');
    assert.equal(states(ca).filter((one) => one.startsWith('root')).length, 2);
    clock.advance(DAY);
    await review(ca);
    assert.equal(rootOf(ca, 'active'), next);
    await ca.rotate('root');
    assert.notEqual(rootOf(ca, 'published'), next);
  });

  test('is replaced across restarts', async (t) => {
    const { ca, clock, restart } = await open(t);
    await ca.rotate('root');
    const next = rootOf(ca, 'published');
    const bundle = ca.bundle();
    clock.advance(DAY - HOUR);
    let again = await restart();
    assert.equal(rootOf(again, 'published'), next);
    assert.deepEqual(again.bundle(), bundle);
    clock.advance(HOUR);
    await review(again);
    assert.equal(rootOf(again, 'active'), next);
    again = await restart();
    assert.equal(rootOf(again, 'active'), next);
    assert.deepEqual(again.bundle(), bundle);
  });

  test('that was made but not published before a failure is the next one, and nothing changes meanwhile', async (t) => {
    const { ca, dir, clock, restart } = await open(t);
    const before = ca.authorities();
    renameSync(dir, `${dir}.away`);
    writeFileSync(dir, '');
    await assert.rejects(ca.rotate('root'), { code: 'ERR_CA', message: /^the root could not be replaced: / });
    assert.deepEqual(ca.authorities(), before);
    assert.equal(ca.bundle().x509Authorities.length, 1);
    rmSync(dir);
    renameSync(`${dir}.away`, dir);
    await ca.rotate('root');
    const next = rootOf(ca, 'published');
    // As if the server had ended before it stored the states.
    const { ca: other, dir: otherDir } = await open(t);
    await other.rotate('root');
    const prepared = rootOf(other, 'published');
    renameSync(`${otherDir}/root-${prepared}.pem`, `${dir}/root-${prepared}.pem`);
    const again = await restart();
    assert.equal(again.authorities().find(({ id }) => id === prepared)!.state, 'prepared');
    clock.advance(DAY);
    await review(again);
    assert.equal(rootOf(again, 'active'), next);
    await again.rotate('root');
    assert.equal(rootOf(again, 'published'), prepared);
  });

  test('with a life of hours is replaced at half of it too, not at once', async (t) => {
    const { ca, clock } = await open(t, { rootTtl: 12 * 3600, caTtl: 3600, rootPublishTime: 60 });
    const [first] = ca.authorities();
    assert.equal(rootDueAt(first!), clock.now() + 6 * HOUR);
    for (let step = 0; step < 24; step += 1) {
      clock.advance(HOUR);
      await review(ca);
      assert.ok(states(ca).filter((one) => one.startsWith('root')).length <= 2);
    }
  });

  test('that left the bundle does not come back with its file, whose deletion a crash prevented', async (t) => {
    const { ca, dir, clock, restart } = await open(t, { rootPublishTime: 0, caTtl: 3600 });
    const [first] = ca.authorities();
    const file = `${dir}/root-${first!.id}.pem`;
    const content = readFileSync(file);
    await ca.rotate('root');
    clock.advance(SECOND);
    await review(ca);
    clock.set(clock.now() + HOUR);
    await review(ca);
    await until(() => !existsSync(file));
    writeFileSync(file, content, { mode: 0o600 });
    const again = await restart();
    assert.ok(!existsSync(file));
    await again.rotate('root');
    assert.ok(!again.authorities().some(({ id }) => id === first!.id));
  });

  test('whose intermediate a crash left behind does not stop the next start', async (t) => {
    const { ca, dir, clock, restart } = await open(t, { rootPublishTime: 0, caTtl: 3600 });
    const old = ca.authorities().find(({ role }) => role === 'intermediate')!;
    const file = `${dir}/intermediate-${old.id}.pem`;
    const content = readFileSync(file);
    await ca.rotate('root');
    clock.advance(SECOND);
    await review(ca);
    clock.set(clock.now() + HOUR);
    await review(ca);
    await until(() => !existsSync(file));
    writeFileSync(file, content, { mode: 0o600 });
    const state = JSON.parse(readFileSync(`${dir}/state.json`, 'utf8'));
    writeFileSync(`${dir}/state.json`, JSON.stringify({ ...state, gone: {} }));
    await review(await restart());
    assert.ok(!existsSync(file));
  });

  test('that expired while the server was off is followed by the published one at once', async (t) => {
    const { ca, clock, restart, lines } = await open(t);
    const [first] = ca.authorities();
    clock.set(first!.notAfter - 2 * DAY);
    await review(ca);
    const next = rootOf(ca, 'published');
    await ca.close();
    clock.set(first!.notAfter + DAY);
    const again = await restart();
    assert.equal(rootOf(again, 'active'), next);
    assert.equal(lines().filter(({ msg }) => msg.startsWith('no root is valid')).length, 0);
  });
});

test('not more than 8 roots and 64 intermediates are made on request; there is room again when old ones have ended', async (t) => {
  const { ca, clock } = await open(t, { rootPublishTime: 0 });
  for (let i = 1; i < 8; i += 1) {
    await ca.rotate('root');
    clock.advance(SECOND);
    await review(ca);
  }
  await assert.rejects(ca.rotate('root'), {
    code: 'ERR_ROTATION_LIMIT',
    message: /^8 roots are still valid, and the limit is 8: /,
  });
  assert.equal(ca.bundle().x509Authorities.length, 8);
  for (let i = 8; i < 64; i += 1) await ca.rotate('intermediate');
  await assert.rejects(ca.rotate('intermediate'), { code: 'ERR_ROTATION_LIMIT' });
  clock.advance(DAY);
  await review(ca);
  await ca.rotate('root');
  await ca.rotate('intermediate');
});

test('a request that failed after it had stored an intermediate leaves it for the next one', async (t) => {
  const { ca, dir, restart } = await open(t);
  const files = () => readdirSync(dir).filter((name) => name.startsWith('intermediate')).length;
  // Nothing can be renamed over a directory: the states cannot be stored.
  renameSync(`${dir}/state.json`, `${dir}/state.away`);
  mkdirSync(`${dir}/state.json`);
  for (let i = 0; i < 3; i += 1) await assert.rejects(ca.rotate('intermediate'), { code: 'ERR_CA' });
  assert.equal(files(), 2);
  rmdirSync(`${dir}/state.json`);
  renameSync(`${dir}/state.away`, `${dir}/state.json`);
  const again = await restart();
  const before = await review(again);
  await again.rotate('intermediate');
  assert.notEqual((await review(again)).authorityId, before.authorityId);
  assert.equal(files(), 2);
});

test('an intermediate is replaced at once when an operator asks, and so are the SVIDs under it', async (t) => {
  const { ca } = await open(t);
  let replaced = 0;
  ca.onReplaced(() => {
    replaced += 1;
  });
  const before = await review(ca);
  await ca.rotate('intermediate');
  const after = await review(ca);
  assert.notEqual(after.authorityId, before.authorityId);
  assert.deepEqual(states(ca), ['root active', 'intermediate retired', 'intermediate active']);
  assert.equal(ca.bundle().x509Authorities.length, 1);
  assert.equal(replaced, 1);
});

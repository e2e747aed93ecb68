import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
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
import { type TestContext, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { CertificateAuthorityOptions } from '../../src/ca/certificate-authority.ts';
import { pemBlocks } from '../../src/ca/pem.ts';
import type { AuthorityMove, CertificateAuthority, LaggingProxy, X509Svid } from '../../src/ca/types.ts';
import { HOUR, openTestAuthority, request, SECOND, until, YEAR } from './support.ts';

const PROXY: LaggingProxy = { pid: 1, uid: 2, node: 'envoy', name: 'ROOTCA', rejection: undefined };

async function open(t: TestContext, overrides: Partial<CertificateAuthorityOptions> = {}) {
  const [lagging, using]: LaggingProxy[][] = [[], []];
  const asked: string[][] = [];
  const authority = await openTestAuthority(t, {
    lagging: () => lagging!,
    using: (ids) => {
      asked.push([...ids]);
      return using!;
    },
    ...overrides,
  });
  return { ...authority, lagging: lagging!, using: using!, asked };
}

const one = (ca: CertificateAuthority, role: string, state: string) =>
  ca.authorities().find((authority) => authority.role === role && authority.state === state);
const rootStates = (ca: CertificateAuthority) =>
  ca.authorities().flatMap(({ role, state }) => (role === 'root' ? [state] : []));

/** The key that signed the SVID's intermediate is one of the bundle's. */
function assertTrusted(svid: X509Svid, ca: CertificateAuthority): void {
  const [, intermediate] = pemBlocks(svid.certificateChain, 'CERTIFICATE').map((block) => new X509Certificate(block));
  const roots = ca.bundle().x509Authorities.map((der) => new X509Certificate(der));
  assert.ok(roots.some((root) => intermediate!.verify(root.publicKey)));
}

for (const role of ['root', 'intermediate'] as const) {
  test(`a tainted ${role} signs nothing more; its root leaves the bundle when the SVIDs have been replaced`, async (t) => {
    const { ca, clock, dir, asked } = await open(t);
    const before = await ca.issue(request());
    const root = one(ca, 'root', 'active')!;
    const signer = one(ca, 'intermediate', 'active')!;
    const told: string[] = [];
    ca.onBundleChange(({ x509Authorities }) => told.push(`bundle of ${x509Authorities.length}`));
    ca.onReplaced(() => told.push('replaced'));
    await ca.taint(role === 'root' ? root.id : signer.id);
    const issued = ca.issue(request());
    clock.advance(0);
    const after = await issued;
    assert.notEqual(after.authorityId, before.authorityId);
    assertTrusted(after, ca);
    await until(() => {
      clock.advance(20);
      return rootStates(ca).length === 1;
    });
    await until(() => told.length === 3);
    assert.deepEqual(told, ['bundle of 2', 'replaced', 'bundle of 1']);
    assert.ok(asked.every((ids) => ids.join() === signer.id));
    assertTrusted(after, ca);
    const files = [`root-${root.id}.pem`, `intermediate-${signer.id}.pem`];
    await until(() => files.every((file) => !existsSync(`${dir}/${file}`)));
  });
}

test('a silent proxy is waited for 5 s before the new root signs, and for 5 s before the tainted one leaves', async (t) => {
  const { ca, clock, lagging, using, lines } = await open(t);
  lagging.push(PROXY);
  using.push({ ...PROXY, name: 'web' });
  const start = clock.now();
  const old = one(ca, 'root', 'active')!;
  await ca.taint(old.id);
  let signedAt = 0;
  const issued = ca.issue(request()).then(() => {
    signedAt = clock.now();
  });
  const step = async (done: () => boolean) => {
    await until(() => {
      if (!done()) clock.advance(100);
      return done();
    });
  };
  await step(() => one(ca, 'root', 'published') !== undefined);
  assert.deepEqual([...one(ca, 'root', 'published')!.waitsFor], [PROXY]);
  await step(() => one(ca, 'root', 'active') !== undefined);
  await issued;
  assert.ok(signedAt - start >= 5 * SECOND, `${signedAt - start}`);
  assert.deepEqual([...one(ca, 'root', 'tainted')!.waitsFor], using);
  const activeAt = one(ca, 'root', 'active')!.since;
  await step(() => one(ca, 'root', 'tainted') === undefined);
  assert.ok(clock.now() - activeAt >= 5 * SECOND);
  const errors = lines().filter(({ level }) => level === 'error');
  assert.equal(errors.length, 2);
  assert.equal(errors.filter(({ msg }) => msg.startsWith('new root signs though')).length, 1);
  assert.equal(errors.filter(({ msg }) => msg.startsWith('proxies may still use SVIDs')).length, 1);
});

test('a retired intermediate is tainted with its root, though it signs nothing', async (t) => {
  const { ca, clock } = await open(t);
  const old = one(ca, 'intermediate', 'active')!;
  await ca.rotate('intermediate');
  await ca.taint(old.id);
  assert.deepEqual(
    ca.authorities().map(({ state }) => state),
    ['tainted', 'published', 'tainted', 'tainted'],
  );
  await until(() => {
    clock.advance(20);
    return ca.authorities().length === 2;
  });
});

test('a taint goes on after a restart, and the key never comes back', async (t) => {
  const { ca, clock, dir, lagging, restart } = await open(t);
  lagging.push(PROXY);
  const old = one(ca, 'root', 'active')!;
  const file = `${dir}/root-${old.id}.pem`;
  const content = readFileSync(file);
  await ca.taint(old.id);
  let again = await restart();
  assert.equal(one(again, 'root', 'tainted')!.id, old.id);
  await until(() => {
    clock.advance(100);
    return one(again, 'root', 'tainted') === undefined;
  });
  writeFileSync(file, content, { mode: 0o600 });
  again = await restart();
  assert.ok(!existsSync(file));
  await assert.rejects(again.taint(old.id), { code: 'ERR_NOT_FOUND' });
});

test('a published root is replaced by another one; a prepared one is deleted', async (t) => {
  const { ca, clock } = await open(t);
  await ca.rotate('root');
  const published = one(ca, 'root', 'published')!;
  const active = one(ca, 'root', 'active')!;
  await ca.taint(published.id);
  await until(() => {
    clock.advance(20);
    return rootStates(ca).length === 1;
  });
  assert.equal(one(ca, 'root', 'active')!.id, active.id);
});

test('a taint that cannot be stored is an error; nothing is signed until it is stored', async (t) => {
  const { ca, clock, dir } = await open(t);
  const old = one(ca, 'root', 'active')!;
  renameSync(`${dir}/state.json`, `${dir}/state.away`);
  mkdirSync(`${dir}/state.json`);
  await assert.rejects(ca.taint(old.id), { code: 'ERR_CA', message: /^the taint could not be stored/ });
  const signed: string[] = [];
  const issued = ca.issue(request()).then(
    ({ authorityId }) => signed.push(authorityId),
    () => signed.push('refused'),
  );
  await issued;
  assert.deepEqual(signed, ['refused']);
  rmdirSync(`${dir}/state.json`);
  renameSync(`${dir}/state.away`, `${dir}/state.json`);
  await until(() => {
    clock.advance(SECOND);
    return rootStates(ca).join() === 'active' && one(ca, 'root', 'active')!.id !== old.id;
  });
  assert.equal((await ca.issue(request())).authorityId, one(ca, 'intermediate', 'active')!.id);
});

test('an unknown authority is an error; a second taint is none', async (t) => {
  const { ca, lagging } = await open(t);
  lagging.push(PROXY);
  await assert.rejects(ca.taint('00'), { code: 'ERR_NOT_FOUND' });
  const { id } = one(ca, 'root', 'active')!;
  await ca.taint(id);
  await ca.taint(id);
  assert.equal(rootStates(ca).length, 2);
});

test('each change of a state is told when it is stored', async (t) => {
  const { ca, clock } = await open(t, { rootPublishTime: 0 });
  const moves: AuthorityMove[] = [];
  ca.onMove((move) => moves.push(move));
  await ca.rotate('root');
  await until(() => {
    clock.advance(20);
    return one(ca, 'root', 'retired') !== undefined;
  });
  assert.deepEqual(
    moves.map(({ role, before, state }) => `${role} ${before} -> ${state}`),
    [
      'root undefined -> published',
      'root active -> retired',
      'root published -> active',
      'intermediate active -> retired',
      'intermediate undefined -> active',
    ],
  );
});

test('whatever happens at the same time, nothing is signed under an authority after its taint is answered', async (t) => {
  const { ca, clock } = await open(t, { rootPublishTime: 0 });
  const tainted = new Set<string>();
  let isOver = false;
  const issue = async () => {
    while (!isOver) {
      const before = new Set(tainted);
      const svid = await ca.issue(request());
      assert.ok(!before.has(svid.authorityId), 'a tainted authority has signed');
    }
  };
  const disturb = async () => {
    while (!isOver) {
      await Promise.all([ca.rotate('intermediate'), ca.rotate('root')]).catch((error) => {
        assert.equal(error.code, 'ERR_ROTATION_LIMIT');
      });
      // A refusal takes no I/O: without a turn of the event loop nothing else would go on.
      await nextTurn();
      clock.advance(20);
    }
  };
  const working = [issue(), issue(), disturb()];
  for (let i = 0; i < 20; i += 1) {
    const { id } = one(ca, 'intermediate', 'active') ?? one(ca, 'root', 'active') ?? { id: '' };
    if (id === '') clock.advance(20);
    else {
      await ca.taint(id).catch((error) => assert.equal(error.code, 'ERR_NOT_FOUND'));
      if (ca.authorities().some((authority) => authority.id === id && authority.state === 'tainted')) tainted.add(id);
    }
    await ca.issue(request());
  }
  isOver = true;
  await Promise.all(working);
  assert.ok(tainted.size > 0);
});

test('a clock that is set back does not hold up a taint', async (t) => {
  const { ca, clock, lagging, using } = await open(t);
  lagging.push(PROXY);
  using.push(PROXY);
  const { id } = one(ca, 'root', 'active')!;
  await ca.taint(id);
  await until(() => one(ca, 'root', 'published') !== undefined);
  clock.set(clock.now() - HOUR);
  clock.tick();
  await until(() => one(ca, 'root', 'active') !== undefined);
  await until(() => {
    clock.advance(SECOND);
    return one(ca, 'root', 'tainted') === undefined;
  });
});

for (const [what, change] of [
  ['are lost', (file: string) => rmSync(file)],
  ['are those of before', (file: string, before: Buffer) => writeFileSync(file, before)],
] as const) {
  test(`an authority stays tainted if the states ${what}`, async (t) => {
    const { ca, clock, dir, lagging, restart } = await open(t);
    const states = `${dir}/state.json`;
    const before = readFileSync(states);
    lagging.push(PROXY);
    const { id } = one(ca, 'root', 'active')!;
    await ca.taint(id);
    await ca.close();
    change(states, before);
    const again = await restart();
    const found = again.authorities().find((authority) => authority.id === id);
    assert.ok(found === undefined || found.state === 'tainted', found?.state);
    await until(() => {
      clock.advance(SECOND);
      return !again.authorities().some((authority) => authority.id === id);
    });
    clock.set(clock.now() + 11 * YEAR);
    await again.issue(request());
    await restart();
    assert.deepEqual(
      readdirSync(dir).filter((name) => name.startsWith('tainted')),
      [],
    );
  });
}

/** The clock jumps during a rotation, and data directories come back from the past: all ends healthy, by itself. */

import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { CertificateAuthority } from '../../src/ca/types.ts';
import { TestClock } from '../support/clock.ts';
import { tempDir } from '../support/temp-dir.ts';
import {
  assertIssues,
  DAY,
  HOUR,
  MINUTE,
  openTestAuthority,
  request,
  SECOND,
  type TestAuthority,
  until,
  YEAR,
} from './support.ts';
import { newRoot, TestUpstream } from './test-upstream.ts';

const PUBLISH_TIME = DAY;

const roots = (ca: CertificateAuthority) =>
  ca.authorities().flatMap(({ role, state, id }) => (role === 'root' ? [{ id, state }] : []));

/** One that is not valid yet, since the clock was set back, waits until it is. */
const isPublishing = (ca: CertificateAuthority, now: number) =>
  ca.authorities().some(({ state, notBefore }) => state === 'published' && notBefore <= now);

/** After its publish time at the latest, one root signs and none is on its way. */
async function assertHealthy(authority: TestAuthority, ca: CertificateAuthority): Promise<void> {
  const { clock } = authority;
  await assertIssues(authority, ca);
  // A rotation that the jump made due may follow the one before.
  for (let rotations = 0; isPublishing(ca, clock.now()); rotations += 1) {
    assert.ok(rotations < 3, JSON.stringify(roots(ca)));
    clock.advance(PUBLISH_TIME + MINUTE);
    await assertIssues(authority, ca);
  }
  assert.equal(roots(ca).filter(({ state }) => state === 'active').length, 1);
  assert.equal(ca.trouble(), undefined);
  clock.advance(HOUR);
  await assertIssues(authority, ca);
}

const JUMPS = [
  ['a week ahead, as after a sleep', 7 * DAY],
  ['an hour ahead', HOUR],
  ['a year ahead', YEAR],
  ['an hour back', -HOUR],
  ['a year back', -YEAR],
  ['beyond 2050', 26 * YEAR],
] as const;

describe('when the clock is set while a new root is published,', () => {
  for (const [what, jump] of JUMPS) {
    test(`${what}: SVIDs are valid, and the rotation ends`, async (t) => {
      const authority = await openTestAuthority(t);
      const { ca, clock } = authority;
      await ca.rotate('root');
      await assertIssues(authority, ca);
      clock.set(clock.now() + jump);
      clock.tick();
      await assertHealthy(authority, ca);
    });
  }
});

describe('with an upstream, when the clock is set', () => {
  const open = async (t: TestContext) => {
    const clock = new TestClock();
    const upstream = new TestUpstream(await newRoot(clock.now()), () => clock.now());
    const authority = await openTestAuthority(t, { upstream }, clock);
    await until(() => authority.ca.trouble() === undefined);
    return { ...authority, upstream };
  };

  for (const [what, jump] of JUMPS) {
    test(`${what}: nothing is signed without a reason, and all goes on with an upstream that has the same time`, async (t) => {
      const authority = await open(t);
      const { ca, clock, upstream } = authority;
      await assertIssues(authority, ca);
      clock.set(clock.now() + jump);
      clock.tick();
      const { notBefore, notAfter } = upstream.root;
      const isRootValid = notBefore <= clock.now() && clock.now() < notAfter;
      if (!isRootValid) {
        await assert.rejects(ca.issue(request()), /no intermediate can sign/);
        assert.match(ca.trouble()!, /no intermediate can sign/);
        upstream.root = await newRoot(clock.now());
        upstream.listed = [upstream.root];
      }
      await until(() => {
        clock.advance(100);
        return ca.trouble() === undefined;
      });
      await assertHealthy(authority, ca);
    });
  }
});

describe('a data directory that is restored', () => {
  /** Three rotations of the root, with a copy of the directory before each. */
  const open = async (t: TestContext) => {
    const authority = await openTestAuthority(t, { rootPublishTime: 0, caTtl: HOUR / 1000, x509SvidTtl: 600 });
    const copies: string[] = [];
    for (let i = 0; i < 3; i += 1) {
      copies.push(path.join(tempDir(t), 'ca'));
      cpSync(authority.dir, copies[i]!, { recursive: true });
      await authority.ca.rotate('root');
      await until(() => {
        authority.clock.advance(20);
        return !isPublishing(authority.ca, authority.clock.now());
      });
      // The intermediate and the root before it are gone then.
      authority.clock.advance(2 * HOUR);
      await assertIssues(authority, authority.ca);
      await until(() => {
        authority.clock.advance(SECOND);
        return roots(authority.ca).length === 1;
      });
    }
    return { ...authority, copies };
  };
  const stateOf = (dir: string) => JSON.parse(readFileSync(path.join(dir, 'state.json'), 'utf8'));

  test('whole, from the past: its root signs again, and is replaced in its time', async (t) => {
    const authority = await open(t);
    const { dir, copies } = authority;
    await authority.ca.close();
    rmSync(dir, { recursive: true });
    cpSync(copies[0]!, dir, { recursive: true });
    const ca = await authority.restart();
    assert.ok(copies[0] !== undefined && stateOf(copies[0]).rootIds[0] === roots(ca)[0]!.id);
    await assertHealthy(authority, ca);
  });

  test('in its files of authorities alone: those that were gone stay gone', async (t) => {
    const authority = await open(t);
    const { dir, copies } = authority;
    const before = roots(authority.ca);
    for (const copy of copies) cpSync(copy, dir, { recursive: true, filter: (name) => !name.endsWith('state.json') });
    const ca = await authority.restart();
    assert.deepEqual(roots(ca), before);
    await assertHealthy(authority, ca);
  });

  test('in its states alone, of roots whose files were deleted since: a root that has a file is published before it signs', async (t) => {
    const authority = await open(t);
    const { dir, copies, ca: earlier } = authority;
    const { sequenceNumber } = earlier.bundle();
    cpSync(path.join(copies[0]!, 'state.json'), path.join(dir, 'state.json'));
    const ca = await authority.restart();
    await assertHealthy(authority, ca);
    assert.ok(ca.bundle().sequenceNumber >= sequenceNumber);
    assert.equal(stateOf(dir).rootIds.length, 1);
  });
});

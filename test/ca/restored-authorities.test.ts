/** The authorities of a backup: which are refused, and what a restore changes in their states. */

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { lastAuthorities, type RestoreTerms, restoreAuthorities } from '../../src/ca/restored-authorities.ts';
import { parseTrustDomain } from '../../src/spiffe/id.ts';
import { JWT } from '../jwt/support.ts';
import { TestClock } from '../support/clock.ts';
import { tempDir } from '../support/temp-dir.ts';
import { assertIssues, HOUR, openTestAuthority, request, type TestAuthority, TRUST_DOMAIN } from './support.ts';

const NOW = Date.parse('2030-01-01T00:00:00Z');

/** The files of a backup, unpacked into a directory; changed by the test first. */
function unpacked(t: TestContext, files: ReadonlyMap<string, Buffer>): string {
  const dir = path.join(tempDir(t), 'ca');
  mkdirSync(dir, { mode: 0o700 });
  for (const [name, bytes] of files) writeFileSync(path.join(dir, name), bytes, { mode: 0o600 });
  return dir;
}

function restored(dir: string, changes: Partial<RestoreTerms> = {}) {
  return restoreAuthorities(dir, { trustDomain: TRUST_DOMAIN, now: NOW, last: undefined, taint: [], ...changes });
}

const nameOf = (files: ReadonlyMap<string, Buffer>, role: string) => {
  return [...files.keys()].find((name) => name.startsWith(role))!;
};
const idOf = (files: ReadonlyMap<string, Buffer>, role: string) => nameOf(files, role).replace(/^\w+-|\.pem$/g, '');

/** The states with some members changed. */
function changeState(files: Map<string, Buffer>, change: (state: Record<string, never>) => void): void {
  const state = JSON.parse(files.get('state.json')!.toString('utf8'));
  change(state);
  files.set('state.json', Buffer.from(JSON.stringify(state)));
}

describe('restored authorities', () => {
  it('go on with a sequence number above that of the backup, of the replaced directory, and of the time', async (t) => {
    const { ca } = await openTestAuthority(t);
    const files = ca.snapshot();
    const { sequenceNumber } = JSON.parse(files.get('state.json')!.toString('utf8'));
    const seconds = NOW / 1000;
    for (const [last, now, after] of [
      [0, NOW, Math.max(sequenceNumber, seconds) + 1],
      [0, 0, sequenceNumber + 1],
      [seconds + 50, NOW, seconds + 51],
    ] as const) {
      const dir = unpacked(t, files);
      const report = await restored(dir, { now, last: { sequenceNumber: last, tainted: new Set() } });
      assert.deepEqual(report.sequenceNumber, { before: sequenceNumber, after });
      assert.equal(JSON.parse(readFileSync(path.join(dir, 'state.json'), 'utf8')).sequenceNumber, after);
    }
  });

  it('begin revocation lists at the time of the restore, after all lists from before it', async (t) => {
    const first = await openTestAuthority(t);
    const { serial, authorityId, spiffeId, entryId, notAfter } = await first.ca.issue(request());
    const revokedAt = first.clock.now();
    const revoked = [
      { serial, authorityId, spiffeId, entryId, notAfter, revokedAt, reason: 'key-compromise' },
    ] as const;
    await first.ca.setRevoked(revoked);
    const dir = unpacked(t, first.ca.snapshot());
    const now = first.clock.now() + 60_000;
    await restored(dir, { now });
    const second = await openTestAuthority(t, { dir, revoked }, new TestClock(now));
    const times = second.ca.revocationLists().map(({ thisUpdate }) => thisUpdate);
    assert.deepEqual([...new Set(times)], [now]);
  });

  it('are the same as before for a server that starts with them', async (t) => {
    const first = await openTestAuthority(t);
    const dir = unpacked(t, first.ca.snapshot());
    await restored(dir, { now: first.clock.now() });
    const second = await openTestAuthority(t, { dir }, first.clock);
    const ids = ({ ca }: TestAuthority) => ca.authorities().map(({ id, state }) => `${id} ${state}`);
    assert.deepEqual(ids(second), ids(first));
    await assertIssues(second, second.ca);
  });

  it('have the mark of a taint as soon as it is declared, stored or not', async (t) => {
    const { ca, dir } = await openTestAuthority(t);
    const [signer] = ca.authorities().filter(({ role }) => role === 'intermediate');
    // While the intermediate is being replaced, the taint may have to wait.
    const rotating = ca.rotate('intermediate');
    const tainting = ca.taint(signer!.id);
    assert.ok(ca.snapshot().has(`tainted-${signer!.id}`));
    await rotating;
    await tainting;
    assert.ok(ca.snapshot().has(`tainted-${signer!.id}`));
    const last = await lastAuthorities(dir, TRUST_DOMAIN);
    assert.ok(last!.tainted.has(signer!.id));
  });

  it('include the JWT keys, without those that were tainted meanwhile, or that the restore taints', async (t) => {
    const first = await openTestAuthority(t, { jwt: JWT });
    const jwtOf = ({ ca }: Pick<TestAuthority, 'ca'>) => ca.authorities().filter(({ role }) => role === 'jwt');
    const [active, next] = jwtOf(first);
    const files = first.ca.snapshot();
    const now = first.clock.now();
    const { sequenceNumber } = first.ca.bundle();
    const cases: readonly (readonly [changes: Partial<RestoreTerms>, left: readonly string[]])[] = [
      [{}, [active!.id, next!.id]],
      [{ taint: [active!.id.slice(0, 12)] }, [next!.id]],
      [{ last: { sequenceNumber: 1, tainted: new Set([next!.id]) } }, [active!.id]],
    ];
    for (const [changes, left] of cases) {
      const dir = unpacked(t, files);
      const report = await restored(dir, { now, ...changes });
      const states = new Map(report.authorities.map(({ id, role, state }) => [id, `${role} ${state}`]));
      assert.equal(states.get(active!.id), left.includes(active!.id) ? 'jwt active' : 'jwt tainted');
      assert.equal(report.sequenceNumber.before, sequenceNumber);
      const second = await openTestAuthority(t, { dir, jwt: JWT }, first.clock);
      const ids = second.ca.bundle().jwtAuthorities.map(({ keyId }) => keyId);
      assert.ok(left.every((id) => ids.includes(id)));
      assert.equal(ids.filter((id) => id === active!.id || id === next!.id).length, left.length);
      assert.ok(second.ca.bundle().sequenceNumber > sequenceNumber);
    }
    const tainting = first.ca.taint(active!.id);
    const without = first.ca.snapshot();
    assert.ok(!without.has(`jwt-${active!.id}.json`) && without.has(`jwt-${next!.id}.json`));
    await tainting;
    assert.deepEqual((await lastAuthorities(first.dir, TRUST_DOMAIN))!.tainted, new Set([active!.id]));
    // As a kill between the deletion of the key's file and the write of the states would leave it.
    const dir = unpacked(t, without);
    await restored(dir, { now });
    const last = await openTestAuthority(t, { dir, jwt: JWT }, first.clock);
    assert.equal((await last.ca.jwtSigner()).keyId, next!.id);
  });

  it('are tainted with the root of a tainted intermediate, and with all under a tainted root', async (t) => {
    const { ca } = await openTestAuthority(t);
    await ca.rotate('intermediate');
    const files = ca.snapshot();
    for (const role of ['root', 'intermediate']) {
      const dir = unpacked(t, files);
      const { authorities } = await restored(dir, { taint: [idOf(files, role)] });
      for (const { id } of authorities) assert.ok(existsSync(path.join(dir, `tainted-${id}`)));
      assert.deepEqual(
        authorities.map(({ state }) => state),
        ['tainted', 'tainted', 'tainted'],
      );
    }
    const last = { sequenceNumber: 0, tainted: new Set([idOf(files, 'root'), 'ab12']) };
    const { authorities } = await restored(unpacked(t, files), { last });
    assert.ok(authorities.every(({ state }) => state === 'tainted'));
    for (const taint of ['', idOf(files, 'root').slice(0, 3), 'zzzz']) {
      await assert.rejects(restored(unpacked(t, files), { taint: [taint] }), { code: 'ERR_NOT_FOUND' });
    }
  });

  const REFUSED: Record<string, readonly [(files: Map<string, Buffer>) => void, RegExp]> = {
    'an unknown file': [(files) => files.set('evil.sh', Buffer.from('')), /has the unknown file evil.sh/],
    'a missing root': [
      (files) => files.delete(nameOf(files, 'root')),
      /has no file of the authority \w+, which its states name/,
    ],
    'a missing intermediate': [(files) => files.delete(nameOf(files, 'intermediate')), /has no file of the authority/],
    'damaged states': [(files) => files.set('state.json', Buffer.from('{')), /state.json is damaged/],
    'states of other types': [
      (files) => changeState(files, (state) => Object.assign(state, { slots: { a: null } })),
      /state.json is damaged/,
    ],
    'a bundle with an unknown root': [
      (files) => changeState(files, (state) => Object.assign(state, { rootIds: ['ab'] })),
      /has no file of the authority ab/,
    ],
    'a number out of range': [
      (files) => changeState(files, (state) => Object.assign(state, { sequenceNumber: Number.MAX_SAFE_INTEGER - 1 })),
      /which is too large/,
    ],
    'a key that is none': [
      (files) =>
        files.set(nameOf(files, 'root'), Buffer.from('-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n')),
      /private key that cannot be read/,
    ],
    'the key of another certificate': [
      (files) => {
        const key = /-----BEGIN PRIVATE KEY-----.+/s.exec(files.get(nameOf(files, 'intermediate'))!.toString())![0];
        const root = files.get(nameOf(files, 'root'))!.toString();
        files.set(nameOf(files, 'root'), Buffer.from(root.replace(/-----BEGIN PRIVATE KEY-----.+/s, key)));
      },
      /a private key that does not match its certificate/,
    ],
    'a file under the name of another': [
      (files) => files.set('root-ab.pem', files.get(nameOf(files, 'root'))!),
      /contains the authority of root-/,
    ],
    'two active intermediates': [
      (files) => {
        changeState(files, (state) => {
          for (const slot of Object.values(state.slots as unknown as Record<string, { state: string }>))
            slot.state = 'active';
        });
      },
      /has 2 active authorities that are intermediates/,
    ],
  };
  for (const [what, [change, message]] of Object.entries(REFUSED)) {
    it(`with ${what} are refused`, async (t) => {
      const { ca } = await openTestAuthority(t);
      await ca.rotate('intermediate');
      const files = ca.snapshot();
      change(files);
      await assert.rejects(restored(unpacked(t, files), { now: 0 }), message);
    });
  }

  it('of another trust domain, or under a root of another server, are refused', async (t) => {
    const [one, other] = [await openTestAuthority(t), await openTestAuthority(t)];
    const trustDomain = parseTrustDomain('other.test');
    await assert.rejects(
      restored(unpacked(t, one.ca.snapshot()), { trustDomain }),
      /of URI:spiffe:\/\/ilinux.io, not of/,
    );
    const files = one.ca.snapshot();
    const foreign = other.ca.snapshot();
    const name = nameOf(foreign, 'intermediate');
    files.set(name, foreign.get(name)!);
    await assert.rejects(restored(unpacked(t, files), { now: one.clock.now() + HOUR }), /but not its root/);
  });
});

describe('what a replaced directory says', () => {
  it('is nothing where there is none, or where it cannot be read', async (t) => {
    const dir = path.join(tempDir(t), 'ca');
    assert.equal(await lastAuthorities(dir, TRUST_DOMAIN), undefined);
    mkdirSync(dir);
    writeFileSync(path.join(dir, 'state.json'), '{');
    assert.equal(await lastAuthorities(dir, TRUST_DOMAIN), undefined);
    // The marks count, whatever else is damaged.
    writeFileSync(path.join(dir, 'tainted-ab12'), '');
    assert.deepEqual(await lastAuthorities(dir, TRUST_DOMAIN), { sequenceNumber: 0, tainted: new Set(['ab12']) });
  });
});

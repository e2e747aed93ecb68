/** The audit of the authorities: what is recorded, and that a crash between their file and the audit loses nothing. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { AuditEvent } from '../../src/audit/event.ts';
import type { CertificateAuthorityOptions } from '../../src/ca/certificate-authority.ts';
import type { CertificateAuthority } from '../../src/ca/types.ts';
import { HOUR, openTestAuthority, request, until } from './support.ts';

const BY = { kind: 'unix', uid: 0, pid: 7 } as const;

/** An audit in memory, which can fail. */
function memory() {
  const events: AuditEvent[] = [];
  const audit = {
    fails: false,
    revision: 0,
    async append(added: readonly AuditEvent[], options: { readonly authorityRevision?: number | undefined } = {}) {
      if (audit.fails) throw new Error('the disk is full');
      events.push(...added);
      audit.revision = options.authorityRevision ?? audit.revision;
    },
    authorityRevision: async () => audit.revision,
  };
  return { audit, events };
}

async function open(t: TestContext, overrides: Partial<CertificateAuthorityOptions> = {}) {
  const { audit, events } = memory();
  const authority = await openTestAuthority(t, { audit, ...overrides });
  /** The rows since the last call: `server activated root active`. */
  const rows = () =>
    events.splice(0).map(({ action, by, after, detail }) => {
      const { role, state = '' } = (after ?? detail) as { role: string; state?: string };
      return `${by.kind} ${action.replace('authority.', '')} ${role} ${state}`.trimEnd();
    });
  return { ...authority, audit, events, rows };
}

const activeOf = (ca: CertificateAuthority, role: string) =>
  ca.authorities().find((one) => one.role === role && one.state === 'active')!;

test('every state of an authority is recorded, and who asked', async (t) => {
  const { ca, clock, rows, events } = await open(t);
  const first = activeOf(ca, 'root');
  assert.equal(events[0]!.target, first.id);
  assert.deepEqual(rows(), [
    'server created root prepared',
    'server activated root active',
    'server created intermediate prepared',
    'server activated intermediate active',
  ]);
  await ca.rotate('intermediate', BY);
  assert.deepEqual(rows().toSorted(), [
    'server activated intermediate active',
    'server created intermediate prepared',
    'server retired intermediate retired',
    'unix rotate_asked intermediate',
  ]);
  await ca.rotate('root', BY);
  assert.deepEqual(rows().toSorted(), [
    'server created root prepared',
    'server published root published',
    'unix rotate_asked root',
  ]);
  for (let hour = 0; hour < 26; hour += 1) {
    clock.advance(HOUR);
    // Waits for the review that is due.
    await ca.issue(request());
  }
  await until(() => events.some(({ action, target }) => action === 'authority.retired' && target === first.id));
  const [retired] = events.filter(({ action, target }) => action === 'authority.retired' && target === first.id);
  assert.deepEqual(
    [retired?.before, retired?.after],
    [
      { role: 'root', state: 'active' },
      { role: 'root', state: 'retired' },
    ],
  );
  rows();
  await ca.taint(first.id, BY);
  const tainted = rows();
  assert.ok(tainted.includes('unix tainted root tainted'), tainted.join());
  assert.deepEqual(
    tainted.filter((row) => row.startsWith('unix') && !/ (tainted|removed) /.test(row)),
    [],
  );
});

test('nothing is recorded of a review that changes nothing, or of a restart', async (t) => {
  const { rows, restart } = await open(t);
  rows();
  await restart();
  assert.deepEqual(rows(), []);
});

test('a change that could not be recorded takes effect, and is recorded later, once', async (t) => {
  const { ca, clock, audit, rows, events } = await open(t);
  rows();
  const { id } = activeOf(ca, 'intermediate');
  audit.fails = true;
  await assert.rejects(ca.taint(id, BY), /the disk is full/);
  assert.notEqual(activeOf(ca, 'intermediate')?.id, id);
  audit.fails = false;
  clock.advance(30_000);
  await until(() => events.some(({ action }) => action === 'authority.tainted'));
  clock.advance(0);
  await ca.issue(request());
  const tainted = events.filter(({ action, target }) => action === 'authority.tainted' && target === id);
  assert.equal(tainted.length, 1);
  assert.deepEqual(tainted[0]!.by, BY);
});

test('a rotation or an import that cannot be recorded does not happen', async (t) => {
  const { ca, audit } = await open(t);
  const { id } = activeOf(ca, 'intermediate');
  audit.fails = true;
  await assert.rejects(ca.rotate('intermediate', BY), /the disk is full/);
  assert.equal(activeOf(ca, 'intermediate').id, id);
});

test('what a killed process stored but did not record, the next start records, once', async (t) => {
  const { ca, dir, audit, events, rows, restart } = await open(t);
  const before = audit.revision;
  rows();
  await ca.rotate('intermediate', BY);
  const recorded = events.splice(0).filter(({ action }) => !action.endsWith('asked'));
  // As if the process had been killed between the file and the audit.
  audit.revision = before;
  await restart();
  assert.deepEqual(events.splice(0), recorded);
  await restart();
  assert.deepEqual(events, []);
  const state = JSON.parse(readFileSync(path.join(dir, 'state.json'), 'utf8'));
  assert.equal(audit.revision, state.revision);
});

test('states of an earlier version, or an older copy of them, are taken over', async (t) => {
  const { dir, audit, events, rows, restart } = await open(t);
  rows();
  const file = path.join(dir, 'state.json');
  const { revision: _, moves: __, ...old } = JSON.parse(readFileSync(file, 'utf8'));
  writeFileSync(file, JSON.stringify(old));
  audit.revision = 9;
  const ca = await restart();
  assert.deepEqual(events, []);
  await ca.rotate('intermediate', BY);
  assert.equal(audit.revision, 10, 'a revision never repeats');
});

const JWT = { keyType: 'ec-p256', keyTtl: 86_400, publishBefore: 900 } as const;
const jwtRows = (rows: readonly string[]) => rows.filter((row) => row.includes(' jwt')).toSorted();

test('the states of JWT keys are recorded too, in the same file, and who asked', async (t) => {
  const { ca, clock, rows, events, audit } = await open(t, { jwt: JWT });
  assert.deepEqual(jwtRows(rows()), [
    'server activated jwt active',
    'server created jwt prepared',
    'server created jwt prepared',
    'server published jwt published',
  ]);
  await ca.rotate('jwt', BY);
  clock.advance(HOUR);
  await until(() => events.some(({ action }) => action === 'authority.retired'));
  assert.deepEqual(jwtRows(rows()), [
    'server activated jwt active',
    'server created jwt prepared',
    'server published jwt published',
    'server retired jwt retired',
    'unix rotate_asked jwt',
  ]);
  const { id } = activeOf(ca, 'jwt');
  await ca.taint(id, BY);
  const tainted = events.filter(({ target }) => target === id);
  assert.deepEqual(
    tainted.map(({ action, by }) => [action, by.kind]),
    [
      ['authority.tainted', 'unix'],
      ['authority.removed', 'server'],
    ],
  );
  rows();
  audit.fails = true;
  await assert.rejects(ca.rotate('jwt', BY), /the disk is full/);
});

test('moves of a JWT key and of an intermediate that could not be recorded are recorded once, in order', async (t) => {
  const { ca, audit, events, rows, restart } = await open(t, { jwt: JWT });
  rows();
  const key = activeOf(ca, 'jwt').id;
  audit.fails = true;
  // It takes effect nevertheless.
  await assert.rejects(ca.taint(key, BY), /the disk is full/);
  assert.ok(!ca.authorities().some(({ id }) => id === key));
  assert.ok(!ca.bundle().jwtAuthorities.some(({ keyId }) => keyId === key));
  assert.equal(events.length, 0);
  audit.fails = false;
  await ca.rotate('intermediate', BY);
  const seen = events.splice(0).map(({ action, by, target }) => [action, by.kind, target]);
  const ofKey = seen.filter(([, , target]) => target === key);
  assert.deepEqual(ofKey, [
    ['authority.tainted', 'unix', key],
    ['authority.removed', 'server', key],
  ]);
  await restart();
  assert.equal(events.length, 0);
});

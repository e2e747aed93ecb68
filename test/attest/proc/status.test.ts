import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseCapabilities, parseStatus, readOwnCapabilities, readStatus } from '../../../src/attest/proc/status.ts';
import { startCaller } from '../../support/caller.ts';

/** As the kernel wrote them (6.18). */
function captured(name: string): string {
  return fs.readFileSync(new URL(`../fixtures/proc/${name}`, import.meta.url), 'latin1');
}

test('status gives the ids, the groups and the pids, whatever the name is', () => {
  const expected = { uid: 0, gid: 0, groups: [4, 27, 1000], pids: [13487], mainThreadEnded: false };
  assert.deepEqual(parseStatus(captured('odd-name.status')), expected);
});

test('of four ids the effective one counts', () => {
  const { uid, gid, groups } = parseStatus(captured('other-effective-ids.status'));
  assert.deepEqual({ uid, gid, groups }, { uid: 1000, gid: 1001, groups: [] });
});

test('in a nested pid namespace a process has a pid in each', () => {
  const status = captured('odd-name.status').replace('NSpid:\t13487', 'NSpid:\t13487\t42\t1');
  assert.deepEqual(parseStatus(status).pids, [13487, 42, 1]);
  assert.deepEqual(parseStatus(status.replace('NSpid:\t13487\t42\t1\n', '')).pids, []);
});

const GOOD = ['Name:\tnode', 'Uid:\t1\t2\t3\t4', 'Gid:\t5\t6\t7\t8', 'Groups:\t9 10 ', 'NSpid:\t11'];
const withLine = (at: number, line: string) => `${GOOD.with(at, line).join('\n')}\n`;

for (const [what, text, problem] of [
  ['no Groups', withLine(3, 'X:\t'), /no Groups/],
  ['no Uid', withLine(1, 'X:\t'), /no Uid/],
  ['no Gid', withLine(2, 'X:\t'), /no Gid/],
  ['no name first', `${GOOD.slice(1).join('\n')}\n`, /does not begin with the name/],
  ['nothing', '', /does not begin with the name/],
  ['a line that does not end', GOOD.join('\n'), /ends within a line/],
  ['two lines of Uid', withLine(4, 'Uid:\t0\t0\t0\t0'), /more than one Uid/],
  ['two lines of Groups', withLine(4, 'Groups:\t27 '), /more than one Groups/],
  ['three uids', withLine(1, 'Uid:\t1\t2\t3'), /malformed Uid/],
  ['five uids', withLine(1, 'Uid:\t1\t2\t3\t4\t5'), /malformed Uid/],
  ['a uid with a sign', withLine(1, 'Uid:\t1\t-2\t3\t4'), /malformed Uid/],
  ['a uid of more than 32 bits', withLine(1, 'Uid:\t1\t4294967296\t3\t4'), /malformed Uid/],
  ['a uid with a carriage return', withLine(1, 'Uid:\t1\t2\t3\t4\r'), /malformed Uid/],
  ['a gid in hexadecimal', withLine(2, 'Gid:\t5\t0x6\t7\t8'), /malformed Gid/],
  ['groups with two spaces', withLine(3, 'Groups:\t9  10 '), /malformed Groups/],
  ['groups with a line separator', withLine(3, 'Groups:\t9\u202810 '), /malformed Groups/],
  ['a pid that is a word', withLine(4, 'NSpid:\tone'), /malformed NSpid/],
] as const) {
  test(`a status with ${what} is refused`, () => {
    assert.throws(() => parseStatus(text), { code: 'ERR_PROC', message: problem });
  });
}

test('whatever a name holds but a line feed, it adds nothing', () => {
  const hostile = fc.constantFrom('\r', '\u2028', '\u0085', 'Uid:\t0\t0\t0\t0', 'Groups:\t27 ', 'Name:\tx', '\t', 'a');
  fc.assert(
    fc.property(fc.array(hostile, { maxLength: 8 }), (parts) => {
      const { uid, gid, groups, pids } = parseStatus(withLine(0, `Name:\t${parts.join('')}`));
      assert.deepEqual({ uid, gid, groups, pids }, { uid: 2, gid: 6, groups: [9, 10], pids: [11] });
    }),
  );
});

test('capabilities are one line of sixteen hexadecimal digits', () => {
  assert.equal(parseCapabilities(captured('odd-name.status')), 0x1fffeffffffn);
  assert.throws(() => parseCapabilities('Name:\tCapEff:\t0\n'), { code: 'ERR_PROC' });
  assert.throws(() => parseCapabilities('Name:\tx\nCapEff:\t1\n'), { code: 'ERR_PROC' });
  assert.equal(typeof readOwnCapabilities(), 'bigint');
});

test('of the own process everything can be read', () => {
  const { uid, gid, pids } = readStatus(process.pid);
  assert.deepEqual([uid, gid, pids[0]], [process.geteuid!(), process.getegid!(), process.pid]);
});

test('a pid that no process has is told as such', () => {
  assert.throws(() => readStatus(0x7fff_fff0), { code: 'ENOENT' });
});

test('a process in thousands of groups is read whole', {
  skip: process.getuid!() === 0 ? false : 'only root can choose its groups',
}, async (t) => {
  const groups = Array.from({ length: 5_000 }, (_, at) => 100_000 + at);
  const caller = startCaller(t);
  await caller.tell('setgroups', groups);
  const status = readStatus(caller.pid);
  assert.deepEqual([status.uid, status.gid, status.groups], [0, process.getgid!(), groups]);
});

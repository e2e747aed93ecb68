/**
 * Fuzzes the readers of /proc with what processes choose themselves: names, cgroups and paths, written as the kernel writes
 * them. Whatever they are, the rest of the file says what it said. Changed text is read or refused; nothing else.
 */

import assert from 'node:assert/strict';
import { parseCgroup } from '../../src/attest/docker/cgroup.ts';
import { parseCgroupLines } from '../../src/attest/proc/cgroup.ts';
import { parseMountinfo } from '../../src/attest/proc/mountinfo.ts';
import { parseStat } from '../../src/attest/proc/stat.ts';
import { parseStatus } from '../../src/attest/proc/status.ts';
import { unitOf } from '../../src/attest/systemd/unit.ts';
import { parseIdMap } from '../../src/base/proc/id-map.ts';
import { mutate } from './mutate.ts';
import { Random } from './random.ts';
import { Broken, type Target } from './target.ts';

const ID = 'ab'.repeat(32);
const OTHER = 'cd'.repeat(32);
/** Bytes, as latin1. */
const HOSTILE = [
  '\r',
  '\n',
  '\\',
  '\t',
  ' ',
  ':',
  ')',
  '/',
  '\u0085',
  Buffer.from('\u2028').toString('latin1'),
  Buffer.from('\u2029').toString('latin1'),
  'Uid:\t0\t0\t0\t0',
  'Groups:\t27 ',
  'Groups:27',
  'NSpid:\t1',
  'a.slice/web.service',
  'Name:\tx',
  ') R 1 1 1',
  '0::/',
  `/docker/${OTHER}`,
  `docker-${OTHER}.scope`,
  '..',
  ' (deleted)',
  '\\012',
  '\\040',
];

export const fuzzProc: Target = async (seed, goOn) => {
  const begin = performance.now();
  let input = 0;
  let refused = 0;
  for (; goOn(input); input += 1) {
    const random = Random.of(seed, input);
    const chosen = choose(random);
    try {
      lookAt(chosen);
      if (!reads(random, chosen)) refused += 1;
    } catch (error) {
      throw new Broken('proc', seed, input, JSON.stringify(chosen), error);
    }
  }
  return { inputs: input, seconds: (performance.now() - begin) / 1_000, notes: [`${refused} refused`] };
};

/** What a process calls itself, latin1; NUL ends a name. */
function choose(random: Random): string {
  let chosen = '';
  do chosen += random.chance(0.6) ? random.pick(HOSTILE) : random.bytes(1 + random.below(4)).toString('latin1');
  while (random.chance(0.6));
  return chosen.replaceAll('\0', '');
}

/** In `status` a line feed and a backslash are escaped, and nothing else. */
function statusOf(name: string): string {
  const escaped = name.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  return `Name:\t${escaped}\nState:\tS (sleeping)\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \nNSpid:\t11\t12\n`;
}

/** In `stat` nothing is. */
function statOf(name: string): string {
  return `7 (${name}) S 41 42 43 34816 42 4194560 1 0 0 0 1 2 0 0 20 0 1 0 987654 1\n`;
}

/** Of `cgroup` nothing is either, and the kernel refuses a line feed. */
function cgroupOf(name: string): string {
  return `9:name=systemd:/docker/${ID}/${name.replaceAll('\n', '')}\n0::/docker/${ID}\n`;
}

/** A user to whom systemd delegated a subtree chooses names below it. */
function delegatedTo(name: string): string {
  return `0::/user.slice/user-7.slice/user@7.service/${name.replaceAll('\n', '')}\n`;
}

/** In `mountinfo` space, tab, line feed and backslash are. */
function mountinfoOf(name: string): string {
  const escaped = name.replaceAll(/[ \t\n\\]/g, (letter) => `\\${letter.charCodeAt(0).toString(8).padStart(3, '0')}`);
  return `36 35 98:0 /${escaped} /${escaped} rw shared:1 - ext4 /dev/${escaped} rw\n`;
}

function lookAt(name: string): void {
  const expected = { uid: 2, gid: 6, groups: [9, 10], pids: [11, 12], mainThreadEnded: false };
  assert.deepEqual(parseStatus(statusOf(name)), expected);
  assert.deepEqual(parseStat(statOf(name)), { parent: 41, session: 43, startTicks: 987_654, hasEnded: false });
  assert.deepEqual(parseCgroupLines(cgroupOf(name)), [
    { hierarchy: 'name=systemd', path: `/docker/${ID}/${name.replaceAll('\n', '')}` },
    { hierarchy: '', path: `/docker/${ID}` },
  ]);
  const unit = unitOf(parseCgroupLines(delegatedTo(name)));
  assert.ok(unit === undefined || unit === 'user@7.service', unit);
  const mount = { device: '98:0', root: `/${name}`, mountPoint: `/${name}`, type: 'ext4', options: ['rw'] };
  assert.deepEqual(parseMountinfo(mountinfoOf(name)), [mount]);
}

const READERS: readonly ((text: string) => unknown)[] = [
  parseStatus,
  parseStat,
  parseCgroup,
  parseMountinfo,
  (text) => parseIdMap(text).ranges.every(({ inside, outside, count }) => [inside, outside, count].every(isId)),
];

function isId(number: number): boolean {
  assert.ok(Number.isInteger(number) && number >= 0 && number < 2 ** 32);
  return true;
}

/** False where a changed text is refused. */
function reads(random: Random, name: string): boolean {
  const texts = [statusOf(name), statOf(name), cgroupOf(name), mountinfoOf(name), '         0       1000          1\n'];
  const bytes = texts.map((text) => Buffer.from(text, 'latin1'));
  const at = random.below(texts.length);
  const text = mutate(random, bytes[at]!, bytes).toString('latin1');
  try {
    READERS[at]!(text);
    return true;
  } catch (error) {
    assert.match(String((error as { code?: unknown }).code), /^ERR_(PROC|ATTESTATION_FAILED)$/, String(error));
    return false;
  }
}

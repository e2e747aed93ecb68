/** The other readers of /proc: id maps, cgroups, stat and mountinfo. */

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseCgroupLines, readCgroup } from '../../../src/attest/proc/cgroup.ts';
import { parseMountinfo, readOwnMounts } from '../../../src/attest/proc/mountinfo.ts';
import { parseStat, readStat } from '../../../src/attest/proc/stat.ts';
import { parseIdMap, readIdMap } from '../../../src/base/proc/id-map.ts';

const refused = { code: 'ERR_PROC' };

test('an id map is ranges of three numbers, and tells whether it leaves ids out', () => {
  const all = '         0          0 4294967295\n';
  assert.deepEqual(parseIdMap(all), {
    text: all,
    ranges: [{ inside: 0, outside: 0, count: 4_294_967_295 }],
    leavesUnmapped: false,
  });
  const split = '         0          0      65536\n     65536      65536 4294901759\n';
  assert.equal(parseIdMap(split).leavesUnmapped, false);
  assert.equal(parseIdMap('         0       1000          1\n').leavesUnmapped, true);
  assert.equal(parseIdMap('         0       1000          1\n         1     100000      65536\n').ranges.length, 2);
  assert.equal(parseIdMap('').leavesUnmapped, true, 'a namespace that has no map yet');
});

test('what is no id map is refused', () => {
  for (const text of ['0 0\n', '0 0 1 1\n', '0 0 -1\n', '0 0 1\r\n', '0 0 1', '0 0 0x1\n', '\n', '0\t0\t1\n']) {
    assert.throws(() => parseIdMap(text), refused, JSON.stringify(text));
  }
});

test('the id maps of the own process can be read', () => {
  for (const file of ['uid_map', 'gid_map'] as const) {
    assert.equal(readIdMap('self', file).text, fs.readFileSync(`/proc/self/${file}`, 'latin1'));
    assert.equal(readIdMap(process.pid, file).text, readIdMap('self', file).text);
  }
});

test('a cgroup path has any letters but a line feed, and a line is a number, a hierarchy and the path', () => {
  const name = fc.string({ unit: fc.integer({ min: 1, max: 255 }).map((byte) => String.fromCharCode(byte)) });
  fc.assert(
    fc.property(name, (chosen) => {
      const path = `/${chosen.replaceAll('\n', '')}`;
      assert.deepEqual(parseCgroupLines(`9:name=systemd:/a\n0::${path}\n`), [
        { hierarchy: 'name=systemd', path: '/a' },
        { hierarchy: '', path },
      ]);
    }),
  );
});

test('what is no cgroup file is refused, and so is one that has a hierarchy twice', () => {
  for (const text of ['0::a\n', '0:/a\n', 'x::/a\n', '::/a\n', '0::/a', '\n', '0::/a\n\n', '0::/a\n1::/b\n', ':\n']) {
    assert.throws(() => parseCgroupLines(text), refused, JSON.stringify(text));
  }
});

test('stat is read from behind the last parenthesis', () => {
  const rest = 'S 41 42 43 34816 42 4194560 1 0 0 0 1 2 0 0 20 0 1 0 987654 1 2 18446744073709551615';
  for (const name of ['node', 'node (1)', ') R 1 2 3', 'a\n) S 0 0 0', '']) {
    const alive = { hasEnded: false, parent: 41, session: 43, startTicks: 987_654 };
    assert.deepEqual(parseStat(`7 (${name}) ${rest}\n`), alive, name);
    assert.deepEqual(parseStat(`7 (${name}) Z${rest.slice(1)}\n`), { ...alive, hasEnded: true }, name);
  }
  for (const text of ['', '7 node S 1 2 3', `7 (node) S x ${rest}`, '7 (node) S 1 2 3', `7 (node) ${rest.slice(1)}`]) {
    assert.throws(() => parseStat(text), refused, text);
  }
});

test('the own stat and cgroups can be read', () => {
  const { parent, startTicks } = readStat(process.pid);
  assert.equal(parent, process.ppid);
  assert.ok(startTicks > 0);
  assert.ok(Array.isArray(readCgroup(process.pid)));
});

test('mountinfo is split at spaces, and what is escaped is put back', () => {
  const line = '36 35 98:0 /a\\040b\\012c /mnt\\134x\\011 rw,noatime shared:1 master:2 - proc so\\043urce rw,hidepid=2';
  assert.deepEqual(parseMountinfo(`${line}\n`), [
    { device: '98:0', root: '/a b\nc', mountPoint: '/mnt\\x\t', type: 'proc', options: ['rw', 'hidepid=2'] },
  ]);
  // A carriage return and bytes beyond ASCII are not escaped.
  const odd = '1 2 0:1 /a\r-\u0085 /b\u00e2\u0080\u00a8 rw - tmpfs tmpfs rw';
  assert.deepEqual(
    parseMountinfo(`${odd}\n`).map(({ root, mountPoint }) => [root, mountPoint]),
    [['/a\r-\u0085', '/b\u00e2\u0080\u00a8']],
  );
});

test('what is no mountinfo is refused', () => {
  for (const text of [
    '\n',
    '1 2 0:1 / / rw\n',
    '1 2 0:1 / / rw - proc\n',
    '1 2 x / / rw - a b c\n',
    '1 2 0:1 / / rw - a b c',
  ]) {
    assert.throws(() => parseMountinfo(text), refused, JSON.stringify(text));
  }
});

test('the own mounts can be read', () => {
  assert.ok(readOwnMounts().some(({ mountPoint, type }) => mountPoint === '/proc' && type === 'proc'));
});

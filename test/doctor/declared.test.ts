/** Entries that a file declares: a remedy names the file and the line, and no command that the next start would undo. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { declaredLines } from '../../src/entries-file/declared-lines.ts';
import type { Entry } from '../../src/registry/types.ts';
import { compareSelectors, splitSelector } from '../../src/spiffe/selector.ts';
import { sidekey } from '../cli/support.ts';
import { makePlace, serve } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

function entry(id: string, name: string, ...selectors: string[]): Entry {
  return {
    id,
    spiffeId: `spiffe://ilinux.io/${name}`,
    selectors: selectors.map((one) => splitSelector(one)!).sort(compareSelectors),
    parentId: '',
  } as unknown as Entry;
}

describe('the line of an entry in its file', () => {
  const look = async (t: TestContext, text: string, ...entries: Entry[]) => {
    const file = path.join(tempDir(t), 'entries');
    writeFileSync(file, text);
    return [...(await declaredLines(file, entries))].map(([id, place]) => {
      assert.equal(place.file, file);
      return [id, place.line];
    });
  };

  it('is found in YAML and JSON, by id, by selectors, or by the SPIFFE ID alone', async (t) => {
    const web = entry('1', 'web', 'unix:uid:1', 'unix:gid:2');
    const yaml = `entries:
- spiffe_id: spiffe://ilinux.io/web
  selectors: [unix:uid:9]
- { spiffe_id: spiffe://ilinux.io/web, selectors: [{ type: unix, value: "gid:2" }, unix:uid:1] }
- id: "7"
  spiffe_id: spiffe://ilinux.io/other
  selectors: [unix:uid:3]
`;
    assert.deepEqual(await look(t, yaml, web, entry('7', 'renamed', 'unix:uid:1'), entry('8', 'other', 'unix:uid:5')), [
      ['1', 4],
      ['7', 5],
      ['8', 5],
    ]);
    const spire = { entry_id: 'x', spiffe_id: { trust_domain: 'ilinux.io', path: '/web' }, selectors: ['unix:uid:7'] };
    assert.deepEqual(await look(t, JSON.stringify({ entries: [spire] }, undefined, 1), web), [['1', 3]]);
    assert.deepEqual(await look(t, `entries: []\n---\n${yaml}`, web), [['1', 6]]);
  });

  it('is not guessed', async (t) => {
    const twice = '{ spiffe_id: spiffe://ilinux.io/web, selectors: [unix:uid:3] }';
    const other = twice.replace('uid:3', 'uid:4');
    for (const text of ['', '[', 'entries: 1', 'entries: [1, ~]', `entries: [${twice}, ${other}]`]) {
      assert.deepEqual(await look(t, text, entry('1', 'web', 'unix:uid:1')), [], text);
    }
    assert.deepEqual([...(await declaredLines('/no/such/file', [entry('1', 'web', 'unix:uid:1')]))], []);
  });
});

describe('doctor, of an entry that a file declares', { timeout: 60_000 }, () => {
  it('names the file and the line; the edit mends it', async (t) => {
    const place = makePlace(t);
    const file = path.join(tempDir(t), 'entries.yaml');
    const [good, line] = [
      '- { spiffe_id: spiffe://ilinux.io/api, selectors: [unix:uid:0] }',
      '- { spiffe_id: spiffe://ilinux.io/web, selectors: [unix:user:rooot, unix:path:/usr/bin/envoy] }',
    ];
    writeFileSync(file, `entries:\n${good}\n${line}\n`);
    const first = await serve(t, { place, flags: ['--entries', file] });
    const doctor = async () => {
      const { stdout } = await sidekey(['doctor', '--admin-socket', place.adminSocket, '--output', 'json']);
      const { findings } = JSON.parse(stdout) as { findings: { rule: string; fix: string; command?: string }[] };
      return findings.find(({ rule }) => rule === 'entry-unproducible');
    };
    const found = (await doctor())!;
    assert.equal(found.command, undefined);
    assert.ok(found.fix.startsWith(`edit the entry in ${file}, line 3: `), found.fix);
    assert.match(
      found.fix,
      /give it the selectors unix:path:\/usr\/bin\/envoy, unix:user:root; then reload it \(kill -HUP \d+\)$/,
    );
    await first.stop();
    writeFileSync(file, readFileSync(file, 'utf8').replace('rooot', 'root'));
    await serve(t, { place, flags: ['--entries', file] });
    assert.equal(await doctor(), undefined);
  });
});

describe('what changes an entry that a file declares', { timeout: 60_000 }, () => {
  it('is never a command: explain, update and delete name the file and the line', async (t) => {
    const place = makePlace(t);
    const file = path.join(tempDir(t), 'entries.yaml');
    const lines = [
      'entries:',
      '- { id: other, spiffe_id: spiffe://ilinux.io/other, selectors: [unix:uid:4000000] }',
      `- { id: over, spiffe_id: spiffe://ilinux.io/over, selectors: [unix:uid:${process.getuid!()}], expires_at: 2026-01-01T00:00:00Z }`,
    ];
    writeFileSync(file, lines.join('\n'));
    await serve(t, { place, flags: ['--entries', file] });
    const ask = async (...args: string[]) => {
      const { stdout, stderr } = await sidekey([...args, '--admin-socket', place.adminSocket]);
      return `${stdout}${stderr}`;
    };
    const explain = (name: string) =>
      ask('explain', '--pid', String(process.pid), '--spiffe-id', `spiffe://ilinux.io/${name}`);
    const other = await explain('other');
    assert.ok(other.includes(`edit the entry in ${file}, line 2: give it all selectors`), other);
    const over = await explain('over');
    assert.ok(
      over.includes(`note: edit the entry in ${file}, line 3: give it a later expires_at, or none; then `),
      over,
    );
    for (const text of [other, over]) assert.doesNotMatch(text, /entry update/);
    const updated = await ask('entry', 'update', 'other', '--hint', 'x');
    assert.ok(updated.includes(`change it in ${file}, line 2`), updated);
    const deleted = await ask('entry', 'delete', 'other');
    assert.ok(deleted.includes(`change it in ${file}, line 2`), deleted);
  });
});

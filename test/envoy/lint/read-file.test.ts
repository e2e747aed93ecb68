/** What the doctor reads, Envoy reads, and the other way round: each text is shown to real Envoys too. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { lintBootstrap } from '../../../src/envoy/lint/lint.ts';
import { readFile } from '../../../src/envoy/lint/read-file.ts';
import { processorTime } from '../../support/processor-time.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { ENVOYS } from '../support.ts';

const NODE = 'node: { id: a, cluster: a }\n';
const CLUSTER = '{ name: b, connect_timeout: 1s, type: STATIC }';

/** `refused`: by both; `read`: by both; `strict`: Envoy reads it, and the doctor says that Envoy may. */
type Verdict = 'read' | 'refused' | 'strict';

const TEXTS: readonly (readonly [what: string, text: string, Verdict])[] = [
  ['plain', NODE, 'read'],
  ['a key twice', `${NODE}${NODE}`, 'read'],
  ['a key twice in JSON', '{"node":{"id":"x","id":"a","cluster":"a"}}', 'read'],
  ['a second document', `${NODE}---\nfoo: bar\n`, 'read'],
  ['a second document that is broken', `${NODE}---\nfoo: [bar\n`, 'read'],
  ['text after the end of the document', `${NODE}...\nfoo\n`, 'read'],
  ['an empty first document', `---\n---\n${NODE}`, 'refused'],
  ['one value for a list', `${NODE}static_resources: { clusters: ${CLUSTER} }\n`, 'read'],
  ['a list in a list', `${NODE}static_resources: { clusters: [[${CLUSTER}]] }\n`, 'read'],
  ['nothing for a list', `${NODE}static_resources: { clusters: ~ }\n`, 'read'],
  ['brackets at the margin', `${NODE}static_resources:\n  clusters: [\n${CLUSTER}\n]\n`, 'read'],
  ['a closing bracket at the margin', `${NODE}admin:\n  access_log: [\n  ]\n`, 'read'],
  ['tabs inside of brackets', 'node: {\n\tid: a,\n\tcluster: a }\n', 'read'],
  ['tabs outside of brackets', 'node:\n\tid: a\n\tcluster: a\n', 'refused'],
  ['a tab after a colon', 'node:\t{ id: a, cluster: a }\n', 'read'],
  ['a comment without a space', 'node: { id: a, cluster: a }#c\n', 'read'],
  ['an unknown tag', 'node: !foo { id: a, cluster: a }\n', 'read'],
  ['a tag with an unknown handle', 'node: { id: !e!x a, cluster: a }\n', 'read'],
  ['an unknown directive', `%FOO bar\n---\n${NODE}`, 'read'],
  ['a byte order mark', `\ufeff${NODE}`, 'read'],
  ['CR LF', NODE.replace('\n', '\r\n'), 'read'],
  ['an anchor twice', 'node: { id: &x a, cluster: &x b, metadata: { m: *x } }\n', 'read'],
  ['a text over two lines at the margin', 'node:\n  id: "a\nb"\n  cluster: a\n', 'strict'],
  ['an alias of nothing', 'node: { id: a, cluster: *x }\n', 'refused'],
  ['an alias before its anchor', 'node: { id: *x, cluster: &x b }\n', 'refused'],
  ['an alias inside of its own value', `${NODE}admin: &x { address: *x }\n`, 'refused'],
  ['a bracket that is not closed', 'node: { id: a, cluster: a\n', 'refused'],
  ['a bracket too many', `${NODE.trim()} }\n`, 'refused'],
  ['a comma that is missing', 'node: { id: a cluster: a }\n', 'refused'],
  ['a quote that is not closed', 'node: { id: "a, cluster: a }\n', 'refused'],
  ['an unknown escape', 'node: { id: "a\\q", cluster: a }\n', 'refused'],
  ['a reserved character', 'node: { id: @a, cluster: a }\n', 'refused'],
  ['two keys in a line', `${NODE}a: b: c\n`, 'refused'],
  ['a dash inside of brackets', 'node: { id: a, cluster: a, metadata: {\n - x } }\n', 'refused'],
  ['two anchors', 'node: &a &b { id: a, cluster: a }\n', 'refused'],
  ['two tags', 'node: !!map !!map { id: a, cluster: a }\n', 'refused'],
  ['a key that is not indented as the others', 'node:\n  id: a\n cluster: a\n', 'refused'],
  ['a list', `[${CLUSTER}]\n`, 'refused'],
  ['nothing', '', 'refused'],
];

describe('a text is read as Envoy reads it', () => {
  for (const [what, text, verdict] of TEXTS) {
    test(what, () => {
      const findings = lintBootstrap(text, 'f').filter(({ rule }) => rule === 'syntax');
      assert.equal(findings.length === 0, verdict === 'read', JSON.stringify(findings));
      if (verdict === 'strict') assert.match(findings[0]!.why, /`envoy --mode validate` says whether Envoy reads it/);
    });
  }

  for (const [name, found] of ENVOYS) {
    test(`and ${name} agrees`, { skip: found.skip }, (t) => {
      assert.ok(found.skip === false);
      const file = path.join(tempDir(t), 'f.yaml');
      for (const [what, text, verdict] of TEXTS) {
        writeFileSync(file, text);
        const { status }: { status: number | null } = spawnSync(found.envoy.path, ['--mode', 'validate', '-c', file], {
          stdio: 'ignore',
        });
        assert.equal(status === 0, verdict !== 'refused', what);
      }
    });
  }

  test('the last of two values counts', () => {
    const { root } = readFile('a: 1\nb: { c: 1, c: 2 }\na: { d: 3 }\n');
    assert.equal(root.get('a', 'd')?.text, '3');
    assert.equal(root.get('b', 'c')?.text, '2');
    assert.deepEqual(
      root.members.map(({ field }) => field),
      ['b', 'a'],
    );
  });

  test('lines keep their numbers and their text where they are indented anew', () => {
    const { root, remarks } = readFile('a:\n  b: {\nc: 1,\n\td: [2,\n3] }\ne: 4\n');
    assert.deepEqual(
      remarks.map(({ rule, line }) => [rule, line]),
      [
        ['yaml-indent', 3],
        ['yaml-indent', 4],
        ['yaml-indent', 5],
      ],
    );
    const d = root.get('a', 'b', 'd')!;
    assert.equal(d.line, 4);
    assert.deepEqual(
      d.each.map(({ text }) => text),
      ['2', '3'],
    );
    assert.equal(root.get('e')?.text, '4');
    assert.deepEqual(root.get('a', 'b', 'c')!.replaced('5'), { line: 3, old: 'c: 1', text: 'c: 5' });
  });

  test('a text that takes long to read is given up', () => {
    const begun = processorTime();
    lintBootstrap(`a:\n  b: {\n${'x: {\n'.repeat(2_000)}`, 'f');
    const doubled = Array.from({ length: 40 }, (_, i) => `b${i + 1}: &b${i + 1} [*b${i}, *b${i}]\n`).join('');
    lintBootstrap(`b0: &b0 []\n${doubled}static_resources: { clusters: *b40 }\n`, 'f');
    assert.ok(processorTime(begun) < 10_000);
  });
});

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: HCL has such references
/**
 * Compares the parser with HashiCorp's own, a Go program. Opt-in:
 *   (cd test/hcl/oracle && go build -o /tmp/hcl-oracle .) && HCL_ORACLE=/tmp/hcl-oracle scripts/node scripts/test.ts test/hcl
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import fc from 'fast-check';
import { HclFault } from '../../src/hcl/fault.ts';
import { parseHcl } from '../../src/hcl/parser.ts';
import { plain } from './plain.ts';

const oracle = process.env.HCL_ORACLE;
const skip = oracle === undefined && 'HCL_ORACLE does not name the Go program of test/hcl/oracle';

const PIECES = [
  ...['a', 'b', '"c"', ' ', '\n', '=', '{', '}', '[', ']', ',', '1', '-2', '0x1F', '017', '08', '1.5', '2e3', 'true'],
  ...[
    '"d"',
    '"\\n\\u00e4\\101"',
    '"${e("f")}"',
    '# g\n',
    '/* h */',
    '// i\n',
    '<<END\nj\n END\nEND\n',
    '<<-END\n k\n END\n',
  ],
  ...[
    'a = 1\n',
    'b "c" { d = [true] }\n',
    'a = [1, "x"]\n',
    'a {\n',
    '}\n',
    '\r\n',
    ':',
    '.',
    '_',
    'a-b.c',
    'é',
    '\\',
    '"',
    '$',
    '<<',
  ],
];
// Without `true` in lists, which that parser leaves out.
const JSON_PIECES = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"a"',
  '"b"',
  '"\\n\\u00e4"',
  '1',
  '-2.5',
  'true',
  'null',
  ' ',
  '{}',
  '[{"c":1}]',
];

/** The number of texts that both parsers take. */
function compare(pieces: readonly string[], start: string): number {
  const texts = fc.sample(
    fc.array(fc.constantFrom(...pieces), { maxLength: 14 }).map((all) => start + all.join('')),
    30_000,
  );
  const { stdout, status, stderr } = spawnSync(oracle!, {
    input: JSON.stringify(texts),
    encoding: 'utf8',
    maxBuffer: 1024 ** 3,
  });
  assert.equal(status, 0, stderr);
  const trees = JSON.parse(stdout) as unknown[];
  let taken = 0;
  for (const [index, text] of texts.entries()) {
    try {
      const tree = plain(parseHcl(text));
      taken += 1;
      assert.deepEqual(tree, trees[index], JSON.stringify(text));
    } catch (error) {
      if (!(error instanceof HclFault)) throw error;
    }
  }
  return taken;
}

test("what the parser takes, HashiCorp's parser takes with the same meaning", { skip }, (t) => {
  const taken = compare(PIECES, '');
  assert.ok(taken > 1_000, `${taken}`);
  t.diagnostic(`${taken} texts are HCL for both`);
});

test("the same for HCL's JSON form", { skip }, (t) => {
  const taken = compare(JSON_PIECES, '{"r":') + compare(JSON_PIECES, '{');
  assert.ok(taken > 100, `${taken}`);
  t.diagnostic(`${taken} texts are JSON for both`);
});

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: HCL has such references
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HclFault } from '../../src/hcl/fault.ts';
import { parseHcl } from '../../src/hcl/parser.ts';
import { processorTime } from '../support/processor-time.ts';
import { plain } from './plain.ts';

/** The tree of a text as plain values: blocks as lists of pairs. */
function read(text: string): unknown {
  return simple(plain(parseHcl(text)) as Plain);
}

type Plain = { items: [string, Plain][] } | { list: Plain[] } | { value: unknown };

function simple(node: Plain): unknown {
  if ('items' in node) return Object.fromEntries(node.items.map(([key, value]) => [key, simple(value)]));
  return 'list' in node ? node.list.map(simple) : node.value;
}

test('every form of HCL is read', () => {
  const cases: [text: string, tree: unknown][] = [
    ['', {}],
    ['\n# one\n// two\n/* three\n */', {}],
    ['a = "b"', { a: 'b' }],
    ['a="b" c=1, d = true\ne = false', { a: 'b', c: 1, d: true, e: false }],
    ['a = 10 b = -1 c = 0x1F d = 017 e = 1.5 f = 2e3 g = 0', { a: 10, b: -1, c: 31, d: 15, e: 1.5, f: 2000, g: 0 }],
    ['a = []', { a: [] }],
    ['a = ["b", 1, true, ["c"], { d = 1 },]', { a: ['b', 1, true, ['c'], { d: 1 }] }],
    ['server { bind_port = "8081" }', { server: { bind_port: '8081' } }],
    ['NodeAttestor "join_token" { plugin_data {} }', { NodeAttestor: { join_token: { plugin_data: {} } } }],
    ['"NodeAttestor" "join_token" {}', { NodeAttestor: { join_token: {} } }],
    ['a = { b = 1 }', { a: { b: 1 } }],
    ['feature.flag-x_1 = 1', { 'feature.flag-x_1': 1 }],
    ['größe = "ä"', { größe: 'ä' }],
    [String.raw`a = "\"\\\n\t\u00e4\U0001F511\x41\101"`, { a: '"\\\n\tä🔑AA' }],
    ['a = "x ${b("c") {}\n} y"', { a: 'x ${b("c") {}\n} y' }],
    ['a = <<END\none\n  two\nEND\nb = 1', { a: 'one\n  two\n', b: 1 }],
    ['a = <<-END\n  one\n    two\n  END\nb = 1', { a: 'one\n  two\n', b: 1 }],
    ['a = <<-END\n one\n  END\n', { a: ' one\n' }],
    ['a {\r\n  b = 1 # c\r\n}\r\n', { a: { b: 1 } }],
    [
      '{"a": {"b": ["c", 1, true, -2.5e1]}, "d": "\\ud83d\\udd11\\/${e"}',
      { a: { b: ['c', 1, true, -25] }, d: '🔑/${e' },
    ],
    ['{"plugins": [{"A": {}}]}', { plugins: { A: {} } }],
  ];
  for (const [text, tree] of cases) assert.deepEqual(read(text), tree, text);
});

test('a fault says its line, the problem and the rule', () => {
  const cases: [text: string, line: number, says: RegExp][] = [
    ['a', 1, /the file ends/],
    ['a = ', 1, /the file ends/],
    ['a {\n b = 1\n', 1, /\{ is not closed/],
    ['a = 1\n}', 2, /"}" is where something else belongs/],
    ['a = [1\n', 2, /the file ends/],
    ['\na = [1 2]', 2, /separated by commas/],
    ['a = [1,,2]', 1, /"," is where/],
    ['a = [,]', 1, /"," is where/],
    ['a = "b\n"', 1, /string is not closed/],
    ['a = "b', 1, /string is not closed/],
    ['a = "${b"', 1, /string is not closed/],
    ['a = "\\q"', 1, /no escape/],
    ['a = "\\xff"', 1, /no escape/],
    ['a = "\\ud800"', 1, /no escape/],
    ['a = "\\U00110000"', 1, /no escape/],
    ['\n\n/* b', 3, /comment is not closed/],
    ['a = <<END\nb\n', 1, /after <<END is not closed/],
    ['a = <<-END\nb\nEND\n', 1, /after <<-END is not closed.*indented/],
    ['a = <<\nb', 1, /begins with << and a name/],
    ['a = 1\nb = 2\nA = 3', 3, /"A" is set in line 1 already/],
    ['a = 1\na {}', 2, /"a" is set in line 1 already/],
    ['a = 08', 1, /08 is no number/],
    ['a = 9007199254740992', 1, /too large/],
    ['a = 1e999', 1, /too large/],
    ['a = 1x', 1, /"1" has no meaning/],
    ['a = 1.', 1, /"1" has no meaning/],
    ['a = b', 1, /"b" is where/],
    ['a b = 1', 1, /"=" is where/],
    ['a : 1', 1, /":" has no meaning/],
    ["a = 'b'", 1, /"'" has no meaning/],
    ['= 1', 1, /"=" is where/],
    ['true = 1', 1, /"true" is where/],
    ['a = 1\n\0', 2, /no text has/],
    [`a = ${'['.repeat(40)}`, 1, /more than 32 deep/],
    [`${'a {'.repeat(100_000)}`, 1, /more than 32 deep/],
    [`${'a '.repeat(40)}{}`, 1, /is where something else/],
    ['{"a": 1,}', 1, /comma is last/],
    ['{"a": 1 "b": 2}', 1, /comma is missing/],
    ['{"a": [1,]}', 1, /no comma after the last/],
    ['{"a" = 1}', 1, /"=" has no meaning/],
    ['{"a": null}', 1, /"null" is where/],
    ['{"a": 01}', 1, /"0" has no meaning/],
    ['{"a": 1} x', 1, /the file ends after/],
    ['{"a": 1,\n"a": 2}', 2, /"a" is set in line 1/],
    ['{a: 1}', 1, /"a" is where/],
    ['{"a": "\\x41"}', 1, /no escape/],
    ['{"a": "\\ud800"}', 1, /no escape/],
  ];
  for (const [text, line, says] of cases)
    assert.throws(
      () => parseHcl(text),
      (error: unknown) => {
        assert.ok(error instanceof HclFault, `${text.slice(0, 50)}: ${error}`);
        assert.match(error.message, says, text.slice(0, 50));
        assert.equal(error.line, line, text.slice(0, 50));
        assert.ok(error.message.length < 300, error.message);
        return true;
      },
      text.slice(0, 50),
    );
});

test('each node has its line, also after comments and texts over several lines', () => {
  const root = parseHcl('/*\n*/ a = <<END\nx\nEND\nb = "${\n}"\nc {\n  d = [\n    1,\n    2,\n  ]\n}\n');
  const lines = root.items.map(({ key, line }) => [key, line]);
  assert.deepEqual(lines, [
    ['a', 2],
    ['b', 5],
    ['c', 7],
  ]);
  const { value } = root.items[2]!;
  assert.ok(value.kind === 'object' && value.line === 7);
  const d = value.items[0]!;
  assert.ok(d.line === 8 && d.value.kind === 'list');
  assert.deepEqual(
    d.value.elements.map(({ line }) => line),
    [9, 10],
  );
});

/** A tree and a text of it. */
const SCALAR: fc.Arbitrary<readonly [string, unknown]> = fc.oneof(
  fc
    .string({ unit: 'grapheme' })
    .filter((text) => !/[\0\ue123]/.test(text))
    .map((text) => [written(text), { value: text }] as const),
  fc.maxSafeInteger().map((value) => [String(value), { value: value + 0 }] as const),
  fc.boolean().map((value) => [String(value), { value }] as const),
);
const { tree: BLOCK } = fc.letrec<{ tree: readonly [string, unknown]; value: readonly [string, unknown] }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    SCALAR,
    fc
      .array(tie('value'), { maxLength: 4 })
      .map((all) => [`[${all.map(([text]) => text).join(',\n')}]`, { list: all.map(([, one]) => one) }] as const),
    tie('tree'),
  ),
  tree: fc
    .uniqueArray(
      fc.tuple(
        fc.stringMatching(/^[a-z_][a-z0-9_.-]{0,8}$/),
        tie('value'),
        fc.constantFrom('', '\n', ' # c\n', '/**/'),
      ),
      {
        maxLength: 5,
        selector: ([key]) => key,
      },
    )
    .map((members) => {
      const texts = members
        .filter(([key]) => !isLiteral(key))
        .map(
          ([key, [text], space]) =>
            `${key}${text.startsWith('{') && space === '' ? ' ' : ' = '}${text}${space === '' ? '\n' : space}\n`,
        );
      const items = members.filter(([key]) => !isLiteral(key)).map(([key, [, one]]) => [key, one]);
      return [`{${texts.join('')}}`, { items }] as const;
    }),
}));

function isLiteral(key: string): boolean {
  return key === 'true' || key === 'false';
}

/** In double quotes; `$` as a code, because `${` would begin a reference. */
function written(text: string): string {
  return `"${[...text].map((char) => (/[\w ]/.test(char) ? char : `\\U${char.codePointAt(0)!.toString(16).padStart(8, '0')}`)).join('')}"`;
}

test('what is written is read', () => {
  fc.assert(
    fc.property(BLOCK, ([text, tree]) => {
      assert.deepEqual(plain(parseHcl(text.slice(1, -1))), tree);
    }),
  );
});

test('any text gives a tree or a fault, quickly', () => {
  const pieces = [
    '{',
    '}',
    '[',
    ']',
    '=',
    ',',
    '"',
    '${',
    '\\',
    '\n',
    '<<A\n',
    'A',
    '/*',
    '*/',
    '#',
    '1',
    '0x',
    '.',
    '-',
    'true',
    ' ',
    ':',
    'é',
  ];
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(fc.constantFrom(...pieces)).map((all) => all.join('')),
        fc.string({ unit: 'grapheme' }),
      ),
      (text) => {
        try {
          parseHcl(text);
        } catch (error) {
          assert.ok(error instanceof HclFault, String(error));
          assert.ok(error.line >= 1 && error.line <= text.split('\n').length);
        }
      },
    ),
    { numRuns: 500 },
  );
  for (const piece of pieces) {
    const begun = processorTime();
    assert.throws(() => parseHcl(`a = [${piece.repeat(200_000)}`), HclFault);
    assert.ok(processorTime(begun) < 10_000, piece);
  }
});

test('a line of many comments and strings is read in linear time', () => {
  const begun = processorTime();
  parseHcl(`${'/**/'.repeat(250_000)} a = [${'"b",'.repeat(250_000)}]`);
  assert.ok(processorTime(begun) < 3_000);
});

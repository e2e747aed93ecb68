import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { describe, test } from 'node:test';
import { printable } from '../../src/base/printable.ts';
import { jsonText } from '../../src/cli/output.ts';
import { ROOT, sidekey } from './support.ts';

function printed(code: string): string {
  const module = JSON.stringify(path.join(ROOT, 'src/cli/output.ts'));
  const script = `import { printFields, printJson, printTable } from ${module}; ${code}`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  return stdout;
}

describe('what is printed for people', () => {
  test('stands in columns without blanks at the end', () => {
    const text = printed(`printTable(['A', 'LONG', 'C'], [['aaa', 'b', 'c'], ['a', 'b', '']]);`);
    assert.equal(text, 'A    LONG  C\naaa  b     c\na    b\n');
    assert.equal(
      printed(`printFields([['a', 'x'], ['long', ['y', 'z']], ['e', ''], ['n', []]]);`),
      'a     x\nlong  y\nlong  z\ne\n',
    );
  });

  test('has no control sequences and no line breaks of a value', () => {
    const text = printed(String.raw`printFields([['hint', 'red \u001b[31m\nnext\u009b\u2028line \u00e9']]);`);
    assert.equal(text.trimEnd(), String.raw`hint  red \u001b[31m\u000anext\u009b\u2028line é`);
  });

  test('has none in JSON either, which stays the same JSON', () => {
    const text = printed(String.raw`printJson({ hint: 'red \u001b[31m\u009b\u007f\u2028 \u00e9' });`);
    assert.equal(text, `{\n  "hint": "red ${String.raw`\u001b[31m\u009b\u007f\u2028 é`}"\n}\n`);
    assert.deepEqual(JSON.parse(text), { hint: 'red \u001b[31m\u009b\u007f\u2028 é' });
  });

  test('shows what turns text around, and what is not to be seen, in tables and in JSON', () => {
    const unseen = ['\u061c', '\u200b', '\u200e', '\u200f', '\u202a', '\u202e', '\u2066', '\u2069', '\ufeff', '\u00ad'];
    const more = ['\ufe0f', '\u3164', '\u{e0041}'];
    for (const character of [...unseen, ...more]) {
      const escaped = [...Array(character.length).keys()]
        .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
        .join('');
      assert.equal(printable(`a${character}b`), `a${escaped}b`);
      assert.equal(jsonText([`a${character}b`]), `["a${escaped}b"]`);
      assert.deepEqual(JSON.parse(jsonText([character])), [character]);
    }
    assert.equal(printable('é ж 漢 😀 e\u0301'), 'é ж 漢 😀 e\u0301');
  });

  test('has none in what is said on stderr', async () => {
    const { stderr } = await sidekey(['entry', 'list', '--admin-socket', '/nonexistent/\u001b[31m']);
    assert.match(stderr, /^sidekey: \/nonexistent\/\\u001b\[31m: this socket does not exist/);
  });
});

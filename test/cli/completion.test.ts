import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { tempDir } from '../support/temp-dir.ts';
import { sidekey } from './support.ts';

/** A script that completes `sidekey …words`; the last word is the one that is typed. */
const ASK: Readonly<Record<string, (file: string, words: readonly string[]) => string>> = {
  bash: (file, words) =>
    `. ${file}; COMP_WORDS=(sidekey ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _sidekey; echo "\${COMPREPLY[@]}"`,
  zsh: (file, words) =>
    `compadd() { shift; print -r -- "$@" }; _files() { print FILES }; words=(sidekey ${words.map((word) => `'${word}'`).join(' ')}); CURRENT=${words.length + 1}; . ${file}`,
  fish: (file, words) => `source ${file}; complete -C 'sidekey ${words.join(' ')}'`,
};

const CASES: readonly (readonly [words: readonly string[], has: readonly string[], hasNot: readonly string[]])[] = [
  [[''], ['entry', 'proxies', 'completion'], ['create']],
  [
    ['entry', ''],
    ['create', 'delete'],
    ['serve', 'bootstrap'],
  ],
  [['entry', 'list', '--'], ['--spiffe-id', '--output'], ['--entry-id']],
  [
    ['entry', 'list', '--output', ''],
    ['table', 'yaml', 'name'],
    ['--output', 'create'],
  ],
  [['completion', ''], ['bash', 'zsh', 'fish'], ['entry']],
  [['serve', '--log-format', ''], ['json', 'text'], []],
];

describe('sidekey completion', () => {
  for (const [shell, ask] of Object.entries(ASK)) {
    const skip = spawnSync(shell, ['-c', 'exit 0']).status === 0 ? false : `no ${shell} here`;
    test(`${shell} completes commands, flags and their values`, { skip }, async (t: TestContext) => {
      const { status, stdout, stderr } = await sidekey(['completion', shell]);
      assert.equal(status, 0, stderr);
      const file = path.join(tempDir(t), 'completion');
      writeFileSync(file, stdout);
      for (const [words, has, hasNot] of CASES) {
        const said = spawnSync(shell, ['-c', ask(file, words)], { encoding: 'utf8' });
        assert.equal(said.stderr, '', `${shell}: ${words.join(' ')}`);
        const offered = said.stdout.split(shell === 'fish' ? /\t.*\n|\n/ : /\s+/);
        for (const word of has) assert.ok(offered.includes(word), `${words.join(' ')} ${word}: ${said.stdout}`);
        for (const word of hasNot) assert.ok(!offered.includes(word), `${words.join(' ')} not ${word}`);
      }
    });
  }

  test('has the three shells and no other', async () => {
    const { status, stderr } = await sidekey(['completion', 'tcsh']);
    assert.equal(status, 2);
    assert.match(stderr, /Allowed choices are bash, zsh, fish/);
  });
});

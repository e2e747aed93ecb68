import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { tempDir } from '../support/temp-dir.ts';
import { ROOT, sidekey } from './support.ts';

/** A script that completes `sidekey …words` for each case, after a line `#`; the last word is the one that is typed. */
const ASK: Readonly<Record<string, (file: string, cases: readonly (readonly string[])[]) => string>> = {
  bash: (file, cases) =>
    `. ${file}\n${cases
      .map((words) => {
        // bash has `=` as a word of its own.
        const split = words.flatMap((word) => (/^-.*=/.test(word) ? word.split(/(=)/) : [word]));
        const typed = split.at(-1) === '' && split.at(-2) === '=' ? split.slice(0, -1) : split;
        return `COMP_WORDS=(sidekey ${typed.map(quote).join(' ')}); COMP_CWORD=${typed.length}; COMPREPLY=(); _sidekey; echo '#'; echo "\${COMPREPLY[@]}"`;
      })
      .join('\n')}`,
  zsh: (file, cases) =>
    `compadd() { shift; print -r -- "$@" }; _files() { print FILES }; compset() { : }\n${cases
      .map((words) => `words=(sidekey ${words.map(quote).join(' ')}); CURRENT=${words.length + 1}; echo '#'; . ${file}`)
      .join('\n')}`,
  fish: (file, cases) =>
    `source ${file}\n${cases.map((words) => `echo '#'; complete -C ${quote(`sidekey ${words.join(' ')}`)}`).join('\n')}`,
};

const quote = (word: string) => `'${word}'`;

const CASES: readonly (readonly [words: readonly string[], has: readonly string[], hasNot: readonly string[]])[] = [
  [
    ['entry', 'list', '--output', ''],
    ['table', 'yaml', 'name'],
    ['--output', 'create'],
  ],
  [
    ['entry', 'list', '-o', ''],
    ['table', 'yaml', 'name'],
    ['--output', 'create'],
  ],
  [['-o', 'json', 'entry', ''], ['create', 'list'], ['serve']],
  [['-o', ''], ['table', 'json'], ['serve']],
  [['completion', ''], ['bash', 'zsh', 'fish'], ['entry']],
  [['log-level', ''], ['debug', 'silent'], ['entry']],
  [['serve', '--log-format', ''], ['json', 'text'], ['debug']],
  [['serve', '--upstream', ''], ['disk', 'vault'], ['FILE']],
  [['serve', '--entries', ''], [], ['FILE', 'DIR', '--config']],
  [['entry', 'create', '--x509-svid-key-type', ''], ['ec-p256', 'rsa-2048'], ['--dns']],
  [['envoy', 'bootstrap', '--upstream', ''], [], ['disk', '--to']],
  [['token', 'create', '--role', ''], ['read', 'entries'], ['--role']],
  [['proxies', '--state', ''], ['held', 'rejected'], ['--uid']],
  [['fetch', 'bundle', ''], [], ['show', 'set']],
  [['entry', 'create', '--hint', 'list', '--'], ['--spiffe-id', '--dns'], ['--limit']],
  [['bundle', 'show', '--format', 'pem', '--'], ['--output'], ['--format pem', 'spiffe']],
];

/** Values behind `=`; fish says them with the flag. */
const EQUALS: readonly (readonly [words: readonly string[], has: RegExp])[] = [
  [['entry', 'list', '--output='], /\b(--output=)?yaml\b/],
  [['serve', '--log-format='], /\b(--log-format=)?text\b/],
];

interface Helped {
  readonly path: readonly string[];
  readonly commands: readonly string[];
  readonly flags: readonly string[];
}

/** What `--help` says of a path of commands, and of those below it. */
async function helped(path: readonly string[] = []): Promise<Helped[]> {
  const { stdout } = await bin([...path, '--help']);
  const section = (name: string) => new RegExp(`^${name}:\\n((?: .*\\n?)+)`, 'm').exec(stdout)?.[1] ?? '';
  const commands = [...section('Commands').matchAll(/^ {2}([a-z][\w-]*)/gm)].map(([, name]) => name!);
  const flags = [...section('Options').matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, flag]) => flag!);
  const own = commands.filter((name) => name !== 'help');
  const below = await Promise.all(own.map((name) => helped([...path, name])));
  return [{ path, commands: own, flags }, ...below.flat()];
}

/** The built program, which starts sooner. */
const bin = (args: readonly string[]) => promisify(execFile)(path.join(ROOT, 'bin/sidekey'), args);

describe('sidekey completion', () => {
  const all = helped();
  for (const [shell, ask] of Object.entries(ASK)) {
    const skip = spawnSync(shell, ['-c', 'exit 0']).status === 0 ? false : `no ${shell} here`;
    test(`${shell} completes all commands and flags, and the values of flags`, { skip }, async (t: TestContext) => {
      const { status, stdout, stderr } = await sidekey(['completion', shell]);
      assert.equal(status, 0, stderr);
      const file = path.join(tempDir(t), 'completion');
      writeFileSync(file, stdout);
      const levels = await all;
      assert.ok(levels.length > 40, `${levels.length} levels`);
      const asked = [
        ...levels.flatMap(({ path }) => [
          [...path, ''],
          [...path, '--'],
        ]),
        ...CASES.map(([words]) => words),
        ...EQUALS.map(([words]) => words),
      ];
      const said = spawnSync(shell, ['-c', ask(file, asked)], { encoding: 'utf8' });
      assert.equal(said.stderr, '', shell);
      const answers = said.stdout.split(/^#\n/m).slice(1);
      assert.equal(answers.length, asked.length);
      const offered = answers.map((text) => text.split(shell === 'fish' ? /\t.*\n|\n/ : /\s+/));
      for (const [at, { path, commands, flags }] of levels.entries()) {
        const [words, dashed] = [offered[2 * at]!, offered[2 * at + 1]!];
        for (const name of commands) assert.ok(words.includes(name), `${path.join(' ')} ${name}: ${words}`);
        const others = levels.filter(({ path }) => path.length === 1).map(({ path }) => path[0]!);
        const strange = words.filter((word) => others.includes(word) && !commands.includes(word));
        // The files of a folder may have such names.
        if (commands.length > 0) assert.deepEqual(strange, [], path.join(' '));
        for (const flag of flags) assert.ok(dashed.includes(flag), `${path.join(' ')} ${flag}: ${dashed}`);
      }
      for (const [at, [words, has, hasNot]] of CASES.entries()) {
        const answer = offered[2 * levels.length + at]!;
        for (const word of has) assert.ok(answer.includes(word), `${words.join(' ')} ${word}: ${answer}`);
        for (const word of hasNot) assert.ok(!answer.includes(word), `${words.join(' ')} not ${word}: ${answer}`);
      }
      for (const [at, [words, has]] of EQUALS.entries()) {
        assert.match(answers[2 * levels.length + CASES.length + at]!, has, words.join(' '));
      }
    });
  }

  test('has the three shells and no other', async () => {
    const { status, stderr } = await sidekey(['completion', 'tcsh']);
    assert.equal(status, 2);
    assert.match(stderr, /Allowed choices are bash, zsh, fish/);
  });
});

/** Command lines in words, and the names of signals. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { shellQuote } from '../../src/base/shell.ts';
import { readSignal } from '../../src/svid-files/signal.ts';
import { splitRecord, splitWords } from '../../src/svid-files/words.ts';

describe('splitWords', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['', []],
    ['  ', []],
    ['nginx -s reload', ['nginx', '-s', 'reload']],
    ['psql -c "SELECT pg_reload_conf()"', ['psql', '-c', 'SELECT pg_reload_conf()']],
    [`sh -c 'a | b "c"'`, ['sh', '-c', 'a | b "c"']],
    [`a\\ b 'c'"d"e ''`, ['a b', 'cde', '']],
    ['"a\\"b\\\\c\\d"', ['a"b\\c\\d']],
    ['a\tb\nc', ['a', 'b', 'c']],
  ];
  for (const [text, words] of cases) it(JSON.stringify(text), () => assert.deepEqual(splitWords(text), words));

  for (const text of ['a | b', 'a && b', 'a; b', 'echo $HOME', 'a > b', 'echo `id`', '(a)', 'ls *']) {
    it(`refuses ${text}`, () => assert.throws(() => splitWords(text), /needs a shell, and none runs it/));
  }
  for (const text of ['a "b', "a 'b", 'a\\']) {
    it(`refuses ${text}`, () => assert.throws(() => splitWords(text), /a quote is not closed/));
  }

  it('gives back what a shell quotes', () => {
    const word = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\0'));
    fc.assert(
      fc.property(fc.array(word), (words) => {
        assert.deepEqual(splitWords(words.map(shellQuote).join(' ')), words);
      }),
    );
  });
});

describe('splitRecord, as spiffe-helper', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['', []],
    ['a b', ['a', 'b']],
    ['a  b ', ['a', '', 'b', '']],
    ['"this is one" two', ['this is one', 'two']],
    ['"one ""quoted"" word"', ['one "quoted" word']],
    ["-c 'echo hello'", ['-c', "'echo", "hello'"]],
  ];
  for (const [text, words] of cases) it(JSON.stringify(text), () => assert.deepEqual(splitRecord(text), words));
  for (const text of ['a"b', '"a"b', '"a']) {
    it(`refuses ${text}`, () => assert.throws(() => splitRecord(text), /a double quote/));
  }
});

describe('readSignal', () => {
  for (const text of ['HUP', 'SIGHUP', 'hup', 'sighup']) it(text, () => assert.equal(readSignal(text), 'SIGHUP'));
  it('names the nearest', () =>
    assert.throws(() => readSignal('SIGHUB'), /"SIGHUB" is not a signal, did you mean SIGHUP\?/));
  for (const text of ['', '1', 'SIG']) it(`refuses ${text}`, () => assert.throws(() => readSignal(text)));
});

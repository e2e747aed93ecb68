import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nearest } from '../../src/base/nearest.ts';

const KNOWN = ['dataDir', 'socket', 'socketMode', 'socketGroup', 'entries', 'caTtl'];

test('a mistyped word finds the known one', () => {
  const cases = {
    data_dir: 'dataDir',
    'DATA-DIR': 'dataDir',
    datadri: 'dataDir',
    dateDir: 'dataDir',
    socketmod: 'socketMode',
    sockt: 'socket',
    entry: 'entries',
    caTl: 'caTtl',
  };
  for (const [word, known] of Object.entries(cases)) assert.equal(nearest(word, KNOWN), known, word);
});

test('a word unlike any known one finds none', () => {
  for (const word of ['', 'x', 'listenAddress', 'quorum']) assert.equal(nearest(word, KNOWN), undefined, word);
  assert.equal(nearest('dataDir', []), undefined);
});

test('a longer word with one typo finds the known one', () => {
  fc.assert(
    fc.property(
      fc.stringMatching(/^[a-z]{4,12}$/),
      fc.nat(),
      fc.constantFrom('insert', 'delete', 'swap'),
      (word, n, slip) => {
        const at = n % (word.length - 1);
        const [head, first, second, tail] = [word.slice(0, at), word[at]!, word[at + 1]!, word.slice(at + 2)];
        const mistyped =
          slip === 'insert'
            ? `${head}q${first}${second}${tail}`
            : slip === 'delete'
              ? head + second + tail
              : head + second + first + tail;
        assert.equal(nearest(mistyped, ['0123456789012', word]), word);
      },
    ),
  );
});

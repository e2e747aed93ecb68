import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SidekeyError } from '../../src/base/errors.ts';
import { encodeName, parseName } from '../../src/ca/name.ts';
import { x509 } from '../support/peculiar.ts';

const problemsOf = (text: string): string[] => {
  try {
    parseName(text, 'caSubject');
  } catch (error) {
    assert.ok(error instanceof SidekeyError && error.code === 'ERR_CONFIG');
    assert.ok(error.problems.every((p) => p.path === 'caSubject' && p.rule.includes('C=US,O=SPIFFE')));
    return error.problems.map((p) => p.problem);
  }
  return [];
};

test('the parts of a subject keep their order', () => {
  assert.deepEqual(parseName('C=CN, ST = Beijing ,O=SPIFFE', 'caSubject'), [
    { type: 'C', value: 'CN' },
    { type: 'ST', value: 'Beijing' },
    { type: 'O', value: 'SPIFFE' },
  ]);
});

test('a backslash makes a comma part of the value', () => {
  assert.deepEqual(parseName('O=Acme\\, Inc.\\\\,CN=a\\+b', 'caSubject'), [
    { type: 'O', value: 'Acme, Inc.\\' },
    { type: 'CN', value: 'a+b' },
  ]);
});

test('every problem of a subject is reported', () => {
  assert.deepEqual(problemsOf('C=China,X=1,O=,,O=SPIFFE'), [
    '"C=China" is not a country of two capital letters',
    '"X=1" does not begin with a known type and =',
    '"O=" has no value',
    'a part is empty',
  ]);
  assert.deepEqual(problemsOf(''), ['a part is empty']);
  assert.deepEqual(problemsOf('SPIFFE'), ['"SPIFFE" does not begin with a known type and =']);
  assert.deepEqual(problemsOf('serialNumber=1'), ['"serialNumber=1" does not begin with a known type and =']);
  assert.deepEqual(problemsOf('O=a\u0000'), ['"O=a\\u0000" has a character that cannot be shown']);
  assert.deepEqual(problemsOf(`O=${'ä'.repeat(65)}`), ['O has 65 characters; the limit is 64']);
  assert.match(problemsOf('O=a+CN=b')[0]!, /without a backslash/);
  assert.match(problemsOf('O=a\\')[0]!, /final backslash/);
});

test('any value survives being written, parsed and encoded', () => {
  const value = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
    .filter((text) => text === text.trim() && text !== '' && [...text].length <= 64 && !/\p{Cc}/u.test(text));
  fc.assert(
    fc.property(value, value, (organization, unit) => {
      const escaped = (text: string) => text.replace(/[,+"<>;\\]/g, '\\$&');
      const parts = parseName(`O=${escaped(organization)},OU=${escaped(unit)}`, 'caSubject');
      assert.deepEqual(parts, [
        { type: 'O', value: organization },
        { type: 'OU', value: unit },
      ]);
      const read = new x509.Name(encodeName(parts));
      assert.deepEqual([read.getField('O'), read.getField('OU')], [[organization], [unit]]);
    }),
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseUnique } from '../../src/base/unique-json.ts';

test('all JSON is read as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.json(), fc.constantFrom(undefined, 1, '\t'), (json, indent) => {
      const text = JSON.stringify(JSON.parse(json), null, indent);
      assert.deepEqual(parseUnique(text), JSON.parse(text));
    }),
  );
});

test('a name twice in one object is refused, however it is written and however deep', () => {
  for (const text of [
    '{"a": 1, "a": 2}',
    '{"a": 1, "\\u0061" : 2}',
    '{"": 1, "": 1}',
    '[{"b": [{"a": {}, "c": "\\"a\\":", "a": {}}]}]',
    '{"__proto__": 1, "__proto__": 2}',
  ]) {
    assert.throws(() => parseUnique(text), /a name twice/, text);
  }
});

test('a name may stand in two objects, and in values', () => {
  for (const text of [
    '[{"a":1},{"a":2}]',
    '{"a":{"a":"a"}}',
    '{"a":"\\"b\\": ","b":"\\\\"}',
    '{"__proto__":{"a":1}}',
  ]) {
    assert.deepEqual(parseUnique(text), JSON.parse(text), text);
  }
});

test('what is no JSON is refused, and depth is no danger', () => {
  assert.throws(() => parseUnique('a: 1'), SyntaxError);
  assert.throws(() => parseUnique(''), SyntaxError);
  assert.notEqual(parseUnique('['.repeat(50_000) + ']'.repeat(50_000)), undefined);
});

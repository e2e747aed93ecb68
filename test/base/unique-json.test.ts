import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readJson } from '../../src/base/unique-json.ts';

test('all JSON is read as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.json(), fc.constantFrom(undefined, 1, '\t'), (json, indent) => {
      const text = JSON.stringify(JSON.parse(json), null, indent);
      assert.deepEqual(readJson(text), JSON.parse(text));
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
    assert.equal(readJson(text), undefined, text);
  }
});

test('a name may stand in two objects, and in values', () => {
  for (const text of [
    '[{"a":1},{"a":2}]',
    '{"a":{"a":"a"}}',
    '{"a":"\\"b\\": ","b":"\\\\"}',
    '{"__proto__":{"a":1}}',
  ]) {
    assert.deepEqual(readJson(text), JSON.parse(text), text);
  }
});

test('what is no JSON is nothing, and depth is no danger', () => {
  assert.equal(readJson('a: 1'), undefined);
  assert.equal(readJson(''), undefined);
  assert.notEqual(readJson('['.repeat(50_000) + ']'.repeat(50_000)), undefined);
});

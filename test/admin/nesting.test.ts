import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isNestedBeyond } from '../../src/admin/nesting.ts';

function depthOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

test('the depth of any JSON is found without parsing it', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 6 }), (text) => {
      const depth = depthOf(JSON.parse(text));
      const bytes = Buffer.from(text);
      assert.equal(isNestedBeyond(bytes, depth), false);
      if (depth > 0) assert.equal(isNestedBeyond(bytes, depth - 1), true);
    }),
  );
});

test('brackets in texts do not count', () => {
  for (const text of ['"[[[["', '["\\"[[[", "{{{"]', '["\\\\", "[["]']) {
    assert.equal(isNestedBeyond(Buffer.from(text), 1), false, text);
  }
});

test('text that is no JSON ends', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      isNestedBeyond(bytes, 3);
    }),
  );
});

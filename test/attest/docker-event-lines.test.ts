import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EventLines, MAX_LINE_CHARACTERS } from '../../src/attest/docker/event-lines.ts';

test('however the text is cut into pieces, the same lines come of it, and no more than a line is kept', () => {
  const line = fc.oneof(
    { weight: 5, arbitrary: fc.string({ maxLength: 40 }).map((text) => text.replaceAll('\n', ' ')) },
    fc.integer({ min: MAX_LINE_CHARACTERS - 2, max: MAX_LINE_CHARACTERS + 2 }).map((length) => 'x'.repeat(length)),
  );
  const pieces = fc.array(fc.integer({ min: 1, max: 70_000 }), { maxLength: 20 });
  fc.assert(
    fc.property(fc.array(line, { maxLength: 6 }), pieces, (lines, sizes) => {
      const text = lines.map((one) => `${one}\n`).join('');
      const parts: string[] = [];
      let at = 0;
      for (const size of sizes) {
        parts.push(text.slice(at, at + size));
        at += size;
      }
      parts.push(text.slice(at));
      const cut = new EventLines();
      const found = parts.flatMap((part) => [...cut.push(part)]);
      const expected = lines
        .filter((one) => one.trim() !== '')
        .map((one) => (one.length <= MAX_LINE_CHARACTERS ? one : { beginning: one.slice(0, 256) }));
      assert.deepEqual(found, expected);
    }),
  );
});

test('a line that never ends is told of once, while it comes', () => {
  const lines = new EventLines();
  const piece = 'x'.repeat(60_000);
  const found = Array.from({ length: 100 }, () => [...lines.push(piece)]).flat();
  assert.deepEqual(found, [{ beginning: 'x'.repeat(256) }]);
  assert.deepEqual([...lines.push('\n{"Type":"container"}\n')], ['{"Type":"container"}']);
});

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { ERRORS } from '../../src/base/errors.ts';

const text = readFileSync(path.resolve(import.meta.dirname, '../../docs/errors.md'), 'utf8');
const sections = new Map(
  text
    .split(/^### /m)
    .slice(1)
    .map((section) => {
      const [code, ...lines] = section.split('\n');
      return [code!, lines.join('\n').split(/^## /m)[0]!.trim()] as const;
    }),
);

describe('docs/errors.md', () => {
  test('has a section for every code, once, and for no other code', () => {
    assert.deepEqual([...sections.keys()].sort(), Object.keys(ERRORS).sort());
    assert.equal(text.match(/^### /gm)!.length, sections.size);
  });

  /** The admin API's own errors; others reach a client of the API only as ERR_INTERNAL. */
  const withStatus = text.slice(0, text.indexOf('\n## Starting and running'));
  for (const [code, { status }] of Object.entries(ERRORS)) {
    test(`says of ${code} what it means and what to do`, () => {
      const section = sections.get(code)!;
      assert.ok(section.length > 80, 'a sentence or two');
      if (withStatus.includes(`### ${code}\n`)) assert.match(section, new RegExp(`^${status}\\. `));
    });
  }
});

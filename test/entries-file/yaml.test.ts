/** YAML that is hostile or long: bombs, duplicate keys, depth, and the thread that parses it. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EntriesSource } from '../../src/entries-file/entries-source.ts';
import { parseYaml } from '../../src/entries-file/yaml.ts';
import { parseYamlApart } from '../../src/entries-file/yaml-apart.ts';

const BOMB = `a: &a [x, x, x, x, x, x, x, x, x]
b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]
entries: [*d, *d, *d, *d, *d, *d, *d, *d, *d]
`;

const HOSTILE: readonly (readonly [what: string, text: string, says: RegExp])[] = [
  ['an anchor that is used a million times', BOMB, /Excessive alias count/],
  ['a key twice', 'entries:\n- hint: a\n  hint: b\n', /the key "hint" occurs twice/],
  ['a key twice by an anchor', 'a: &a {x: 1}\nentries:\n- {<<: *a, <<: *a}\n', /occurs twice/],
  ['an anchor in itself', 'entries: &a [*a]\n', /./],
  ['an unknown anchor', 'entries: [*b]\n', /Unresolved alias|unresolved/i],
  ['an unknown tag', 'entries: !!js/function "x"\n', /tag/i],
  ['two thousand levels of lists', '['.repeat(200_000), /nested too deeply|./],
];

describe('hostile YAML', () => {
  for (const [what, text, says] of HOSTILE) {
    it(`is refused with its line: ${what}`, { timeout: 60_000 }, async () => {
      await assert.rejects(EntriesSource.read([{ name: 'f.yaml', text }]), (error: Error) => {
        assert.match(error.message, /^f\.yaml:\d+/);
        assert.match(error.message, says);
        return true;
      });
      await assert.rejects(
        EntriesSource.read([{ name: 'f.yaml', text: `${text}${'#\n'.repeat(50_000)}` }], true),
        says,
      );
    });
  }
});

describe('a thread for long YAML', () => {
  it('gives the same values and lines', async () => {
    const text = `a: &a {b: [1, {c: 2}]}\ne:\n- *a\n- x\n---\n- 1\n---\n# nothing\n`;
    const [here, apart] = [parseYaml(text), await parseYamlApart(text)];
    assert.deepEqual(
      apart.map(({ value, lines }) => [value, lines()]),
      here.map(({ value, lines }) => [value, lines()]),
    );
  });

  it('leaves the event loop free while it parses two million characters', { timeout: 120_000 }, async () => {
    const text = `entries:\n${'{'.repeat(2_000_000)}`;
    let longest = 0;
    let last = performance.now();
    const watch = setInterval(() => {
      longest = Math.max(longest, performance.now() - last);
      last = performance.now();
    }, 5);
    const begun = performance.now();
    await assert.rejects(EntriesSource.read([{ name: 'f.yaml', text }], true), /f\.yaml:\d/);
    const took = performance.now() - begun;
    clearInterval(watch);
    assert.ok(longest < Math.max(200, took / 2), `held for ${longest} ms of ${took} ms`);
  });
});

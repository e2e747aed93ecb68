import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { ATTESTORS } from '../../src/attest/catalog.ts';
import { PLACEHOLDER_FORMS } from '../../src/attest/placeholders.ts';
import { ROOT } from '../support/serve.ts';

const documents = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'envoy-examples/README.md',
  ...globSync('docs/{,decisions/}*.md', { cwd: ROOT }),
];

describe('the documents', () => {
  it('link to files that are there', () => {
    for (const file of documents) {
      const text = readFileSync(path.join(ROOT, file), 'utf8');
      for (const [, target] of text.matchAll(/\]\((?!https?:)([^)#]+)/g)) {
        assert.ok(existsSync(path.join(ROOT, path.dirname(file), target!)), `${file}: ${target}`);
      }
    }
  });

  it('name sources and tests that are there', () => {
    for (const file of documents) {
      const text = readFileSync(path.join(ROOT, file), 'utf8');
      for (const [, target] of text.matchAll(/`((?:src|test|scripts|bench|envoy-examples)\/[\w./-]+\.\w+)`/g)) {
        assert.ok(existsSync(path.join(ROOT, target!)), `${file}: ${target}`);
      }
      // In the architecture's walk, files are named from src on.
      for (const [, target] of text.matchAll(
        /`((?:base|ca|attest|wire|identity|sds|admin|registry|cli)\/[\w-]+\.ts)`/g,
      )) {
        assert.ok(existsSync(path.join(ROOT, 'src', target!)), `${file}: ${target}`);
      }
    }
  });

  it('have every kind of selector in the tables of selectors, and no other', () => {
    const text = readFileSync(path.join(ROOT, 'docs/operations.md'), 'utf8');
    const entries = text.slice(text.indexOf('\n## Entries\n'), text.indexOf('\n## Containers\n'));
    const rows = entries.split('\n').filter((line) => line.startsWith('| `'));
    const named = rows.flatMap((row) => [...row.split(' | ')[0]!.matchAll(/`(\w+:\w+):/g)].map(([, kind]) => kind!));
    const kinds = ATTESTORS.flatMap(({ type, kinds }) => Object.keys(kinds).map((kind) => `${type}:${kind}`));
    assert.deepEqual(named.toSorted(), kinds.toSorted());
  });

  it('have every placeholder of templates, with who chooses its value, and no other', () => {
    const text = readFileSync(path.join(ROOT, 'docs/templates.md'), 'utf8');
    const section = text.slice(text.indexOf('\n## Placeholders\n'), text.indexOf('\n## Rules\n'));
    const rows = section.split('\n').filter((line) => line.startsWith('| `'));
    assert.deepEqual(
      rows,
      PLACEHOLDER_FORMS.map(({ form, chosenBy }) => `| \`{${form}}\` | ${chosenBy} |`),
    );
  });

  it('name a test for each MUST of the standard of SVIDs', () => {
    const text = readFileSync(path.join(ROOT, 'docs/ca.md'), 'utf8');
    const profile = text.slice(text.indexOf('\n## Profile\n'), text.indexOf('\n## If the clock is wrong\n'));
    const rows = profile.split('\n').filter((line) => /^\| \d/.test(line));
    assert.ok(rows.length >= 13);
    for (const row of rows) {
      const [, file, name] = /\| `(test\/[^`]+)`: ([^|]+) \|$/.exec(row) ?? assert.fail(row);
      const tests = readFileSync(path.join(ROOT, file!), 'utf8');
      const quoted = [`'${name}'`, `"${name}"`].some(
        (text) => tests.includes(`(${text}`) || tests.includes(`\n    ${text}`),
      );
      assert.ok(quoted, `${file} has no test: ${name}`);
    }
  });

  it('are linked from the README', () => {
    const readme = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
    for (const file of globSync('docs/*.md', { cwd: ROOT })) assert.ok(readme.includes(`(${file})`), file);
    for (const file of ['CONTRIBUTING.md', 'docs/decisions/README.md']) assert.ok(readme.includes(`(${file})`), file);
  });

  it('list every decision', () => {
    const list = readFileSync(path.join(ROOT, 'docs/decisions/README.md'), 'utf8');
    for (const file of globSync('docs/decisions/*.md', { cwd: ROOT, exclude: ['docs/decisions/README.md'] })) {
      assert.ok(list.includes(`(${path.basename(file)})`), file);
    }
  });
});

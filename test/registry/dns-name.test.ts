import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dnsNameProblem } from '../../src/registry/dns-name.ts';

test('names of letters, digits and hyphens are good, with at most one leading wildcard label', () => {
  const good = [
    'a',
    'localhost',
    'example.org',
    'a-b.example.org',
    '1.example.org',
    'a--b.org',
    '*.example.org',
    '*.org',
    'a'.repeat(63),
    `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`,
  ];
  for (const name of good) assert.equal(dnsNameProblem(name), undefined, name);
});

test('everything else is told what is wrong with it', () => {
  const rows: readonly (readonly [name: string, problem: RegExp])[] = [
    ['', /empty/],
    ['.', /ends with a dot/],
    ['example.org.', /ends with a dot/],
    ['.example.org', /empty label/],
    ['a..b', /empty label/],
    ['*', /\*/],
    ['*.', /dot/],
    ['*.*.org', /\*/],
    ['a.*.org', /\*/],
    ['a*.org', /\*/],
    ['*a.org', /\*/],
    ['**.org', /\*/],
    ['-a.org', /begins or ends/],
    ['a-.org', /begins or ends/],
    ['-', /begins or ends/],
    ['ab--c.org', /places 3 and 4/],
    ['xn--bcher-kva.example', /places 3 and 4/],
    ['a_b.org', /not allowed/],
    ['Example.org', /not allowed/],
    ['a b.org', /not allowed/],
    ['a.org\n', /not allowed/],
    ['bücher.example', /not allowed/],
    ['a/b', /not allowed/],
    ['a:443', /not allowed/],
    [`${'a'.repeat(64)}.org`, /64 characters/],
    [`${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(62)}`, /254 characters/],
  ];
  for (const [name, problem] of rows) assert.match(dnsNameProblem(name) ?? '', problem, JSON.stringify(name));
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseSpiffeId, pathOf, SpiffeIdError } from '../../src/spiffe/id.ts';
import { couldRender, isLikeTemplate, isTemplate, parseTemplate, renderTemplate } from '../../src/spiffe/template.ts';

const COMPOSE = 'spiffe://ilinux.io/{docker.compose_project}/{docker.compose_service}';

test('a template has its segments, and each placeholder once', () => {
  const { trustDomain, segments, placeholders } = parseTemplate(
    'spiffe://ilinux.io/a/{unix.user}/{unix.uid}/{unix.user}',
  );
  assert.equal(trustDomain, 'ilinux.io');
  assert.deepEqual(segments, [
    'a',
    { placeholder: 'unix.user' },
    { placeholder: 'unix.uid' },
    { placeholder: 'unix.user' },
  ]);
  assert.deepEqual(placeholders, ['unix.user', 'unix.uid']);
});

/** Texts that are no templates, and what is wrong with each. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  'spiffe://ilinux.io/web-{unix.user}':
    /the segment "web-\{unix\.user\}" has a brace inside; a placeholder .* whole path/,
  'spiffe://ilinux.io/{unix.user}{unix.uid}': /has a brace inside/,
  'spiffe://ilinux.io/{unix.user': /has a brace inside/,
  'spiffe://ilinux.io/unix.user}': /has a brace inside/,
  'spiffe://ilinux.io/{{unix.user}}': /has a brace inside/,
  'spiffe://ilinux.io/{}': /the placeholder \{\} without a name/,
  'spiffe://ilinux.io/{unix/user}': /has a brace inside/,
  'spiffe://{unix.user}/web': /its trust domain has a brace/,
  'spiffe://{unix.user}': /its trust domain has a brace/,
  'spiffe://Ilinux.io/{unix.user}': /the trust domain has the character "I"/,
  'https://ilinux.io/{unix.user}': /the scheme is missing or not spiffe/,
  'spiffe://ilinux.io/{unix.user}/': /the segment "": it is empty/,
  'spiffe://ilinux.io//{unix.user}': /the segment "": it is empty/,
  'spiffe://ilinux.io/../{unix.user}': /the segment "\.\.": it is "\.\."/,
  'spiffe://ilinux.io/a b/{unix.user}': /the segment "a b": it has the character U\+0020/,
  'spiffe://ilinux.io/web': /it has no placeholder/,
  [`spiffe://ilinux.io/{unix.user}/${'a'.repeat(2048)}`]: /at most 2048 bytes/,
};

test('a text that is no template says what is wrong', () => {
  for (const [text, problem] of Object.entries(REFUSED)) {
    assert.throws(
      () => parseTemplate(text),
      (thrown) => thrown instanceof SpiffeIdError && problem.test(thrown.message),
      text,
    );
  }
});

/** Values of {docker.compose_service}, and what becomes of each: the segment, or why there is none. */
const VALUES: Readonly<Record<string, string | RegExp>> = {
  web: 'web',
  'web-1_a.b': 'web-1_a.b',
  WEB: 'WEB',
  '...': '...',
  '.hidden': '.hidden',
  ['a'.repeat(255)]: 'a'.repeat(255),
  ['a'.repeat(256)]: /has 256 characters; a value has at most 255/,
  '': /is no path segment: it is empty/,
  '.': /is no path segment: it is "\."/,
  '..': /is no path segment: it is "\.\."/,
  'a/b': /it has the character "\/"/,
  '/': /it has the character "\/"/,
  '%2e%2e': /it has the character "%"/,
  'a b': /it has the character U\+0020/,
  'a\0b': /it has the character U\+0000/,
  'a\nb': /it has the character U\+000A/,
  wéb: /it has the character U\+00E9/,
  '{unix.user}': /it has the character "\{"/,
  'a:b': /it has the character ":"/,
  'a@b': /it has the character "@"/,
  'a?b#c': /it has the character "\?"/,
};

test('a value fills one whole segment, or the template is not rendered', () => {
  const template = parseTemplate('spiffe://ilinux.io/shop/{docker.compose_service}');
  for (const [value, expected] of Object.entries(VALUES)) {
    const render = () => renderTemplate(template, () => value);
    if (typeof expected === 'string') assert.equal(render(), `spiffe://ilinux.io/shop/${expected}`);
    else assert.throws(render, expected, JSON.stringify(value));
  }
});

test('the whole SPIFFE ID has a limit too', () => {
  const template = parseTemplate(`spiffe://ilinux.io/${'{unix.user}/'.repeat(9)}a`);
  assert.throws(() => renderTemplate(template, () => 'u'.repeat(255)), /would have 2324 bytes; it has at most 2048/);
});

const anything = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.string({ unit: fc.constantFrom('a', 'A', '.', '/', '-', '_', '{', '}', '%', ' '), maxLength: 6 }),
);

/** True for a text that is one segment of a SPIFFE ID, by the parser of whole ones. */
function isSegment(text: string): boolean {
  try {
    return !text.includes('/') && parseSpiffeId(`spiffe://ilinux.io/${text}`) !== '';
  } catch {
    return false;
  }
}

test('whatever the values are, what is rendered is a SPIFFE ID with exactly these segments', () => {
  const template = parseTemplate(COMPOSE);
  fc.assert(
    fc.property(anything, anything, (project, service) => {
      const render = () => renderTemplate(template, (name) => (name === 'docker.compose_project' ? project : service));
      if (![project, service].every(isSegment)) {
        assert.throws(render, SpiffeIdError);
        return;
      }
      const id = parseSpiffeId(render());
      assert.deepEqual(pathOf(id).split('/'), ['', project, service]);
      assert.ok(couldRender(template, id));
    }),
    { numRuns: 2_000 },
  );
});

test('different values never make the same SPIFFE ID', () => {
  const template = parseTemplate(COMPOSE);
  const segment = fc.stringMatching(/^[A-Za-z0-9._-]{1,8}$/).filter((text) => text !== '.' && text !== '..');
  const pair = fc.tuple(segment, segment);
  fc.assert(
    fc.property(pair, pair, (a, b) => {
      const [one, other] = [a, b].map(([project, service]) =>
        renderTemplate(template, (name) => (name === 'docker.compose_project' ? project : service)),
      );
      assert.equal(one === other, a[0] === b[0] && a[1] === b[1]);
    }),
  );
});

test('a template could render an ID of its shape, and no other', () => {
  const template = parseTemplate('spiffe://ilinux.io/users/{unix.user}');
  const could = (id: string) => couldRender(template, parseSpiffeId(id));
  assert.equal(could('spiffe://ilinux.io/users/alice'), true);
  for (const id of ['users', 'users/alice/x', 'Users/alice', `users/${'a'.repeat(256)}`]) {
    assert.equal(could(`spiffe://ilinux.io/${id}`), false, id);
  }
  assert.equal(could('spiffe://example.org/users/alice'), false);
});

test('no SPIFFE ID is taken for a template, and no template for a SPIFFE ID', () => {
  assert.equal(isTemplate(parseTemplate(COMPOSE).text), true);
  assert.equal(isTemplate(parseSpiffeId('spiffe://ilinux.io/web')), false);
  for (const text of ['spiffe://ilinux.io/{', 'spiffe://ilinux.io/}']) {
    assert.equal(isLikeTemplate(text), true);
    assert.throws(() => parseSpiffeId(text), SpiffeIdError);
  }
  assert.throws(() => parseSpiffeId(COMPOSE), SpiffeIdError);
});

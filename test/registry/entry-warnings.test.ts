import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseEntryInput } from '../../src/registry/entry-input.ts';
import { createWarningsOf, declaredWarning } from '../../src/registry/entry-warnings.ts';
import { TRUST_DOMAIN } from './support.ts';

const NOW = Date.UTC(2030, 0, 1);

const warningsOf = createWarningsOf({
  whyNoPlaceholder: () => undefined,
  whyNever: ({ type, value }) =>
    type === 'docker' ? 'no docker attestor runs here' : value === 'uid:666' ? 'why' : undefined,
  longestSvidTtl: 43_200,
  longestJwtTtl: 28_800,
  federatedBundles: { get: (domain) => (domain === 'known.example' ? ({} as never) : undefined) },
  isLocal: ({ parentId }) => parentId === '',
  now: () => NOW,
});

const ELSEWHERE = { parent_id: `spiffe://${TRUST_DOMAIN}/host/b` };

function read(more: Record<string, unknown>) {
  const json = { spiffe_id: `spiffe://${TRUST_DOMAIN}/a`, selectors: ['unix:uid:1'], ...more };
  return parseEntryInput(json, { trustDomain: TRUST_DOMAIN, allowWeakSelectors: false });
}

const warnedOf = (more: Record<string, unknown>) =>
  warningsOf([read(more)]).map(({ warning: { path, problem, rule } }) => `${path}: ${problem}; ${rule}`);

test('an entry that does what it says has no warning', () => {
  assert.deepEqual(warnedOf({}), []);
  const whole = { x509_svid_ttl: '12h', federates_with: ['known.example'], expires_at: '2030-01-01T00:00:01Z' };
  assert.deepEqual(warnedOf(whole), []);
  assert.deepEqual(warnedOf({ x509_svid_ttl: 10 }), []);
});

test('an entry that nobody can have, or whose terms cannot be kept, has a warning for each reason', () => {
  const rows: readonly (readonly [more: Record<string, unknown>, says: RegExp])[] = [
    [
      { selectors: ['docker:label:a:b'] },
      /^\/selectors: no caller has docker:label:a:b: no docker attestor runs here; /,
    ],
    [{ selectors: ['docker:env:A=secret'] }, /^\/selectors: no caller has docker:env:A=\[redacted\]: /],
    [{ selectors: ['unix:uid:666', 'unix:gid:1'] }, /^\/selectors: no caller has unix:uid:666: why; /],
    [{ x509_svid_ttl: '48h' }, /^\/x509_svid_ttl: 2d is more than can always be honoured; .*up to 12h/],
    [{ x509_svid_ttl: 3 }, /^\/x509_svid_ttl: 3s is very short; /],
    [
      { jwt_svid_ttl: 28_801 },
      /^\/jwt_svid_ttl: 8h1s is more than can always be honoured; JWT-SVIDs end with the key .* up to 8h, a third of --jwt-key-ttl/,
    ],
    [{ jwt_svid_ttl: 5 }, /^\/jwt_svid_ttl: 5s is very short; /],
    [
      { federates_with: ['other.example'] },
      /^\/federates_with: no bundle of other\.example is set; .*bundle set other\.example/,
    ],
    [{ expires_at: '2030-01-01T00:00:00Z' }, /^\/expires_at: it is 2030-01-01T00:00:00\.000Z, which is in the past; /],
  ];
  for (const [more, says] of rows) {
    const [first, ...rest] = warnedOf(more);
    assert.match(first!, says);
    assert.deepEqual(rest, []);
  }
});

test('of an entry for another host it is not known which selectors its callers have; the rest is said', () => {
  assert.deepEqual(warnedOf({ ...ELSEWHERE, selectors: ['docker:label:a:b'] }), []);
  assert.match(warnedOf({ ...ELSEWHERE, x509_svid_ttl: 3 })[0]!, /very short/);
});

test('the warnings of one write are limited, and name the position of their entry', () => {
  const bad = read({ selectors: ['docker:label:a:b'] });
  const warnings = warningsOf(Array.from({ length: 5_000 }, () => bad));
  assert.equal(warnings.length, 101);
  assert.equal(warnings[99]!.index, 99);
  assert.match(warnings[100]!.warning.problem, /more than 100 warnings/);
});

test('a change of an entry that something else declares is undone, and says so', () => {
  assert.equal(declaredWarning({ id: 'a', source: 'api' }), undefined);
  assert.match(
    declaredWarning({ id: 'a', source: 'file' })!.problem,
    /entry a is declared by .*--entries.*undo the change/,
  );
  assert.match(declaredWarning({ id: 'a', source: 'ci' })!.problem, /entry a is declared by the source ci/);
});

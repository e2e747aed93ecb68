import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeMatchers, fits, matchersIn } from '../../src/doctor/envoy-names.ts';

const ID = 'spiffe://ilinux.io/web';

test('the names that an Envoy accepts are found in clusters and listeners, however deep', () => {
  const context = (matchers: unknown) => ({
    transport_socket: { typed_config: { common_tls_context: { combined_validation_context: matchers } } },
  });
  const exact = {
    default_validation_context: { match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: ID } }] },
  };
  assert.deepEqual(matchersIn(context(exact)), [{ form: 'exact', value: ID }]);
  const old = {
    validation_context: { match_subject_alt_names: [{ prefix: 'spiffe://a/' }, { safe_regex: { regex: '.*' } }] },
  };
  assert.deepEqual(matchersIn({ filter_chains: [context(exact), context(old)] }), [
    { form: 'exact', value: ID },
    { form: 'prefix', value: 'spiffe://a/' },
    { form: 'regex', value: '.*' },
  ]);
});

test('a configuration of another form has no names, and an endless one has few', () => {
  for (const config of [undefined, null, 1, 'text', [], { match_typed_subject_alt_names: {} }]) {
    assert.deepEqual(matchersIn(config), []);
  }
  const hostile = { match_typed_subject_alt_names: [null, 1, {}, { matcher: null }, { matcher: { exact: 1 } }] };
  assert.deepEqual(matchersIn(hostile), []);
  const many = Array.from({ length: 1_000 }, (_, n) => ({ matcher: { exact: `n${n}` } }));
  assert.equal(matchersIn([{ match_typed_subject_alt_names: many }]).length, 100);
  let deep: object = { match_typed_subject_alt_names: many };
  for (let depth = 0; depth < 1_000; depth += 1) deep = { deep };
  assert.deepEqual(matchersIn(deep), []);
});

for (const [form, value, expected] of [
  ['exact', ID, true],
  ['exact', `${ID}2`, false],
  ['prefix', 'spiffe://ilinux.io/', true],
  ['prefix', 'spiffe://other/', false],
  ['suffix', '/web', true],
  ['suffix', '/db', false],
  ['contains', 'linux', true],
  ['contains', 'bsd', false],
  ['regex', '.*', undefined],
] as const) {
  test(`${form} ${value} fits ${ID}: ${expected}`, () => assert.equal(fits(ID, { form, value }), expected));
}

test('each rule is described once, and five at most', () => {
  const rules = [1, 2, 3, 4, 5, 6, 6].map((n) => ({ form: 'exact', value: `n${n}` }));
  assert.equal(describeMatchers(rules), 'n1, n2, n3, n4, n5, 1 more');
  assert.equal(describeMatchers([{ form: 'prefix', value: 'a/' }]), 'a/…');
});

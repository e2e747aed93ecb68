import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Problem, SidekeyError } from '../../src/base/errors.ts';
import { type EntryRules, parseEntryInput, parseEntryInputs, parseEntryPatch } from '../../src/registry/entry-input.ts';
import { entryFromJson, entryToJson } from '../../src/registry/entry-json.ts';
import type { Entry } from '../../src/registry/types.ts';
import { TRUST_DOMAIN } from './support.ts';

const SHA256 = 'ab'.repeat(32);

function rules(more: Partial<EntryRules> = {}): EntryRules {
  return {
    trustDomain: TRUST_DOMAIN,
    allowWeakSelectors: false,
    ...more,
  };
}

function entry(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { spiffe_id: 'spiffe://ilinux.io/a', selectors: [{ type: 'unix', value: 'uid:1000' }], ...more };
}

function faults(parse: () => unknown): readonly Problem[] {
  try {
    parse();
  } catch (error) {
    assert.ok(error instanceof SidekeyError, String(error));
    assert.equal(error.code, 'ERR_BAD_INPUT');
    for (const problem of error.problems) {
      assert.notEqual(problem.problem, '');
      assert.notEqual(problem.rule, '');
    }
    return error.problems;
  }
  return [];
}

/** Expects one fault, at `path`, with a problem or rule that says `says`. */
function refused(value: unknown, path: string, says: RegExp, more: Partial<EntryRules> = {}): void {
  const found = faults(() => parseEntryInput(value, rules(more)));
  assert.equal(found.length, 1, JSON.stringify([value, found]));
  assert.equal(found[0]!.path, path);
  assert.match(`${found[0]!.problem}; ${found[0]!.rule}`, says);
}

test('an entry with only what it needs gets defaults for the rest', () => {
  assert.deepEqual(parseEntryInput(entry(), rules()), {
    id: undefined,
    spiffeId: 'spiffe://ilinux.io/a',
    selectors: [{ type: 'unix', value: 'uid:1000' }],
    parentId: '',
    x509SvidTtl: 0,
    x509SvidKeyType: '',
    jwtSvidTtl: 0,
    dnsNames: [],
    federatesWith: [],
    hint: '',
    allowContained: false,
    expiresAt: 0,
  });
});

test('an entry with every field is read whole, its selectors sorted', () => {
  const value = entry({
    id: 'front-envoy.1_A',
    selectors: [{ type: 'unix', value: 'user:envoy' }, 'unix:gid:0', { type: 'unix', value: 'path:/usr/bin/envoy' }],
    parent_id: 'spiffe://ilinux.io/spire/agent/x',
    x509_svid_ttl: 60,
    x509_svid_key_type: 'rsa-2048',
    jwt_svid_ttl: 2_147_483_647,
    dns_names: ['front.ilinux.io', '*.ilinux.io'],
    federates_with: ['spiffe://example.org', 'other.example'],
    hint: 'default',
    allow_contained: true,
    expires_at: '2030-01-31T12:00:00Z',
  });
  assert.deepEqual(parseEntryInput(value, rules()), {
    id: 'front-envoy.1_A',
    spiffeId: 'spiffe://ilinux.io/a',
    selectors: [
      { type: 'unix', value: 'gid:0' },
      { type: 'unix', value: 'path:/usr/bin/envoy' },
      { type: 'unix', value: 'user:envoy' },
    ],
    parentId: 'spiffe://ilinux.io/spire/agent/x',
    x509SvidTtl: 60,
    x509SvidKeyType: 'rsa-2048',
    jwtSvidTtl: 2_147_483_647,
    dnsNames: ['front.ilinux.io', '*.ilinux.io'],
    federatesWith: ['example.org', 'other.example'],
    hint: 'default',
    allowContained: true,
    expiresAt: Date.UTC(2030, 0, 31, 12),
  });
});

test("the names of SPIRE's files are understood", () => {
  const value = entry({
    entry_id: 'e1',
    entryExpiry: 1_900_000_000,
    admin: false,
    downstream: false,
    store_svid: false,
    revision_number: 7,
    created_at: 1_700_000_000,
    additional_attributes: { disable_x509_svid_prefetch: true, jwt_svid_include_jti: false },
  });
  const read = parseEntryInput(value, rules());
  assert.equal(read.id, 'e1');
  assert.equal(read.expiresAt, 1_900_000_000_000);
  assert.equal(parseEntryInput(entry({ entryExpiry: 0 }), rules()).expiresAt, 0);
  assert.equal(parseEntryInput(entry({ additional_attributes: null }), rules()).id, undefined);
});

test("what SPIRE's entries can be and ours can't is refused with the reason", () => {
  refused(entry({ admin: true }), '/admin', /admin API/);
  refused(entry({ downstream: true }), '/downstream', /intermediates/);
  refused(entry({ store_svid: true }), '/store_svid', /store/);
  refused(entry({ admin: 'false' }), '/admin', /"false"/);
  refused(
    entry({ additional_attributes: { jwt_svid_include_jti: true } }),
    '/additional_attributes/jwt_svid_include_jti',
    /jti/,
  );
  refused(
    entry({ additional_attributes: { jwt_svid_include_jt: false } }),
    '/additional_attributes/jwt_svid_include_jt',
    /did you mean jwt_svid_include_jti/,
  );
  refused(entry({ additional_attributes: [] }), '/additional_attributes', /a list/);
});

test('what the API shows can be given back', () => {
  const shown = entryToJson({
    ...parseEntryInput(entry({ id: 'x', hint: 'h', expires_at: 1_900_000_000 }), rules()),
    id: 'x',
    createdAt: 5,
    updatedAt: 6,
    revisionNumber: 2,
    source: 'api',
  });
  assert.deepEqual(Object.keys(shown).length, 16);
  assert.equal(shown.expires_at, '2030-03-17T17:46:40.000Z');
  assert.equal(shown.created_at, '1970-01-01T00:00:00.005Z');
  const again = parseEntryInput(JSON.parse(JSON.stringify(shown)), rules());
  assert.deepEqual(again, parseEntryInput(entry({ id: 'x', hint: 'h', expires_at: 1_900_000_000 }), rules()));
  const never = entryToJson({
    ...again,
    id: 'x',
    expiresAt: 0,
    createdAt: 5,
    updatedAt: 6,
    revisionNumber: 2,
    source: '',
  });
  assert.equal(never.expires_at, null);
  assert.equal(parseEntryInput(JSON.parse(JSON.stringify(never)), rules()).expiresAt, 0);
});

test('any entry that was read is the same when it is shown and read again', () => {
  const label = fc.stringMatching(/^[a-z0-9]{1,8}$/);
  const given = fc.record(
    {
      spiffe_id: label.map((path) => `spiffe://ilinux.io/${path}`),
      selectors: fc
        .uniqueArray(label, { minLength: 1, maxLength: 5 })
        .map((names) => names.map((n) => `unix:user:${n}`)),
      id: label,
      x509_svid_ttl: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
      x509_svid_key_type: fc.constantFrom('', 'ec-p256', 'rsa-2048'),
      dns_names: fc.uniqueArray(
        label.map((name) => `${name}.org`),
        { maxLength: 3 },
      ),
      federates_with: fc.uniqueArray(label, { maxLength: 3 }),
      hint: fc.string({ unit: fc.constantFrom('a', 'é', '🤯', '"', '\\'), maxLength: 20 }),
      allow_contained: fc.boolean(),
      expires_at: fc.integer({ min: 0, max: 253_402_300_799 }),
    },
    { requiredKeys: ['spiffe_id', 'selectors', 'id'] },
  );
  fc.assert(
    fc.property(given, (value) => {
      const read = parseEntryInput(value, rules());
      const whole: Entry = { ...read, id: read.id!, createdAt: 1, updatedAt: 1, revisionNumber: 1, source: 's' };
      const json: unknown = JSON.parse(JSON.stringify(entryToJson(whole)));
      assert.deepEqual(parseEntryInput(json, rules()), read);
      assert.deepEqual(entryFromJson(json, rules()), whole);
    }),
  );
});

test('an entry that is no object, or lacks what it needs, is refused', () => {
  for (const value of [undefined, null, 5, 'text', [], true]) {
    assert.equal(faults(() => parseEntryInput(value, rules()))[0]?.path, '');
  }
  assert.deepEqual(
    faults(() => parseEntryInput({}, rules())).map(({ path }) => path),
    ['/spiffe_id', '/selectors'],
  );
});

test('an unknown field is refused with the one that was meant', () => {
  const rows: readonly (readonly [name: string, meant: string | undefined])[] = [
    ['spifeId', 'spiffe_id'],
    ['spifeid', undefined],
    ['selector', 'selectors'],
    ['ttl', 'x509_svid_ttl'],
    ['dnsName', 'dns_names'],
    ['hnit', 'hint'],
    ['quite_another_thing', undefined],
    ['__proto__', undefined],
    ['constructor', undefined],
    ['toString', undefined],
  ];
  for (const [name, meant] of rows) {
    const value = JSON.parse(JSON.stringify(entry()).replace('{', `{${JSON.stringify(name)}:false,`));
    const found = faults(() => parseEntryInput(value, rules()));
    assert.deepEqual(
      found.map(({ path }) => path),
      [`/${name}`],
    );
    if (meant !== undefined) assert.match(found[0]!.problem, new RegExp(`did you mean ${meant}\\?`));
  }
  refused(entry({ 'a/b~c': 1 }), '/a~1b~0c', /no such field/);
});

test('every field is understood in camel case too', () => {
  const snake = entry({
    entry_id: 'e',
    parent_id: '',
    x509_svid_ttl: '1h',
    jwt_svid_ttl: 0,
    dns_names: ['a.org'],
    federates_with: [],
    allow_contained: true,
    expires_at: 5,
    store_svid: false,
    created_at: 1,
  });
  const camel = Object.fromEntries(
    Object.entries(snake).map(([name, value]) => [
      name.replaceAll(/_(\w)/g, (_, letter) => letter.toUpperCase()),
      value,
    ]),
  );
  assert.ok('x509SvidTtl' in camel && !('x509_svid_ttl' in camel));
  assert.deepEqual(parseEntryInput(camel, rules()), parseEntryInput(snake, rules()));
  refused({ ...snake, x509SvidTtl: 5 }, '/x509SvidTtl', /the same field as x509_svid_ttl/);
  refused(entry({ storeSvid: true }), '/storeSvid', /to a store/);
});

test('a field by two names is refused', () => {
  refused(entry({ id: 'a', entry_id: 'a' }), '/entry_id', /the same field as id/);
  refused(entry({ expires_at: 0, entryExpiry: 0 }), '/entryExpiry', /the same field as expires_at/);
});

test('every fault of every entry is told, with its place', () => {
  const value = [
    entry(),
    entry({ spiffe_id: 'spiffe://other/a', hint: 5, selectors: ['unix:uid:x', 'unix:gid:1', { type: 'unix' }] }),
    'no entry',
    entry({ selectors: [{ type: 'unix', value: 'uid:1', extra: 1 }] }),
  ];
  assert.deepEqual(
    faults(() => parseEntryInputs(value, rules())).map(({ path }) => path),
    [
      '/entries/1/spiffe_id',
      '/entries/1/selectors/0',
      '/entries/1/selectors/2/value',
      '/entries/1/hint',
      '/entries/2',
      '/entries/3/selectors/0/extra',
    ],
  );
  assert.deepEqual(faults(() => parseEntryInput({ x: 1 }, rules(), '/at'))[0]?.path, '/at/x');
  assert.equal(parseEntryInputs([entry(), entry()], rules()).length, 2);
  assert.deepEqual(parseEntryInputs([], rules()), []);
  assert.equal(faults(() => parseEntryInputs({}, rules()))[0]?.path, '/entries');
});

test('of very many faults the first hundred are told, and that there are more', () => {
  const read = (count: number) => faults(() => parseEntryInputs(Array(count).fill(0), rules()));
  assert.equal(read(100).length, 100);
  const told = read(500_000);
  assert.equal(told.length, 101);
  assert.equal(told[99]!.path, '/entries/99');
  assert.deepEqual(told[100], { path: '', problem: 'there are more than 100 faults', rule: 'correct these first' });
});

test("a SPIFFE ID is one of this trust domain, with a path that is not SPIRE's own", () => {
  for (const path of ['/a', '/spire-server', '/spirex/a', '/a/spire', '/SPIRE']) {
    const id = `spiffe://ilinux.io${path}`;
    assert.equal(parseEntryInput(entry({ spiffe_id: id }), rules()).spiffeId, id);
  }
  refused(entry({ spiffe_id: 'spiffe://ilinux.io/spire' }), '/spiffe_id', /reserved/);
  refused(entry({ spiffe_id: 'spiffe://ilinux.io/spire/server' }), '/spiffe_id', /reserved/);
  refused(entry({ spiffe_id: 'spiffe://ilinux.io' }), '/spiffe_id', /no path/);
  refused(entry({ spiffe_id: 'spiffe://sub.ilinux.io/a' }), '/spiffe_id', /sub\.ilinux\.io/);
  refused(entry({ spiffe_id: 'spiffe://ilinux.io/a/../b' }), '/spiffe_id', /"\.\."/);
  refused(entry({ spiffe_id: '' }), '/spiffe_id', /empty/);
  const inParts = (spiffe_id: unknown) => parseEntryInput(entry({ spiffe_id }), rules()).spiffeId;
  assert.equal(inParts({ trust_domain: 'ilinux.io', path: '/a' }), 'spiffe://ilinux.io/a');
  assert.equal(inParts({ trustDomain: 'ilinux.io', path: '/a/b' }), 'spiffe://ilinux.io/a/b');
  refused(entry({ spiffe_id: { trust_domain: 'ilinux.io' } }), '/spiffe_id', /no path/);
  refused(entry({ spiffe_id: { trust_domain: 'other', path: '/a' } }), '/spiffe_id', /other/);
  for (const odd of [
    { trust_domain: 'ilinux', path: '.io/a' },
    { trust_domain: 'ilinux.io', path: '/a', port: 1 },
    { trust_domain: 5, path: '/a' },
    { path: '/a' },
  ]) {
    refused(entry({ spiffe_id: odd }), '/spiffe_id', /an object, not a text/);
  }
  refused(entry({ spiffe_id: null }), '/spiffe_id', /null/);
});

test('a parent is empty or a SPIFFE ID of this trust domain, reserved ones too', () => {
  assert.equal(parseEntryInput(entry({ parent_id: '' }), rules()).parentId, '');
  const server = 'spiffe://ilinux.io/spire/server';
  assert.equal(parseEntryInput(entry({ parent_id: server }), rules()).parentId, server);
  refused(entry({ parent_id: 'spiffe://other/a' }), '/parent_id', /other/);
  refused(entry({ parent_id: 'spiffe://ilinux.io' }), '/parent_id', /no path/);
  refused(entry({ parent_id: null }), '/parent_id', /null/);
});

test('an id has only characters that need no escaping, and an end', () => {
  for (const id of ['a', 'A-Z_a.z', '0'.repeat(255)]) assert.equal(parseEntryInput(entry({ id }), rules()).id, id);
  for (const id of ['', 'a b', 'a/b', 'ä', 'a\n', '0'.repeat(256), 5, null]) refused(entry({ id }), '/id', /1 to 255/);
});

test('a TTL is seconds that 31 bits hold, or a duration', () => {
  for (const field of ['x509_svid_ttl', 'jwt_svid_ttl']) {
    for (const ttl of [-1, 1.5, 2 ** 31, '-1', '1.5h', '', '1h ', '2147483648', '99999999d', null, true, 1e300])
      refused(entry({ [field]: ttl }), `/${field}`, /TTL/);
  }
  for (const [given, seconds] of [
    [60, 60],
    ['60', 60],
    ['30m', 1_800],
    ['1h30m', 5_400],
    ['0', 0],
  ] as const) {
    assert.equal(parseEntryInput(entry({ x509_svid_ttl: given }), rules()).x509SvidTtl, seconds);
  }
  assert.ok(Object.is(parseEntryInput(entry({ x509_svid_ttl: -0 }), rules()).x509SvidTtl, 0));
});

test('a type of keys is one that SVIDs may have; without one it is the default', () => {
  const read = (x509_svid_key_type: unknown) => parseEntryInput(entry({ x509_svid_key_type }), rules()).x509SvidKeyType;
  for (const type of ['ec-p256', 'rsa-2048'] as const) assert.equal(read(type), type);
  for (const none of ['', 'default', null]) assert.equal(read(none), '');
  for (const type of ['ec-p384', 'rsa-4096', 'RSA-2048', 'rsa', 2048, true, []]) {
    refused(entry({ x509_svid_key_type: type }), '/x509_svid_key_type', /one of ec-p256, rsa-2048/);
  }
});

test('an end is RFC 3339 or epoch seconds, and never the epoch itself by a date', () => {
  const read = (expires_at: unknown) => parseEntryInput(entry({ expires_at }), rules()).expiresAt;
  assert.equal(read('2030-01-31T12:00:00+01:00'), Date.UTC(2030, 0, 31, 11));
  assert.equal(read(1), 1000);
  assert.equal(read(253_402_300_799), 253_402_300_799_000);
  assert.equal(read('9999-12-31T23:59:59.999Z'), 253_402_300_799_999);
  assert.equal(read('1'), 1000);
  for (const never of [null, 0, '0', 'never']) assert.equal(read(never), 0);
  assert.ok(Object.is(read(-0), 0));
  const bad = [
    -1,
    1.5,
    253_402_300_800,
    '',
    '-1',
    '253402300800',
    '2030-01-31',
    '1970-01-01T00:00:00Z',
    '1969-01-01T00:00:00Z',
    false,
    [],
  ];
  for (const expires_at of bad) refused(entry({ expires_at }), '/expires_at', /RFC 3339/);
  refused(entry({ expires_at: '9999-12-31T23:59:59-01:00' }), '/expires_at', /RFC 3339/);
});

test('DNS names are checked one by one, and no two are the same', () => {
  refused(entry({ dns_names: 'a.org' }), '/dns_names', /not a list/);
  refused(entry({ dns_names: ['a.org', 'A.org'] }), '/dns_names/1', /lower case/);
  refused(entry({ dns_names: ['a.org', 'b.org', 'a.org'] }), '/dns_names/2', /already/);
  refused(entry({ dns_names: ['a.org', 5] }), '/dns_names/1', /5, not a text/);
});

test('federated trust domains are others, with or without the scheme, and no two are the same', () => {
  refused(entry({ federates_with: ['ilinux.io'] }), '/federates_with/0', /own trust domain/);
  refused(entry({ federates_with: ['spiffe://ilinux.io'] }), '/federates_with/0', /own trust domain/);
  refused(entry({ federates_with: ['a', 'spiffe://a'] }), '/federates_with/1', /already/);
  refused(entry({ federates_with: ['spiffe://a/path'] }), '/federates_with/0', /"\/"/);
  refused(entry({ federates_with: ['Example.org'] }), '/federates_with/0', /"E"/);
  refused(entry({ federates_with: ['spiffe://spiffe://a'] }), '/federates_with/0', /leave off spiffe:\/\/: a/);
  refused(entry({ federates_with: 'a' }), '/federates_with', /not a list/);
});

test('allow_contained is true or false and nothing else', () => {
  assert.equal(parseEntryInput(entry({ allow_contained: true }), rules()).allowContained, true);
  assert.equal(parseEntryInput(entry({ allow_contained: false }), rules()).allowContained, false);
  for (const value of ['true', 1, null, [], '']) {
    refused(entry({ allow_contained: value }), '/allow_contained', /allow_contained is true or false/);
  }
  assert.deepEqual(parseEntryPatch({ allow_contained: true }, rules(), 'x'), { allowContained: true });
  assert.equal(parseEntryInput(entry({ allowContained: true }), rules()).allowContained, true);
});

test('a hint is a short text without control characters', () => {
  assert.equal(parseEntryInput(entry({ hint: 'h'.repeat(1024) }), rules()).hint.length, 1024);
  refused(entry({ hint: 'h'.repeat(1025) }), '/hint', /1025/);
  refused(entry({ hint: 'a\u001b[31m' }), '/hint', /control/);
  refused(entry({ hint: 'a\ud800' }), '/hint', /NUL character or an unpaired surrogate/);
  refused(entry({ hint: 5 }), '/hint', /5, not a text/);
});

test('a list of selectors has at least one, and no two are the same', () => {
  refused(entry({ selectors: [] }), '/selectors', /empty/);
  refused(entry({ selectors: 'unix:uid:1' }), '/selectors', /not a list/);
  refused(entry({ selectors: ['unix:uid:1', { type: 'unix', value: 'uid:1' }] }), '/selectors/1', /already/);
});

test('a selector has a known type and a value', () => {
  const one = (selector: unknown) => entry({ selectors: [selector] });
  refused(one('unix'), '/selectors/0', /"unix"/);
  refused(one(':uid:1'), '/selectors/0', /":uid:1"/);
  refused(one(5), '/selectors/0', /5/);
  refused(one({ type: 'unix', value: '' }), '/selectors/0/value', /empty/);
  refused(one({ type: '', value: 'uid:1' }), '/selectors/0/type', /not a selector type/);
  refused(one({ type: 'unix:uid', value: '1' }), '/selectors/0/type', /not a selector type/);
  refused(one({ type: 'unxi', value: 'uid:1' }), '/selectors/0/type', /did you mean unix\?/);
  refused(one({ type: 'k8s', value: 'ns:x' }), '/selectors/0/type', /the types are unix, docker/);
  refused(one({ type: 'unix', value: 1000 }), '/selectors/0/value', /1000, not a text/);
  refused(one({ type: 'unix', value: 'uid:1', Value: 'x' }), '/selectors/0/Value', /no such field/);
  refused(one({ type: 'docker', value: 'label:a\0' }), '/selectors/0/value', /NUL character or an unpaired surrogate/);
  refused(one({ type: 'docker', value: 'x'.repeat(8193) }), '/selectors/0/value', /8193/);
});

test('unix selectors are of a known kind, and could be true', () => {
  const good = [
    'uid:0',
    'uid:4294967294',
    'gid:10',
    'user:www-data',
    'group:domain_users',
    'supplementary_gid:5',
    'supplementary_group:docker',
  ];
  for (const value of good) parseEntryInput(entry({ selectors: [{ type: 'unix', value }] }), rules());
  for (const value of ['path:/usr/bin/a b:c', 'path:/usr/bin/envoy (deleted)', `sha256:${SHA256}`]) {
    parseEntryInput(entry({ selectors: ['unix:uid:1', `unix:${value}`] }), rules());
  }
  const bad: readonly (readonly [value: string, says: RegExp])[] = [
    ['uuid:5', /did you mean uid\?/],
    ['username:x', /not a kind/],
    ['sha265:x', /did you mean sha256\?/],
    ['constructor:1', /not a kind/],
    ['uid', /unix:uid is ""/],
    ['uid:', /unix:uid is ""/],
    [':1', /"" is not a kind/],
    ['uid:01', /without leading zeros/],
    ['uid:-1', /decimal/],
    ['uid:+1', /decimal/],
    ['uid:1.0', /decimal/],
    ['uid:0x10', /decimal/],
    ['uid: 1', /decimal/],
    ['uid:root', /decimal/],
    ['uid:4294967295', /4294967294/],
    ['gid:', /unix:gid is ""/],
    ['supplementary_gid:99999999999', /decimal/],
    ['user:a b', /name/],
    ['user:a:b', /name/],
    ['group:\t', /name/],
    ['path:usr/bin/envoy', /absolute/],
    ['path:/usr/../bin/envoy', /absolute/],
    ['path:/usr//bin', /absolute/],
    ['path:/usr/', /absolute/],
    ['path:/', /absolute/],
    [`sha256:${SHA256.toUpperCase()}`, /lower case/],
    [`sha256:${SHA256}0`, /64/],
    [`sha256:sha256:${SHA256}`, /64/],
  ];
  for (const [value, says] of bad)
    refused(entry({ selectors: ['unix:uid:7', { type: 'unix', value }] }), '/selectors/1/value', says);
});

test('docker selectors are of a known kind, and could be true', () => {
  const docker = rules();
  const good = [
    'label:app:web',
    'label:app:',
    'env:MODE=a=b',
    'env:EMPTY=',
    'image_id:envoyproxy/envoy:v1.36.0',
    `image_config_digest:sha256:${SHA256}`,
    `image_digest:sha256:${SHA256}`,
    'name:demo-web-1',
    `container_id:${SHA256}`,
    'compose_project:demo',
    'compose_service:web',
    'network:demo_default',
  ];
  const selectors = good.map((value) => ({ type: 'docker', value }));
  assert.equal(parseEntryInput(entry({ selectors }), docker).selectors.length, good.length);
  const bad: [string, RegExp][] = [
    ['lable:app:web', /did you mean label\?/],
    ['image-signature:verified', /label, env, image_id/],
    ['label:app', /KEY:VALUE/],
    ['label::web', /KEY:VALUE/],
    ['env:MODE', /NAME=VALUE/],
    ['env:=x', /NAME=VALUE/],
    ['image_id:', /image name with which the container/],
    [`image_config_digest:${SHA256}`, /sha256:/],
    ['image_digest:sha256:ab', /64/],
    ['name:/web', /without a slash/],
    [`container_id:${SHA256.slice(0, 12)}`, /full id/],
    ['compose_service:', /not empty/],
    ['network:', /not empty/],
  ];
  for (const [value, says] of bad) {
    const problems = faults(() => parseEntryInput(entry({ selectors: [{ type: 'docker', value }] }), docker));
    assert.deepEqual(
      problems.map(({ path }) => path),
      ['/selectors/0/value'],
      value,
    );
    assert.match(`${problems[0]!.problem}; ${problems[0]!.rule}`, says);
  }
});

test('systemd selectors are of a known kind, and could be true', () => {
  const systemd = rules();
  const good = ['web.service', 'getty@tty1.service', 'session-3.scope', 'a\\x2db.mount', 'x:y_z.socket', 'a.b.swap'];
  for (const unit of good) parseEntryInput(entry({ selectors: [`systemd:id:${unit}`] }), systemd);
  const bad: [string, RegExp][] = [
    ['unit:web.service', /they are id, as in id:web\.service/],
    ['id:web', /the full name of a unit/],
    ['id:web.Service', /the full name of a unit/],
    ['id:web.service ', /the full name of a unit/],
    ['id:wéb.service', /the full name of a unit/],
    ['id:.service', /the full name of a unit/],
    ['id:getty@.service', /the full name of a unit/],
    ['id:@tty1.service', /the full name of a unit/],
    ['id:system.slice', /the full name of a unit/],
    ['id:backup.timer', /the full name of a unit/],
    ['id:system.slice/web.service', /the full name of a unit/],
    [`id:${'a'.repeat(248)}.service`, /the full name of a unit/],
  ];
  for (const [value, says] of bad) {
    const problems = faults(() => parseEntryInput(entry({ selectors: [{ type: 'systemd', value }] }), systemd));
    assert.deepEqual(
      problems.map(({ path }) => path),
      ['/selectors/0/value'],
      value,
    );
    assert.match(`${problems[0]!.problem}; ${problems[0]!.rule}`, says);
  }
});

test('path and sha256 alone grant nothing, unless weak selectors are allowed', () => {
  const weak = entry({ selectors: ['unix:path:/bin/envoy', `unix:sha256:${SHA256}`] });
  refused(weak, '/selectors', /--allow-weak-selectors/);
  assert.equal(parseEntryInput(weak, rules({ allowWeakSelectors: true })).selectors.length, 2);
  const strong = ['uid:1', 'gid:1', 'user:a', 'group:a', 'supplementary_gid:1', 'supplementary_group:a'];
  for (const value of strong) {
    parseEntryInput(entry({ selectors: ['unix:path:/bin/envoy', `unix:${value}`] }), rules());
  }
  const docker = entry({ selectors: ['unix:path:/bin/envoy', 'docker:label:a:b'] });
  parseEntryInput(docker, rules());
});

test('no message shows the value of an environment variable', () => {
  const twice = { type: 'docker', value: 'env:PASSWORD=hunter2' };
  const found = faults(() => parseEntryInput(entry({ selectors: [twice, twice] }), rules()));
  assert.match(found[0]!.problem, /PASSWORD/);
  assert.doesNotMatch(JSON.stringify(found), /hunter2/);
  for (const malformed of ['docker:env:hunter2', 'docker:PASSWORD=hunter2']) {
    const told = faults(() => parseEntryInput(entry({ selectors: [malformed] }), rules()));
    assert.doesNotMatch(JSON.stringify(told), /hunter2/);
  }
});

test('a patch has only what is to change, by the same rules', () => {
  assert.deepEqual(parseEntryPatch({}, rules(), 'x'), {});
  assert.deepEqual(parseEntryPatch({ hint: '', expires_at: null }, rules(), 'x'), { hint: '', expiresAt: 0 });
  assert.deepEqual(parseEntryPatch({ id: 'x', revision_number: 3, source: 'api' }, rules(), 'x'), {});
  const bad = { id: 'y', selectors: ['unix:path:/bin/a'], hint: 5, hnit: '' };
  assert.deepEqual(
    faults(() => parseEntryPatch(bad, rules(), 'x')).map(({ path }) => path),
    ['/selectors', '/hint', '/hnit', '/id'],
  );
  assert.equal(faults(() => parseEntryPatch([], rules(), 'x'))[0]?.path, '');
});

test('an entry that another Sidekey wrote is read exactly, or refused', () => {
  const made: Entry = {
    ...parseEntryInput(
      entry({ id: 'x', hint: 'h', expires_at: 1_900_000_000, federates_with: ['b.org', 'a.org'] }),
      rules(),
    ),
    ...{ id: 'x', createdAt: 1_700_000_000_123, updatedAt: 1_700_000_000_456, revisionNumber: 7, source: 'file' },
  };
  const json = JSON.parse(JSON.stringify(entryToJson(made))) as Record<string, unknown>;
  assert.deepEqual(entryFromJson(json, rules()), made);

  const { hint: _hint, ...withoutHint } = json;
  for (const [value, path] of [
    [{ ...json, not_before: 1 }, '/not_before'],
    [{ ...json, spiffeId: json.spiffe_id }, '/spiffeId'],
    [withoutHint, '/hint'],
    [{ ...json, spiffe_id: 'spiffe://other.org/a' }, '/spiffe_id'],
    [{ ...json, selectors: [] }, '/selectors'],
    [{ ...json, selectors: ['unix:uid:1000'] }, '/selectors'],
    [{ ...json, x509_svid_ttl: '1h' }, '/x509_svid_ttl'],
    [{ ...json, x509_svid_key_type: null }, '/x509_svid_key_type'],
    [{ ...json, expires_at: 1_900_000_000 }, '/expires_at'],
    [{ ...json, created_at: 5 }, '/created_at'],
    [{ ...json, updated_at: '2026-06-01 12:00:00Z' }, '/updated_at'],
    [{ ...json, revision_number: 0 }, '/revision_number'],
    [{ ...json, revision_number: '7' }, '/revision_number'],
    [{ ...json, source: null }, '/source'],
    [[], ''],
    [null, ''],
  ] as const) {
    const found = faults(() => entryFromJson(value, rules()));
    assert.deepEqual([...new Set(found.map((fault) => fault.path))], [path], JSON.stringify(value));
  }
});

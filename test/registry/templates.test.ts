/** Templates and negative selectors in entries: input, storage, match, limits. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Problem, SidekeyError } from '../../src/base/errors.ts';
import { isForContained } from '../../src/registry/contained.ts';
import { entryFaults } from '../../src/registry/entry-faults.ts';
import { parseEntryInput } from '../../src/registry/entry-input.ts';
import { entryToJson } from '../../src/registry/entry-json.ts';
import { createWarningsOf } from '../../src/registry/entry-warnings.ts';
import { MAX_NEGATIVES, MAX_PLACEHOLDERS } from '../../src/registry/further-limits.ts';
import type { Entry } from '../../src/registry/types.ts';
import { parseSpiffeId } from '../../src/spiffe/id.ts';
import { splitSelector } from '../../src/spiffe/selector.ts';
import { input, open, TRUST_DOMAIN } from './support.ts';

const RULES = { trustDomain: TRUST_DOMAIN, allowWeakSelectors: false };
const TEMPLATE = 'spiffe://ilinux.io/{docker.compose_project}/{docker.compose_service}';
const PROJECT = 'docker:compose_project:shop';

function read(more: Record<string, unknown>) {
  return parseEntryInput({ spiffe_id: TEMPLATE, selectors: [PROJECT], ...more }, RULES);
}

function faultsOf(more: Record<string, unknown>): readonly Problem[] {
  try {
    read(more);
  } catch (error) {
    assert.ok(error instanceof SidekeyError, String(error));
    return error.problems;
  }
  return [];
}

/** What is refused, with the path of the fault and what it says. */
const REFUSED: readonly (readonly [Record<string, unknown>, string, RegExp])[] = [
  [
    { spiffe_id: 'spiffe://ilinux.io/{docker.compose_servce}' },
    '/spiffe_id',
    /no placeholder \{docker\.compose_servce\}; did you mean \{docker\.compose_service\}\?/,
  ],
  [
    { spiffe_id: 'spiffe://ilinux.io/{docker.env.TOKEN}' },
    '/spiffe_id',
    /no placeholder \{docker\.env\.TOKEN\}.*the placeholders are \{unix\.uid\}/,
  ],
  [{ spiffe_id: 'spiffe://ilinux.io/{docker.network}' }, '/spiffe_id', /no placeholder/],
  [{ spiffe_id: 'spiffe://ilinux.io/{unix.path}' }, '/spiffe_id', /no placeholder/],
  [{ spiffe_id: 'spiffe://ilinux.io/{unix.sha256}' }, '/spiffe_id', /no placeholder/],
  [{ spiffe_id: 'spiffe://ilinux.io/{unix.supplementary_group}' }, '/spiffe_id', /no placeholder/],
  [{ spiffe_id: 'spiffe://ilinux.io/{unix.toString}' }, '/spiffe_id', /no placeholder/],
  [{ spiffe_id: 'spiffe://ilinux.io/{docker.label}' }, '/spiffe_id', /no placeholder/],
  [{ spiffe_id: 'spiffe://ilinux.io/{docker.label.}' }, '/spiffe_id', /no placeholder/],
  [{ spiffe_id: 'spiffe://ilinux.io/{docker.label.a:b}' }, '/spiffe_id', /no placeholder/],
  [{ spiffe_id: 'spiffe://ilinux.io/{docker.name.x}' }, '/spiffe_id', /no placeholder/],
  [{ spiffe_id: 'spiffe://ilinux.io/web-{docker.name}' }, '/spiffe_id', /fills a whole path segment/],
  [{ spiffe_id: 'spiffe://example.org/{docker.name}' }, '/spiffe_id', /its trust domain is example\.org/],
  [
    { spiffe_id: 'spiffe://ilinux.io/spire/{docker.name}' },
    '/spiffe_id',
    /renders nothing below \/spire and \/sidekey/,
  ],
  [{ spiffe_id: 'spiffe://ilinux.io/Sidekey/{docker.name}' }, '/spiffe_id', /renders nothing below/],
  [{ spiffe_id: { trust_domain: 'ilinux.io', path: '/{docker.nam}' } }, '/spiffe_id', /did you mean \{docker\.name\}/],
  [{ selectors: [] }, '/selectors', /it is empty/],
  [{ selectors: ['unix:path:/usr/bin/envoy'] }, '/selectors', /one more is needed/],
  [{ dns_names: ['{docker.compose_service}.ilinux.io'] }, '/dns_names/0', /DNS names have no placeholders/],
  [
    { selectors: ['!docker:label:tier:canary'] },
    '/selectors',
    /it has only negative selectors; an entry needs a selector that its callers have/,
  ],
  [{ selectors: ['unix:path:/usr/bin/envoy', '!unix:uid:0'] }, '/selectors', /one more is needed/],
  [
    { selectors: ['unix:uid:1', '!unix:uid:1'] },
    '/selectors/1',
    /unix:uid:1 is in the list too; no caller both has a fact and has it not/,
  ],
  [{ selectors: ['!unix:uid:1', '!unix:uid:1', 'unix:gid:1'] }, '/selectors/1', /!unix:uid:1 is in the list already/],
  [{ selectors: ['unix:gid:1', '!unix:uid:x'] }, '/selectors/1', /it is a decimal number/],
  [{ selectors: ['unix:gid:1', '!!unix:uid:1'] }, '/selectors/1', /is not a selector type here/],
  [
    { selectors: ['unix:gid:1', { type: '!unix', value: 'uid:1' }] },
    '/selectors/1/type',
    /is not a selector type here/,
  ],
  [{ selectors: ['unix:gid:1', { type: 'unix', value: 'uid:1', negated: 1 }] }, '/selectors/1/negated', /it is 1/],
  [
    { selectors: ['unix:gid:1', { type: 'unix', value: 'uid:1', negate: true }] },
    '/selectors/1/negate',
    /there is no such field/,
  ],
  [{ selectors: ['unix:gid:1', '!docker:env:TOKEN'] }, '/selectors/1', /of another form/],
];

test('templates and negative selectors that can mean nothing, or too much, are refused', () => {
  for (const [more, path, says] of REFUSED) {
    const found = faultsOf(more);
    assert.equal(found.length, 1, JSON.stringify([more, found]));
    assert.equal(found[0]!.path, path, JSON.stringify(more));
    assert.match(`${found[0]!.problem}; ${found[0]!.rule}`, says);
  }
});

test('both forms of a negative selector are read, and shown as they are stored', async (t) => {
  const negated = { type: 'docker', value: 'label:tier:canary', negated: true };
  const plain = { type: 'docker', value: 'compose_project:shop' };
  for (const form of ['!docker:label:tier:canary', negated]) {
    assert.deepEqual(read({ selectors: [form, PROJECT] }).selectors, [plain, negated]);
  }
  assert.deepEqual(read({ selectors: [{ ...plain, negated: false }] }).selectors, [plain]);

  const { registry, file, store } = await open(t);
  const [made] = await registry.create([read({ selectors: [PROJECT, negated] })], 'api');
  await registry.close();
  await store.close();
  const again = await open(t, { file });
  const stored = again.registry.get(made!.id)!;
  assert.deepEqual(stored, made);
  const json = entryToJson(stored);
  assert.equal(json.spiffe_id, TEMPLATE);
  assert.deepEqual(json.selectors, [plain, negated]);
  assert.deepEqual(parseEntryInput(json, RULES).selectors, made!.selectors, 'what is shown can be given again');
  const found = (selector: string) => again.registry.list({ limit: 9, selectors: [selector] }).entries.length;
  assert.deepEqual([found('!docker:label:tier:canary'), found('docker:label:tier:canary'), found(PROJECT)], [1, 0, 1]);
  assert.equal(again.registry.list({ limit: 9, spiffeId: TEMPLATE }).entries.length, 1);
});

test('an entry with a negative selector is not the same as one with a positive selector, or without it', async (t) => {
  const { registry } = await open(t);
  const tier = 'docker:label:tier:canary';
  await registry.create(
    [[PROJECT], [PROJECT, tier], [PROJECT, `!${tier}`]].map((selectors) => input('a', selectors)),
    'api',
  );
  await assert.rejects(registry.create([input('a', [`!${tier}`, PROJECT])], 'api'), { code: 'ERR_ENTRY_EXISTS' });
});

test('a negative selector matches a caller that is known not to have the fact, and no other', async (t) => {
  const { registry } = await open(t);
  const [entry] = await registry.create([input('a', ['unix:uid:1', '!docker:label:tier:canary'])], 'api');
  const match = (...keys: string[]) => registry.match(new Set(keys)).length;
  assert.equal(match('unix:uid:1', '!docker:label:tier:canary'), 1);
  assert.equal(match('unix:uid:1'), 0, 'not known');
  assert.equal(match('unix:uid:1', 'docker:label:tier:canary'), 0);
  assert.equal(match('!docker:label:tier:canary'), 0);

  assert.deepEqual(registry.negatives('docker'), [splitSelector('!docker:label:tier:canary')]);
  assert.deepEqual(registry.negatives('unix'), []);
  assert.deepEqual(
    ['docker:label', 'docker:label:tier'].map((kind) => registry.asksFor(kind)),
    [true, true],
  );
  assert.equal(registry.askers('docker:label:tier:canary'), 1, 'so that the facts of callers say whether they have it');
  const [near] = registry.nearMisses(new Set(['unix:uid:1', 'docker:label:tier:canary']), { limit: 1 });
  assert.deepEqual(near!.lacks, [
    {
      selector: splitSelector('!docker:label:tier:canary'),
      has: [splitSelector('docker:label:tier:canary')],
      alike: undefined,
    },
  ]);
  const [unknown] = registry.nearMisses(new Set(['unix:uid:1']), { limit: 1 });
  assert.deepEqual(unknown!.lacks[0]!.has, []);
  await registry.delete(entry!.id);
  assert.deepEqual([registry.negatives('docker'), registry.asksFor('docker:label')], [[], false]);
});

test('a negative container selector does not make an entry one for containers', () => {
  const selectors = ['unix:uid:1', '!docker:label:tier:canary'].map((text) => splitSelector(text)!);
  assert.equal(isForContained({ selectors, allowContained: false }), false);
  assert.equal(
    isForContained({ selectors: [...selectors, splitSelector('docker:name:a')!], allowContained: false }),
    true,
  );
});

test('the placeholders of live entries are asked for, and which entries could render an ID is known', async (t) => {
  const { registry, clock } = await open(t);
  const expiresAt = clock.now() + 1_000;
  const [all] = await registry.create([read({})], 'api');
  const [users] = await registry.create(
    [{ ...read({ spiffe_id: 'spiffe://ilinux.io/users/{unix.user}' }), expiresAt }],
    'api',
  );
  assert.deepEqual(
    registry.placeholders('unix').map(({ name }) => name),
    ['unix.user'],
  );
  assert.deepEqual(
    registry.placeholders('docker').map(({ name }) => name),
    ['docker.compose_project', 'docker.compose_service'],
  );
  assert.equal(registry.asksFor('docker:compose_service'), true);
  const could = (path: string) => registry.couldRender(parseSpiffeId(`spiffe://ilinux.io/${path}`)).map(({ id }) => id);
  assert.deepEqual(could('shop/web'), [all!.id]);
  assert.deepEqual(new Set(could('users/alice')), new Set([all!.id, users!.id]));
  assert.deepEqual(could('shop/web/1'), []);
  clock.advance(2_000);
  assert.deepEqual(registry.placeholders('unix'), []);
  assert.equal(could('users/alice').length, 2, 'expired ones are candidates still');
  const names = (path: string) => registry.names(parseSpiffeId(`spiffe://ilinux.io/${path}`));
  assert.equal(names('shop/web'), false);
  await registry.create([input('shop/web')], 'api');
  assert.equal(names('shop/web'), true);
});

test('all entries together have a limited number of negative selectors and placeholders', async (t) => {
  const { registry } = await open(t);
  const negative = (at: number) => input(`n${at}`, ['unix:uid:1', `!unix:gid:${at}`]);
  const made = await registry.create(
    Array.from({ length: MAX_NEGATIVES }, (_, at) => negative(at)),
    'api',
  );
  const tooMany = { code: 'ERR_BAD_INPUT', message: /257 different negative selectors.*at most 256/ };
  await assert.rejects(registry.create([negative(1_000)], 'api'), tooMany);
  await registry.create([input('again', ['unix:uid:2', '!unix:gid:0'])], 'api');
  await assert.rejects(registry.update(made[0]!.id, { selectors: negative(1_000).selectors }), tooMany);
  await registry.update(made[1]!.id, { selectors: negative(1_000).selectors });
  await assert.rejects(registry.replaceSource('x', [negative(1_001)]), tooMany);
  await registry.delete(made[2]!.id);
  await registry.replaceSource('x', [negative(1_001)]);

  const labelled = (at: number) => read({ spiffe_id: `spiffe://ilinux.io/l/{docker.label.l${at}}` });
  await registry.create(
    Array.from({ length: MAX_PLACEHOLDERS }, (_, at) => labelled(at)),
    'api',
  );
  await assert.rejects(registry.create([labelled(1_000)], 'api'), {
    code: 'ERR_BAD_INPUT',
    message: /65 different placeholders/,
  });
});

test('warnings name what an entry can never get, and the reserved path', () => {
  const warningsOf = createWarningsOf({
    isLocal: () => true,
    whyNever: ({ value }) => (value === 'user:alcie' ? 'there is no such user' : undefined),
    whyNoPlaceholder: (name) => (name.startsWith('docker.') ? 'no docker attestor runs here' : undefined),
    longestSvidTtl: 43_200,
    longestJwtTtl: 43_200,
    federatedBundles: { get: () => undefined },
    now: () => 0,
  });
  const told = (more: Record<string, unknown>) =>
    warningsOf([read(more)]).map(({ warning }) => `${warning.path} ${warning.problem}`);
  assert.deepEqual(told({}), [
    '/spiffe_id {docker.compose_project} has a value for no caller: no docker attestor runs here',
    '/spiffe_id {docker.compose_service} has a value for no caller: no docker attestor runs here',
  ]);
  for (const path of ['/sidekey', '/sidekey/web', '/spire/server']) {
    assert.throws(() => told({ spiffe_id: `spiffe://ilinux.io${path}` }), { message: /reserved for the servers/ });
  }
  assert.deepEqual(told({ spiffe_id: 'spiffe://ilinux.io/sidekeys' }), []);
  assert.deepEqual(told({ spiffe_id: 'spiffe://ilinux.io/a', selectors: ['unix:uid:1', '!unix:user:alcie'] }), [
    '/selectors of no caller it is known that unix:user:alcie is not among its facts: there is no such user',
  ]);
});

test('an entry with a template is never called one for which nothing was issued', async (t) => {
  const { registry } = await open(t);
  const [made] = await registry.create([read({})], 'api');
  const day = 86_400_000;
  const parts = { registry, whyNever: () => undefined, meant: () => undefined, issued: new Set<string>() };
  const faults = [...entryFaults({ ...parts, now: (made as Entry).createdAt + day })];
  assert.deepEqual(faults, [undefined]);
});

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { Value } from 'typebox/value';
import { ENTRY, ENTRY_INPUT, ENTRY_PATCH, MADE_ENTRY, PROBLEM } from '../../src/admin/schema.ts';
import { parseEntryInput, parseEntryPatch } from '../../src/registry/entry-input.ts';
import { createWarningsOf } from '../../src/registry/entry-warnings.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { TRUST_DOMAIN } from '../registry/support.ts';
import { call, entry, startAdmin } from './support.ts';

const ids = (entries: readonly { spiffe_id: string }[]) => entries.map(({ spiffe_id }) => spiffe_id.split('/').at(-1));

describe('POST /v1/entries', () => {
  test('makes one entry and answers 201 with all of its members', async (t) => {
    const { socketPath } = await startAdmin(t);
    const given = entry('web', {
      hint: 'default',
      x509_svid_ttl: 600,
      dns_names: ['web.example'],
      expires_at: 1_900_000_000,
    });
    const { status, headers, body } = await call(socketPath, 'POST', '/v1/entries', { json: given });
    assert.equal(status, 201);
    assert.match(headers['content-type']!, /^application\/json/);
    assert.equal(headers.etag, '"1"');
    const { id, ...rest } = body;
    assert.match(id, /^[0-9a-f-]{36}$/);
    assert.deepEqual(rest, {
      ...given,
      x509_svid_key_type: '',
      parent_id: '',
      jwt_svid_ttl: 0,
      federates_with: [],
      allow_contained: false,
      expires_at: '2030-03-17T17:46:40.000Z',
      created_at: '2026-06-01T12:00:00.000Z',
      updated_at: '2026-06-01T12:00:00.000Z',
      revision_number: 1,
      source: 'api',
    });
  });

  test('makes several in their order', async (t) => {
    const { socketPath, registry } = await startAdmin(t);
    const json = { entries: [entry('a'), entry('b', { entry_id: 'b-1', admin: false })] };
    const { status, body } = await call(socketPath, 'POST', '/v1/entries', { json });
    assert.equal(status, 201);
    assert.deepEqual(Object.keys(body), ['entries']);
    assert.deepEqual(ids(body.entries), ['a', 'b']);
    assert.equal(body.entries[1].id, 'b-1');
    assert.equal(registry.size, 2);
  });

  test('makes none when one of them is bad, and names each fault with its path and rule', async (t) => {
    const { socketPath, registry } = await startAdmin(t);
    const json = { entries: [entry('a'), entry('b', { hint: 4, colour: 'red' }), { selectors: [] }] };
    const { status, headers, body } = await call(socketPath, 'POST', '/v1/entries', { json });
    assert.equal(status, 400);
    assert.match(headers['content-type']!, /^application\/problem\+json/);
    assert.equal(body.code, 'ERR_BAD_INPUT');
    const paths = body.errors.map(({ path }: { path: string }) => path).sort();
    assert.deepEqual(paths, ['/entries/1/colour', '/entries/1/hint', '/entries/2/selectors', '/entries/2/spiffe_id']);
    for (const error of body.errors) assert.deepEqual(Object.keys(error).sort(), ['path', 'problem', 'rule']);
    assert.equal(registry.size, 0);
  });

  test('answers 409 with the entry that is the same, and makes none of the batch', async (t) => {
    const { socketPath, registry } = await startAdmin(t);
    const { body: first } = await call(socketPath, 'POST', '/v1/entries', { json: entry('a') });
    const json = { entries: [entry('b'), entry('a', { hint: 'other' })] };
    const { status, body } = await call(socketPath, 'POST', '/v1/entries', { json });
    assert.equal(status, 409);
    assert.equal(body.code, 'ERR_ENTRY_EXISTS');
    assert.deepEqual(body.entry, first);
    assert.equal(registry.size, 1);
  });

  for (const [what, json] of [
    ['no entry at all', { entries: [] }],
    ['a member beside entries', { entries: [entry('a')], dry_run: true }],
    ['a list', [entry('a')]],
    ['null', null],
  ] as const) {
    test(`refuses ${what} with 400`, async (t) => {
      const { socketPath, registry } = await startAdmin(t);
      const { status, body } = await call(socketPath, 'POST', '/v1/entries', { json });
      assert.equal(status, 400);
      assert.equal(body.code, 'ERR_BAD_INPUT');
      assert.equal(body.errors.length, 1);
      assert.equal(registry.size, 0);
    });
  }

  test('takes 2,000 entries in one body', async (t) => {
    const { socketPath } = await startAdmin(t);
    const entries = Array.from({ length: 2_000 }, (_, n) =>
      entry(`service-${n}`, { dns_names: [`service-${n}.example`] }),
    );
    const { status, body } = await call(socketPath, 'POST', '/v1/entries', { json: { entries } });
    assert.equal(status, 201);
    assert.equal(body.entries.length, 2_000);
  });
});

describe('warnings', () => {
  const start = async (t: TestContext) => {
    const log: Record<string, unknown>[] = [];
    const warningsOf = createWarningsOf({
      isLocal: () => true,
      whyNoPlaceholder: () => undefined,
      whyNever: ({ type }) => (type === 'docker' ? 'no docker attestor runs here' : undefined),
      longestSvidTtl: 43_200,
      longestJwtTtl: 28_800,
      federatedBundles: { get: () => undefined },
      now: () => 0,
    });
    const write = (line: string) => void log.push(JSON.parse(line));
    return { ...(await startAdmin(t, { warningsOf, log: createLog('warn', { write }) })), log };
  };
  const problem = 'no caller has docker:label:a:b: no docker attestor runs here';

  test('of one entry are in the answer, and in the log with its id', async (t) => {
    const { socketPath, log } = await start(t);
    const json = entry('web', { id: 'web-1', selectors: ['docker:label:a:b'] });
    const { status, body } = await call(socketPath, 'POST', '/v1/entries', { json });
    assert.equal(status, 201);
    const [warning, ...rest] = body.warnings;
    assert.deepEqual([warning.path, warning.problem, rest], ['/selectors', problem, []]);
    assert.deepEqual(
      log.map(({ entry_id, spiffe_id, path }) => [entry_id, spiffe_id, path]),
      [['web-1', 'spiffe://ilinux.io/web', '/selectors']],
    );
    const changed = await call(socketPath, 'PATCH', '/v1/entries/web-1', { json: { x509_svid_ttl: '48h' } });
    assert.deepEqual(
      changed.body.warnings.map(({ path }: { path: string }) => path),
      ['/selectors', '/x509_svid_ttl'],
    );
    assert.ok(Value.Check(MADE_ENTRY, changed.body));
  });

  test('of several entries name the position of each, and its id in the log', async (t) => {
    const { socketPath, log } = await start(t);
    const json = { entries: [entry('a'), entry('b', { id: 'b-1', selectors: ['docker:label:a:b'] })] };
    const made = await call(socketPath, 'POST', '/v1/entries', { json });
    assert.deepEqual(
      made.body.warnings.map(({ path }: { path: string }) => path),
      ['/entries/1/selectors'],
    );
    assert.deepEqual(
      log.map(({ entry_id }) => entry_id),
      ['b-1'],
    );
    const declared = { source: 'ci', entries: [entry('c'), entry('d', { selectors: ['docker:label:a:b'] })] };
    const put = await call(socketPath, 'PUT', '/v1/entries', { json: declared });
    assert.equal(put.body.warnings[0].path, '/entries/1/selectors');
    assert.equal(log[1]!.entry_id, put.body.created[1].id);
  });

  test('say of a change to an entry that something else declares that the declaration will undo it', async (t) => {
    const { socketPath } = await start(t);
    const declared = { source: 'ci', entries: [entry('a', { id: 'a-1' })] };
    await call(socketPath, 'PUT', '/v1/entries', { json: declared });
    const { body } = await call(socketPath, 'PATCH', '/v1/entries/a-1', { json: { hint: 'x' } });
    assert.match(body.warnings[0].problem, /entry a-1 is declared by the source ci, which will undo the change/);
  });
});

describe('GET /v1/entries', () => {
  test('walks through all entries by cursor, each once', async (t) => {
    const { socketPath, clock } = await startAdmin(t);
    for (let n = 0; n < 7; n += 1) {
      await call(socketPath, 'POST', '/v1/entries', { json: entry(`e${n}`) });
      clock.advance(1_000);
    }
    const seen: string[] = [];
    let cursor = '';
    let pages = 0;
    do {
      const { status, body } = await call(socketPath, 'GET', `/v1/entries?limit=3&cursor=${cursor}`);
      assert.equal(status, 200);
      assert.match(body.next_cursor, /^[\w-]*$/, 'a cursor stands in a URL as it is');
      seen.push(...(ids(body.entries) as string[]));
      cursor = body.next_cursor;
      pages += 1;
    } while (cursor !== '');
    assert.deepEqual(seen, ['e0', 'e1', 'e2', 'e3', 'e4', 'e5', 'e6']);
    assert.equal(pages, 3);
  });

  test('gives 100 at a time unless told otherwise', async (t) => {
    const { socketPath } = await startAdmin(t);
    const entries = Array.from({ length: 101 }, (_, n) => entry(`e${n}`));
    await call(socketPath, 'POST', '/v1/entries', { json: { entries } });
    const { body } = await call(socketPath, 'GET', '/v1/entries');
    assert.equal(body.entries.length, 100);
    assert.notEqual(body.next_cursor, '');
    const all = await call(socketPath, 'GET', '/v1/entries?limit=1000');
    assert.equal(all.body.entries.length, 101);
    assert.equal(all.body.next_cursor, '');
  });

  test('filters by SPIFFE ID, by hint, and by every selector that is given', async (t) => {
    const { socketPath } = await startAdmin(t);
    const both = ['uid:1', 'gid:1'].map((value) => ({ type: 'unix', value }));
    await call(socketPath, 'POST', '/v1/entries', {
      json: { entries: [entry('one'), entry('two', { selectors: both, hint: 'a hint' })] },
    });
    const list = async (query: string) => ids((await call(socketPath, 'GET', `/v1/entries?${query}`)).body.entries);
    assert.deepEqual(await list('spiffe_id=spiffe://ilinux.io/one'), ['one']);
    assert.deepEqual(await list('hint=a%20hint'), ['two']);
    assert.deepEqual(await list('selector=unix:uid:1'), ['two']);
    assert.deepEqual(await list('selector=unix:uid:1&selector=unix:gid:1'), ['two']);
    assert.deepEqual(await list('selector=unix:uid:1&selector=unix:uid:1000'), []);
    assert.deepEqual(await list('spiffe_id=spiffe://ilinux.io/none'), []);
  });

  test('searches ids, SPIFFE IDs, hints, selectors and DNS names for a text in any case, and filters by source', async (t) => {
    const { socketPath } = await startAdmin(t);
    const user = [{ type: 'unix', value: 'user:Alice' }];
    await call(socketPath, 'POST', '/v1/entries', {
      json: {
        entries: [
          entry('one', { id: 'Payments-1' }),
          entry('two', { selectors: user, hint: 'External' }),
          entry('three', { dns_names: ['web.example'] }),
        ],
      },
    });
    await call(socketPath, 'PUT', '/v1/entries', { json: { source: 'ci', entries: [entry('four')] } });
    const list = async (query: string) =>
      ids((await call(socketPath, 'GET', `/v1/entries?${query}`)).body.entries).toSorted();
    assert.deepEqual(await list('search=payments'), ['one']);
    assert.deepEqual(await list('search=.IO/T'), ['three', 'two']);
    assert.deepEqual(await list('search=user:alice'), ['two']);
    assert.deepEqual(await list('search=external'), ['two']);
    assert.deepEqual(await list('search=WEB.EX'), ['three']);
    assert.deepEqual(await list('search=nothing'), []);
    assert.deepEqual(await list('search='), ['four', 'one', 'three', 'two']);
    assert.deepEqual(await list('source=ci'), ['four']);
    assert.deepEqual(await list('source=api&search=one'), ['one']);
  });

  for (const [query, path] of [
    ['limit=0', '?limit'],
    ['limit=1001', '?limit'],
    ['limit=ten', '?limit'],
    ['limit=1.5', '?limit'],
    ['limit=', '?limit'],
    ['limit=1&limit=2', '?limit'],
    ['hint=a&hint=b', '?hint'],
    [`search=${'a'.repeat(301)}`, '?search'],
    ['colour=red', '?colour'],
    ['__proto__=x', '?__proto__'],
    ['selector=nocolon', '?selector'],
    ['spiffe_id=spiffe://ILINUX.io/a', '?spiffe_id'],
    ['cursor=nonsense', '?cursor'],
  ] as const) {
    test(`refuses ${query} with 400 and says where`, async (t) => {
      const { socketPath } = await startAdmin(t);
      const { status, body } = await call(socketPath, 'GET', `/v1/entries?${query}`);
      assert.equal(status, 400);
      assert.deepEqual(
        body.errors.map((error: { path: string }) => error.path),
        [path],
      );
    });
  }
});

describe('a parameter that is not known', () => {
  const none = 'this request has no parameters';
  for (const [method, url, json, rule] of [
    ['POST', '/v1/entries?dry_run=true', entry('new'), none],
    ['PATCH', '/v1/entries/a-1?dry_run=true', { hint: 'new' }, none],
    ['DELETE', '/v1/entries/a-1?dry_run=true', undefined, 'the parameters are revoke, wait'],
    ['GET', '/v1/entries/a-1?dry_run=true', undefined, none],
    ['GET', '/v1/bundle?dry_run=true', undefined, 'the parameters are lists'],
    ['GET', '/readyz?dry_run=true', undefined, none],
  ] as const) {
    test(`is refused by ${method} ${url}, and nothing is done`, async (t) => {
      const { socketPath, registry } = await startAdmin(t);
      await call(socketPath, 'POST', '/v1/entries', { json: entry('a', { id: 'a-1' }) });
      const { status, body } = await call(socketPath, method, url, { json });
      assert.equal(status, 400);
      const problem = 'there is no such parameter';
      assert.deepEqual(body.errors, [{ path: '?dry_run', problem, rule }]);
      assert.equal(registry.size, 1);
      assert.equal(registry.get('a-1')!.revisionNumber, 1);
    });
  }

  test('is refused with the one that is nearest', async (t) => {
    const { socketPath } = await startAdmin(t);
    const { body } = await call(socketPath, 'GET', '/v1/entries?selektor=unix:uid:1&limits=1&colour=red');
    assert.deepEqual(
      body.errors.map(({ problem }: { problem: string }) => /did you mean (\w+)\?/.exec(problem)?.[1]),
      ['selector', 'limit', undefined],
    );
  });
});

describe('one entry', () => {
  test('is shown, changed and deleted by its id', async (t) => {
    const { socketPath } = await startAdmin(t);
    const { body: made } = await call(socketPath, 'POST', '/v1/entries', { json: entry('a', { hint: 'old' }) });
    const url = `/v1/entries/${made.id}`;
    assert.deepEqual((await call(socketPath, 'GET', url)).body, made);

    const changed = await call(socketPath, 'PATCH', url, { json: { hint: 'new' } });
    assert.equal(changed.status, 200);
    assert.deepEqual(changed.body, { ...made, hint: 'new', revision_number: 2 });
    assert.equal(changed.headers.etag, '"2"');

    const deleted = await call(socketPath, 'DELETE', url, { headers: { 'content-type': 'application/json' } });
    assert.equal(deleted.status, 204);
    assert.equal(deleted.text, '');
    for (const method of ['GET', 'DELETE']) {
      const { status, body } = await call(socketPath, method, url);
      assert.equal(status, 404);
      assert.equal(body.code, 'ERR_NOT_FOUND');
    }
  });

  test('is not found by an id that no entry can have', async (t) => {
    const { socketPath } = await startAdmin(t);
    for (const id of ['%2F..%2F', 'x'.repeat(256), '%00']) {
      const { status, body } = await call(socketPath, 'GET', `/v1/entries/${id}`);
      assert.equal(status, 404);
      assert.equal(body.code, 'ERR_NOT_FOUND');
    }
  });

  test('given back as it was read stays as it is', async (t) => {
    const { socketPath } = await startAdmin(t);
    const { body: made } = await call(socketPath, 'POST', '/v1/entries', { json: entry('a') });
    const { status, body } = await call(socketPath, 'PATCH', `/v1/entries/${made.id}`, { json: made });
    assert.equal(status, 200);
    assert.deepEqual(body, made);
  });

  test('a change without a body is refused, by the rule of a change', async (t) => {
    const { socketPath } = await startAdmin(t);
    const { body: made } = await call(socketPath, 'POST', '/v1/entries', { json: entry('a') });
    const { status, body } = await call(socketPath, 'PATCH', `/v1/entries/${made.id}`);
    assert.equal(status, 400);
    assert.deepEqual(body.errors, [
      { path: '', problem: 'it is missing', rule: 'a change is an object with the fields to change' },
    ]);
  });

  test('a change that breaks a rule is refused and changes nothing', async (t) => {
    const { socketPath, registry } = await startAdmin(t);
    const { body: made } = await call(socketPath, 'POST', '/v1/entries', { json: entry('a') });
    const json = { hint: 'new', selectors: [], id: 'other', colour: 1 };
    const { status, body } = await call(socketPath, 'PATCH', `/v1/entries/${made.id}`, { json });
    assert.equal(status, 400);
    const paths = body.errors.map((error: { path: string }) => error.path).sort();
    assert.deepEqual(paths, ['/colour', '/id', '/selectors']);
    assert.equal(registry.get(made.id)!.hint, '');
  });
});

describe('If-Match', () => {
  test('lets one of two writers win and tells the other with 412', async (t) => {
    const { socketPath, registry } = await startAdmin(t);
    const { body: made } = await call(socketPath, 'POST', '/v1/entries', { json: entry('a') });
    const writers = ['one', 'two', 'three', 'four'].map((hint) =>
      call(socketPath, 'PATCH', `/v1/entries/${made.id}`, { json: { hint }, headers: { 'if-match': '1' } }),
    );
    const answers = await Promise.all(writers);
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 412, 412, 412]);
    const winner = answers.find(({ status }) => status === 200)!;
    assert.equal(registry.get(made.id)!.hint, winner.body.hint);
    assert.equal(registry.get(made.id)!.revisionNumber, 2);
    for (const { status, body } of answers) if (status === 412) assert.equal(body.code, 'ERR_REVISION');
  });

  test('holds for DELETE too, and takes a revision as it is or as an ETag', async (t) => {
    const { socketPath } = await startAdmin(t);
    const { body: made } = await call(socketPath, 'POST', '/v1/entries', { json: entry('a') });
    const remove = (revision: string) =>
      call(socketPath, 'DELETE', `/v1/entries/${made.id}`, { headers: { 'if-match': revision } });
    assert.equal((await remove('2')).status, 412);
    assert.equal((await remove('"2"')).status, 412);
    assert.equal((await remove('"1"')).status, 204);
  });

  for (const header of ['abc', '-1', '1.0', 'W/"1"', '"1', '1, 2', '99999999999999999999']) {
    test(`refuses ${header} with 400 and changes nothing`, async (t) => {
      const { socketPath, registry } = await startAdmin(t);
      const { body: made } = await call(socketPath, 'POST', '/v1/entries', { json: entry('a') });
      for (const method of ['PATCH', 'DELETE']) {
        const { status, body } = await call(socketPath, method, `/v1/entries/${made.id}`, {
          headers: { 'if-match': header },
          json: { hint: 'new' },
        });
        assert.equal(status, 400);
        assert.equal(body.errors[0].path, 'If-Match');
      }
      assert.equal(registry.get(made.id)!.hint, '');
    });
  }
});

describe('PUT /v1/entries', () => {
  test('makes the entries of a source equal to the list, and leaves others alone', async (t) => {
    const { socketPath, registry } = await startAdmin(t);
    await call(socketPath, 'POST', '/v1/entries', { json: entry('by-hand') });
    const put = (names: Record<string, unknown>[], query = '') =>
      call(socketPath, 'PUT', `/v1/entries${query}`, { json: { source: 'ci', entries: names } });
    await put([entry('a'), entry('b'), entry('c')]);
    const wanted = [entry('a'), entry('b', { hint: 'new' }), entry('d')];
    for (const query of ['?dry_run=true', '']) {
      const { status, body } = await put(wanted, query);
      assert.equal(status, 200);
      assert.deepEqual(ids(body.created), ['d']);
      assert.deepEqual(ids(body.changed), ['b']);
      assert.deepEqual(ids(body.deleted), ['c']);
      assert.deepEqual(ids(body.kept), ['a']);
    }
    const { entries } = registry.list({ limit: 10 });
    assert.deepEqual(ids(entries.map(({ spiffeId }) => ({ spiffe_id: spiffeId }))).sort(), ['a', 'b', 'by-hand', 'd']);
    const { body } = await put([]);
    assert.deepEqual(ids(body.deleted).sort(), ['a', 'b', 'd']);
    assert.equal(registry.size, 1);
  });

  test('does nothing in a dry run', async (t) => {
    const { socketPath, registry } = await startAdmin(t);
    const json = { source: 'ci', entries: [entry('a')] };
    await call(socketPath, 'PUT', '/v1/entries?dry_run=true', { json });
    assert.equal(registry.size, 0);
  });

  for (const [what, json, path] of [
    ['no source', { entries: [] }, '/source'],
    ['the source of single entries', { source: 'api', entries: [] }, '/source'],
    ['the source of the file', { source: 'file', entries: [] }, '/source'],
    ['no list', { source: 'ci' }, '/entries'],
    ['another member', { source: 'ci', entries: [], prune: true }, '/prune'],
  ] as const) {
    test(`refuses ${what} with 400`, async (t) => {
      const { socketPath } = await startAdmin(t);
      const { status, body } = await call(socketPath, 'PUT', '/v1/entries', { json });
      assert.equal(status, 400);
      assert.equal(body.errors[0].path, path);
    });
  }
});

describe('the schema of entries', () => {
  const rules = { trustDomain: TRUST_DOMAIN, allowWeakSelectors: false };
  const SAMPLES: Readonly<Record<string, unknown>> = {
    ...entry('a'),
    parent_id: 'spiffe://ilinux.io/spire/agent',
    dns_names: [],
    federates_with: [],
    allow_contained: true,
    additional_attributes: {},
    expires_at: 0,
    entryExpiry: 0,
    admin: false,
    downstream: false,
    store_svid: false,
    x509_svid_ttl: 0,
    x509_svid_key_type: null,
    jwt_svid_ttl: 0,
  };

  test('has for input exactly the members that the registry reads', () => {
    for (const name of Object.keys(ENTRY_INPUT.properties)) {
      const value = Object.hasOwn(SAMPLES, name) ? SAMPLES[name] : 'x';
      parseEntryPatch({ [name]: value }, rules, 'x');
    }
    assert.deepEqual(Object.keys(ENTRY_PATCH.properties).sort(), Object.keys(ENTRY_INPUT.properties).sort());
    assert.deepEqual([...(ENTRY_INPUT.required as unknown as string[])].sort(), ['selectors', 'spiffe_id']);
    parseEntryInput(entry('a'), rules);
  });

  test('takes selectors as one text too, and shows them in two', async (t) => {
    const { socketPath } = await startAdmin(t);
    const json = entry('a', { selectors: ['unix:uid:1'] });
    const { status, body } = await call(socketPath, 'POST', '/v1/entries', { json });
    assert.equal(status, 201);
    assert.ok(Value.Check(ENTRY_INPUT, json));
    assert.ok(!Value.Check(ENTRY_INPUT, entry('a', { selectors: ['nocolon'] })));
    assert.ok(Value.Check(ENTRY.properties.selectors!, body.selectors));
    assert.ok(!Value.Check(ENTRY.properties.selectors!, ['unix:uid:1']));
  });

  test('has for problems what a conflict and a late change add', async (t) => {
    const { socketPath } = await startAdmin(t);
    const { body: made } = await call(socketPath, 'POST', '/v1/entries', { json: entry('a', { id: 'a-1' }) });
    const taken = [entry('b'), entry('c', { id: made.id })];
    const conflict = await call(socketPath, 'POST', '/v1/entries', { json: { entries: taken } });
    assert.equal(conflict.status, 409);
    assert.equal(conflict.body.title, 'An entry that is the same, or has the same id, exists');
    assert.equal(conflict.body.index, 1);
    const headers = { 'if-match': '7' };
    const late = await call(socketPath, 'DELETE', '/v1/entries/a-1', { headers });
    assert.equal(late.body.revision_number, 1);
    for (const { body } of [conflict, late]) {
      for (const name of Object.keys(body)) assert.ok(Object.hasOwn(PROBLEM.properties, name), name);
    }
  });

  test('has for output exactly the members that entries are shown with', async (t) => {
    const { socketPath } = await startAdmin(t);
    const { body } = await call(socketPath, 'POST', '/v1/entries', { json: entry('a') });
    assert.deepEqual(Object.keys(body).sort(), Object.keys(ENTRY.properties).sort());
    assert.deepEqual(ENTRY.required.toSorted(), Object.keys(ENTRY.properties).sort());
  });
});

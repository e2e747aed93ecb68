/** The audit over the admin API: a row for every change and refusal, its pages, and its export. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { get } from 'node:http';
import { describe, type TestContext, test } from 'node:test';
import { MAX_EXPORTS } from '../../src/admin/audit.ts';
import { SERVER } from '../../src/audit/actor.ts';
import { type Refusal, Refusals } from '../../src/audit/refusals.ts';
import { ChainVerifier } from '../../src/audit/verifier.ts';
import type { IssuanceRecord } from '../../src/base/issuance.ts';
import { SILENT } from '../registry/support.ts';
import { makeCertificate } from '../support/certificates.ts';
import { TestClock } from '../support/clock.ts';
import { call, entry, NO_CA, PEM, startAdmin, TOKEN } from './support.ts';

const WEB = 'spiffe://ilinux.io/web';
const root = await makeCertificate({ name: 'other' });
const UNIX = { kind: 'unix', uid: process.getuid!(), pid: process.pid };

// biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely
type Row = any;

async function rowsOf(socketPath: string, query = ''): Promise<Row[]> {
  const { status, body, text } = await call(socketPath, 'GET', `/v1/audit?order=oldest&limit=1000${query}`);
  assert.equal(status, 200, text);
  return body.rows;
}

function issuance(number: number, spiffeId = WEB): IssuanceRecord {
  const serial = number.toString(16).padStart(8, '0');
  return {
    kind: 'x509',
    serial,
    spiffeId,
    entryId: `entry-${number % 7}`,
    authorityId: 'ab',
    notBefore: 0,
    notAfter: 9e12,
    issuedAt: number,
  };
}

/** Nothing answers there. */
const RELATIONSHIP = {
  trust_domain: 'other.example',
  bundle_endpoint_url: 'https://127.0.0.1:1/',
  bundle_endpoint_profile: 'https_web',
};

/** Each request that changes something, and what its rows say. */
const CHANGES: Readonly<Record<string, (ask: Asks) => Promise<Partial<Row>[]>>> = {
  'POST /v1/entries': async ({ ask }) => {
    const { body } = await ask('POST', '/v1/entries', entry('web'));
    return [{ action: 'entry.created', target: body.id, spiffe_id: WEB, before: undefined, after: body }];
  },
  'PUT /v1/entries': async ({ ask }) => {
    const set = (...names: string[]) =>
      ask('PUT', '/v1/entries', { source: 'ci', entries: names.map((name) => entry(name)) });
    const first = await set('a', 'b');
    const second = await set('b', 'c');
    await ask('PUT', '/v1/entries?dry_run=true', { source: 'ci', entries: [] });
    return [
      ...first.body.created.map((after: Row) => ({ action: 'entry.created', target: after.id, after })),
      { action: 'entry.deleted', target: second.body.deleted[0].id, before: second.body.deleted[0], after: undefined },
      { action: 'entry.created', after: second.body.created[0] },
    ];
  },
  'PATCH /v1/entries/{id}': async ({ ask }) => {
    const { body: before } = await ask('POST', '/v1/entries', entry('web'));
    const { body: after } = await ask('PATCH', `/v1/entries/${before.id}`, { hint: 'h' });
    await ask('PATCH', `/v1/entries/${before.id}`, { hint: 'h' });
    return [{ action: 'entry.created' }, { action: 'entry.changed', target: before.id, before, after }];
  },
  'DELETE /v1/entries/{id}': async ({ ask }) => {
    const { body: before } = await ask('POST', '/v1/entries', entry('web'));
    await ask('DELETE', `/v1/entries/${before.id}`);
    return [{ action: 'entry.created' }, { action: 'entry.deleted', target: before.id, before, after: undefined }];
  },
  'PUT /v1/aliases/{host}': async ({ ask }) => {
    await ask('PUT', '/v1/aliases/Web.example', { spiffe_id: WEB });
    await ask('PUT', '/v1/aliases/web.example', { spiffe_id: WEB });
    await ask('PUT', '/v1/aliases/web.example', { spiffe_id: `${WEB}2` });
    const shown = (spiffe_id: string) => ({ host: 'web.example', spiffe_id });
    return [
      { action: 'alias.created', target: 'web.example', spiffe_id: WEB, before: undefined, after: shown(WEB) },
      { action: 'alias.changed', target: 'web.example', before: shown(WEB), after: shown(`${WEB}2`) },
    ];
  },
  'DELETE /v1/aliases/{host}': async ({ ask }) => {
    await ask('PUT', '/v1/aliases/web.example', { spiffe_id: WEB });
    await ask('DELETE', '/v1/aliases/web.example');
    return [{ action: 'alias.created' }, { action: 'alias.deleted', before: { host: 'web.example', spiffe_id: WEB } }];
  },
  'PUT /v1/bundles/{trust_domain}': async ({ pem }) => {
    await pem();
    return [{ action: 'bundle.created', target: 'other.example', after: bundleShown(1) }];
  },
  'DELETE /v1/bundles/{trust_domain}': async ({ ask, pem }) => {
    await pem();
    await ask('DELETE', '/v1/bundles/other.example');
    return [{ action: 'bundle.created' }, { action: 'bundle.deleted', before: bundleShown(1), after: undefined }];
  },
  'POST /v1/federation': async ({ ask }) => {
    const secret = { ...RELATIONSHIP, bundle_endpoint_url: `${RELATIONSHIP.bundle_endpoint_url}?key=hush` };
    await ask('POST', '/v1/federation', secret);
    const bundle_endpoint_url = `${RELATIONSHIP.bundle_endpoint_url}?…`;
    const after = { ...RELATIONSHIP, bundle_endpoint_url, endpoint_spiffe_id: null, endpoint_ca: null };
    return [{ action: 'relationship.created', target: 'other.example', before: undefined, after }];
  },
  'PUT /v1/federation/{trust_domain}': async ({ ask }) => {
    const url = '/v1/federation/other.example';
    const changed = { ...RELATIONSHIP, bundle_endpoint_url: 'https://127.0.0.1:1/b' };
    await ask('PUT', url, RELATIONSHIP);
    await ask('PUT', url, RELATIONSHIP);
    await ask('PUT', `${url}?dry_run=true`, changed);
    await ask('PUT', url, changed);
    return [{ action: 'relationship.created' }, { action: 'relationship.changed', target: 'other.example' }];
  },
  'DELETE /v1/federation/{trust_domain}': async ({ ask, pem }) => {
    await pem();
    await ask('POST', '/v1/federation', RELATIONSHIP);
    await ask('DELETE', '/v1/federation/other.example');
    return [
      { action: 'bundle.created' },
      { action: 'relationship.created' },
      { action: 'relationship.deleted', target: 'other.example', after: undefined },
      { action: 'bundle.deleted', target: 'other.example' },
    ];
  },
  'POST /v1/tokens': async ({ ask }) => {
    const { body } = await ask('POST', '/v1/tokens', { name: 'ci', role: 'entries' });
    return [{ action: 'token.created', target: 'ci', before: undefined, after: tokenShown(body) }];
  },
  'DELETE /v1/tokens/{name}': async ({ ask }) => {
    const { body } = await ask('POST', '/v1/tokens', { name: 'ci', role: 'read', expires_at: '2099-01-01T00:00:00Z' });
    await ask('DELETE', '/v1/tokens/ci');
    return [
      { action: 'token.created' },
      { action: 'token.deleted', target: 'ci', before: tokenShown(body), after: undefined },
    ];
  },
  'POST /v1/agents/tokens': async ({ ask }) => {
    const { body } = await ask('POST', '/v1/agents/tokens', { ttl: 60, spiffe_id: WEB });
    const target = body.agent_id.split('/').at(-1);
    const after = { alias: WEB, expires_at: body.expires_at };
    return [{ action: 'agent.token_created', target, before: undefined, after }];
  },
  'PUT /v1/log-level': async ({ ask }) => {
    await ask('PUT', '/v1/log-level', { level: 'debug' });
    await ask('PUT', '/v1/log-level', { level: 'info' });
    return [{ action: 'log_level.changed', before: { level: 'info' }, after: { level: 'debug' } }];
  },
};

/** Without text and hash. */
function tokenShown({ name, role, created_at, expires_at }: Row) {
  return { name, role, created_at, expires_at };
}

/** Their rows are written by the authority: `test/ca/audit.test.ts`. */
const OF_AUTHORITIES = [
  'DELETE /v1/ca/carried/{id}',
  ...['POST /v1/ca/carried', 'POST /v1/ca/import', 'POST /v1/ca/rotate', 'POST /v1/ca/{id}/taint'],
];
/** `revocations.test.ts` has their rows. */
const OF_REVOCATIONS = ['DELETE /v1/revocations/{serial}', 'POST /v1/revocations'];
/** `page-sessions.test.ts` has their rows. */
const OF_PAGE = [
  ...['POST /v1/page/links', 'POST /v1/page/session'],
  ...['DELETE /v1/page/session', 'DELETE /v1/page/sessions/{id}'],
];
/** `agents.test.ts` has their rows. */
const OF_AGENTS = ['DELETE /v1/agents/{id}', 'POST /v1/agents/{id}/ban'];
/** Keys leave by it, over the Unix socket alone. */
const BACKUP = 'POST /v1/backup';
/** They change nothing. */
const HARMLESS: readonly string[] = [
  'POST /v1/federation/{trust_domain}/refresh',
  'POST /v1/explain',
  'POST /v1/entries/preview',
];

function bundleShown(sequence: number) {
  const fingerprint = createHash('sha256').update(root.der).digest('hex');
  return {
    ...{ trust_domain: 'other.example', source: 'manual', spiffe_sequence: sequence, spiffe_refresh_hint: null },
    ...{ x509_authorities: [fingerprint], jwt_authorities: [] },
  };
}

interface Asks {
  ask(method: string, url: string, json?: unknown): ReturnType<typeof call>;
  /** Sets the bundle of other.example. */
  pem(): Promise<unknown>;
}

async function start(t: TestContext) {
  const clock = new TestClock();
  const noted: Refusal[] = [];
  const running = await startAdmin(t, { onRefused: (refusal) => void noted.push(refusal) });
  const asks = (where: string | number): Asks => {
    const headers = typeof where === 'number' ? { authorization: `Bearer ${TOKEN}` } : {};
    const done = async (asked: ReturnType<typeof call>) => {
      const answer = await asked;
      assert.ok(answer.status < 300, answer.text);
      return answer;
    };
    return {
      ask: (method, url, json) => done(call(where, method, url, json === undefined ? { headers } : { headers, json })),
      pem: () =>
        done(
          call(where, 'PUT', '/v1/bundles/other.example', {
            raw: root.pem,
            headers: { ...headers, 'content-type': 'application/x-pem-file' },
          }),
        ),
    };
  };
  return { ...running, clock, noted, asks };
}

describe('the audit', () => {
  for (const [request, change] of Object.entries(CHANGES)) {
    test(`has the rows of ${request}, with the caller, before and after`, async (t) => {
      for (const door of ['unix', 'tcp'] as const) {
        const { socketPath, tcp, asks } = await start(t);
        const expected = await change(asks(door === 'unix' ? socketPath : tcp.port));
        const [first, ...rows] = await rowsOf(socketPath);
        assert.equal(first.action, 'audit.started');
        assert.equal(rows.length, expected.length, JSON.stringify(rows));
        for (const [at, row] of rows.entries()) {
          const [actor, source] =
            door === 'unix'
              ? [UNIX, 'unix socket']
              : [{ kind: 'token', name: 'admin.token', role: 'admin', address: '127.0.0.1' }, 'tcp 127.0.0.1'];
          assert.deepEqual([row.actor, row.source], [actor, source]);
          for (const [name, value] of Object.entries(expected[at]!)) assert.deepEqual(row[name], value, name);
        }
      }
    });
  }

  test('knows every request that changes something', async (t) => {
    const { socketPath } = await start(t);
    const { body } = await call(socketPath, 'GET', '/openapi.json');
    const changing = Object.entries(body.paths as Record<string, object>).flatMap(([path, methods]) =>
      Object.keys(methods).flatMap((method) => (method === 'get' ? [] : [`${method.toUpperCase()} ${path}`])),
    );
    assert.deepEqual(
      changing.filter((one) => !HARMLESS.includes(one)).toSorted(),
      [...Object.keys(CHANGES), ...OF_AUTHORITIES, ...OF_REVOCATIONS, ...OF_AGENTS, ...OF_PAGE, BACKUP].toSorted(),
    );
  });

  test(`has the row of ${BACKUP}`, async (t) => {
    const { socketPath } = await startAdmin(t, { backup: async () => (async function* () {})() });
    assert.equal((await call(socketPath, 'POST', '/v1/backup')).status, 200);
    const [row] = await rowsOf(socketPath, '&action=backup');
    assert.deepEqual([row.action, row.actor], ['backup.asked', UNIX]);
  });

  test('gives the actor to the authority', async (t) => {
    const asked: unknown[] = [];
    const bundle = () => ({ pem: Buffer.from(PEM), authoritiesPem: Buffer.from(PEM) }) as never;
    const { socketPath } = await startAdmin(t, {
      ca: {
        ...{ ...NO_CA, bundle },
        rotate: async (role, by) => void asked.push([role, by]),
        taint: async (id, by) => void asked.push([id, by]),
        import: async (text, by) => void asked.push([text, by]),
        carry: async (text, end, by) => void asked.push([text, end, by]),
        drop: async (id, by) => void asked.push([id, by]),
      },
    });
    await call(socketPath, 'POST', '/v1/ca/rotate', { json: { role: 'root' } });
    await call(socketPath, 'POST', '/v1/ca/ab/taint');
    await call(socketPath, 'POST', '/v1/ca/import', { json: { certificates: 'x' } });
    const until = new Date(1_900_000_000_000).toISOString();
    await call(socketPath, 'POST', '/v1/ca/carried', { json: { certificates: 'y', until } });
    await call(socketPath, 'DELETE', '/v1/ca/carried/cd');
    assert.deepEqual(asked, [
      ['root', UNIX],
      ['ab', UNIX],
      ['x', UNIX],
      ['y', 1_900_000_000_000, UNIX],
      ['cd', UNIX],
    ]);
  });

  test('has no row of a change that is refused, and no secret', async (t) => {
    const { socketPath, asks, noted, tcp } = await start(t);
    const { ask } = asks(socketPath);
    const secret = [{ type: 'docker', value: 'env:KEY=hunter2' }];
    const { body } = await ask('POST', '/v1/entries', { ...entry('web'), selectors: secret });
    const refused: [number, string, Promise<{ status: number }>][] = [
      [
        409,
        'POST /v1/entries',
        call(socketPath, 'POST', '/v1/entries', { json: { ...entry('web'), selectors: secret } }),
      ],
      [400, 'POST /v1/entries', call(socketPath, 'POST', '/v1/entries', { json: { spiffe_id: 'x' } })],
      [
        412,
        'PATCH /v1/entries/:id',
        call(socketPath, 'PATCH', `/v1/entries/${body.id}`, { json: { hint: 'x' }, headers: { 'if-match': '"9"' } }),
      ],
      [401, 'GET /v1/entries', call(tcp.port, 'GET', '/v1/entries')],
      [
        401,
        'DELETE /v1/entries/:id',
        call(tcp.port, 'DELETE', '/v1/entries/hunter2', { headers: { authorization: 'Bearer hunter2' } }),
      ],
      [403, 'GET /v1/entries', call(tcp.port, 'GET', '/v1/entries', { headers: { host: 'hunter2.example' } })],
      [401, 'GET (no such path)', call(tcp.port, 'GET', '/hunter2')],
    ];
    for (const [status, , answer] of refused) assert.equal((await answer).status, status);
    assert.equal((await call(socketPath, 'GET', '/v1/entries?limit=0')).status, 400);
    assert.equal((await call(socketPath, 'DELETE', '/v1/entries/none')).status, 404);
    const byWhat = (list: readonly { what?: string }[]) => list.map(({ what }) => String(what)).toSorted();
    assert.deepEqual(byWhat(noted), byWhat(refused.map(([, what]) => ({ what }))));
    const stranger = { kind: 'stranger', address: '127.0.0.1' };
    for (const { by, what, code } of noted) {
      assert.deepEqual(by, code.startsWith('ERR_UNAUTH') || code === 'ERR_FORBIDDEN_HOST' ? stranger : UNIX, what);
    }
    const { text } = await call(socketPath, 'GET', '/v1/audit');
    assert.equal(JSON.parse(text).rows.length, 2);
    assert.doesNotMatch(text + JSON.stringify(noted), /hunter2/);
    assert.match(text, /env:KEY=\[redacted\]/);
  });

  test('names the token and its role, of a change and of what its role does not allow', async (t) => {
    const { socketPath, asks, noted, tcp } = await start(t);
    const { body } = await asks(socketPath).ask('POST', '/v1/tokens', { name: 'ci', role: 'entries' });
    const headers = { authorization: `Bearer ${body.token}` };
    assert.equal((await call(tcp.port, 'POST', '/v1/entries', { headers, json: entry('web') })).status, 201);
    assert.equal((await call(tcp.port, 'GET', '/v1/audit', { headers })).status, 403);
    const ci = { kind: 'token', name: 'ci', role: 'entries', address: '127.0.0.1' };
    const { text } = await call(socketPath, 'GET', '/v1/audit?actor=token:ci');
    assert.deepEqual(
      JSON.parse(text).rows.map(({ action, actor }: Row) => [action, actor]),
      [['entry.created', ci]],
    );
    assert.deepEqual(
      noted.map(({ by, code, what }) => [by, code, what]),
      [[ci, 'ERR_FORBIDDEN_ROLE', 'GET /v1/audit']],
    );
    const { text: all } = await call(socketPath, 'GET', '/v1/audit');
    assert.ok(!all.includes(body.token));
    assert.doesNotMatch(all, new RegExp(createHash('sha256').update(body.token).digest('hex')));
  });

  test('shows templates and negative selectors as they are, without the value of a variable', async (t) => {
    const { socketPath, asks } = await start(t);
    const { ask } = asks(socketPath);
    await ask('POST', '/v1/entries', {
      spiffe_id: 'spiffe://ilinux.io/{docker.label.app}',
      selectors: ['docker:label:app:*', '!docker:env:KEY=hunter2', '!docker:label:a:b'],
    });
    const { text } = await call(socketPath, 'GET', '/v1/audit?action=entry');
    const [row] = JSON.parse(text).rows;
    assert.equal(row.spiffe_id, row.after.spiffe_id);
    assert.match(text, /\{docker\.label\.app\}/);
    assert.doesNotMatch(text, /hunter2/);
    assert.deepEqual(
      row.after.selectors.filter(({ negated }: Row) => negated),
      [
        { type: 'docker', value: 'env:KEY=[redacted]', negated: true },
        { type: 'docker', value: 'label:a:b', negated: true },
      ],
    );
  });

  test('has the refusals of a minute', async (t) => {
    const { store, clock, socketPath } = await start(t);
    const refusals = new Refusals({ append: (events) => store.audit.append(events), clock, log: SILENT });
    const by = { kind: 'stranger', address: '127.0.0.1' } as const;
    for (let i = 0; i < 3; i += 1) {
      refusals.note({ action: 'admin.refused', by, code: 'ERR_UNAUTHORIZED', what: 'GET /v1/entries' });
    }
    await refusals.close();
    const [row] = await rowsOf(socketPath, '&action=admin');
    assert.deepEqual([row.actor, row.target, row.detail.count], [by, 'GET /v1/entries', 3]);
  });

  test('is listed in pages, in both orders, with each row and issuance once', async (t) => {
    const { store, socketPath, asks } = await start(t);
    const { ask } = asks(socketPath);
    let number = 0;
    for (const group of [3, 1, 9]) {
      await ask('PUT', `/v1/aliases/a${group}.example`, { spiffe_id: WEB });
      await store.issuances.recordIssuances(
        Array.from({ length: group }, () => {
          number += 1;
          return issuance(number, number % 2 === 0 ? WEB : `${WEB}2`);
        }),
      );
    }
    const all = await rowsOf(socketPath);
    assert.equal(all.length, 1 + 3 + 13);
    assert.deepEqual(
      all.flatMap(({ issuance }) => issuance ?? []),
      Array.from({ length: 13 }, (_, i) => i + 1),
    );
    for (const [query, expected] of [
      ['', all],
      [`&spiffe_id=${WEB}`, all.filter((row) => row.spiffe_id === WEB)],
      ['&action=svid', all.filter((row) => row.issuance !== undefined)],
    ] as const) {
      for (const order of ['oldest', 'newest']) {
        for (const limit of [1, 2, 5]) {
          const found: Row[] = [];
          let cursor = '';
          do {
            const place = cursor === '' ? '' : `&cursor=${cursor}`;
            const page = await call(socketPath, 'GET', `/v1/audit?order=${order}&limit=${limit}${query}${place}`);
            assert.equal(page.status, 200, page.text);
            assert.ok(page.body.rows.length <= limit);
            found.push(...page.body.rows);
            cursor = page.body.next_cursor;
          } while (cursor !== '');
          assert.deepEqual(found, order === 'oldest' ? expected : expected.toReversed(), `${order} ${limit} ${query}`);
        }
      }
    }
    const { head } = (await call(socketPath, 'GET', '/v1/audit?limit=1')).body;
    assert.deepEqual(await rowsOf(socketPath, `&cursor=${head.sequence}`), []);
    await ask('DELETE', '/v1/aliases/a1.example');
    const later = await rowsOf(socketPath, `&cursor=${head.sequence}`);
    assert.deepEqual(
      later.map(({ action }) => action),
      ['alias.deleted'],
    );
  });

  test('is filtered by actor, action, target, SPIFFE ID, serial and time', async (t) => {
    const { store, socketPath, asks } = await start(t);
    await asks(socketPath).ask('PUT', '/v1/aliases/a.example', { spiffe_id: WEB });
    // Times increase with the numbers of rows, as in life.
    const at = Date.UTC(2040, 0, 1);
    const token = { kind: 'token', name: 'ci', role: 'entries', address: '::1' } as const;
    await store.audit.append([
      { at, action: 'token.created', by: token, target: 'x' },
      { at: at + 3_000, action: 'token.deleted', by: token, target: 'y' },
    ]);
    await store.issuances.recordIssuances(
      [issuance(1), issuance(2, `${WEB}2`)].map((one) => ({ ...one, issuedAt: at + 9_000 })),
    );
    const count = async (query: string) => (await rowsOf(socketPath, `&${query}`)).length;
    for (const [query, expected] of [
      ['actor=token', 2],
      ['actor=token:ci', 2],
      ['actor=token:c', 0],
      [`actor=unix:${UNIX.uid}`, 1],
      ['actor=server', 3],
      ['action=token', 2],
      ['action=token.created', 1],
      ['action=tok', 0],
      ['target=x', 1],
      ['target=entry-1', 1],
      [`spiffe_id=${WEB}`, 2],
      ['serial=00000002', 1],
      [`serial=00000002&spiffe_id=${WEB}`, 0],
      ['since=2040-01-01T00:00:01Z&until=2040-01-01T00:00:05Z', 1],
      ['since=2040-01-01T00:00:01Z', 3],
      ['since=2040-02-01T00:00:01Z', 0],
      ['until=2040-01-01T00:00:01Z', 3],
      ['until=1990-01-01T00:00:00Z', 0],
    ] as const) {
      assert.equal(await count(query), expected, query);
      const newest = await call(socketPath, 'GET', `/v1/audit?${query}`);
      assert.equal(newest.body.rows.length, expected, `newest ${query}`);
    }
  });

  test('refuses a query that it does not understand', async (t) => {
    const { socketPath } = await start(t);
    for (const [query, path] of [
      ['since=yesterday', '?since'],
      ['until=2020-13-01T00:00:00Z', '?until'],
      ['cursor=x', '?cursor'],
      ['cursor=1.2.3', '?cursor'],
      ['limit=1001', '?limit'],
      ['order=up', '?order'],
      ['format=csv', '?format'],
      ['after=1', '?after'],
      ['format=jsonl&after=-1', '?after'],
      ['user=1', '?user'],
    ]) {
      const { status, body } = await call(socketPath, 'GET', `/v1/audit?${query}`);
      assert.equal(status, 400, query);
      assert.equal(body.errors[0].path, path, query);
    }
  });

  test('is exported as JSON Lines, which prove themselves', async (t) => {
    const { store, socketPath, asks } = await start(t);
    await asks(socketPath).ask('PUT', '/v1/aliases/a.example', { spiffe_id: WEB });
    await store.issuances.recordIssuances([issuance(1), issuance(2, `${WEB}2`)]);
    const head = await store.audit.head();
    const whole = await call(socketPath, 'GET', '/v1/audit?format=jsonl');
    const accepted = await call(socketPath, 'GET', '/v1/audit', {
      headers: { accept: 'text/html, application/x-ndjson;q=0.9' },
    });
    assert.match(whole.headers['content-type']!, /^application\/x-ndjson/);
    assert.equal(whole.text, accepted.text);
    const verifier = new ChainVerifier(head.hash);
    for (const line of whole.text.split('\n')) verifier.add(line);
    assert.equal(verifier.end().issuances, 2);
    const later = await call(socketPath, 'GET', '/v1/audit?format=jsonl&after=2');
    assert.deepEqual(later.text.split('\n').slice(1), whole.text.split('\n').slice(3));
    const filtered = await call(socketPath, 'GET', `/v1/audit?format=jsonl&spiffe_id=${WEB}`);
    const lines = filtered.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.map(({ action, issuance }) => action ?? issuance),
      ['alias.created', 1],
    );
  });

  test(`is exported to ${MAX_EXPORTS} clients at a time, and to another when one goes`, async (t) => {
    const { store, socketPath } = await start(t);
    const big = 'x'.repeat(100_000);
    const events = Array.from(
      { length: 60 },
      () => ({ at: 0, action: 'token.created', by: SERVER, target: big }) as const,
    );
    await store.audit.append(events);
    const readers = await Promise.all(
      Array.from({ length: MAX_EXPORTS }, async () => {
        const outgoing = get({ socketPath, path: '/v1/audit?format=jsonl', agent: false });
        outgoing.on('error', () => undefined);
        await new Promise((resolve) => outgoing.once('response', resolve));
        return outgoing;
      }),
    );
    const refused = await call(socketPath, 'GET', '/v1/audit?format=jsonl');
    assert.deepEqual([refused.status, refused.body.code], [503, 'ERR_TOO_MANY_READERS']);
    assert.equal((await call(socketPath, 'GET', '/v1/audit?limit=1')).status, 200, 'pages are still given');
    readers[0]!.destroy();
    for (;;) {
      const { status } = await call(socketPath, 'GET', '/v1/audit?format=jsonl&after=60');
      if (status === 200) break;
      await new Promise(setImmediate);
    }
    for (const reader of readers) reader.destroy();
  });
});

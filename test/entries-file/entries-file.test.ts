import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { SidekeyError } from '../../src/base/errors.ts';
import { loadEntriesFile } from '../../src/entries-file/entries-file.ts';
import type { EntryRules } from '../../src/registry/types.ts';
import { open, TRUST_DOMAIN, temporaryDirectory } from '../registry/support.ts';
import { processorTime } from '../support/processor-time.ts';

function rules(): EntryRules {
  return { trustDomain: TRUST_DOMAIN, allowWeakSelectors: false };
}

const inputsOf = async (file: string) => (await loadEntriesFile(file, rules())).inputs;

function write(t: TestContext, content: string | Uint8Array, name = 'entries.yaml'): string {
  const file = path.join(temporaryDirectory(t), name);
  writeFileSync(file, content);
  return file;
}

/** Expects the file to be refused; each problem as `LINE POINTER: problem; rule`. */
async function refused(t: TestContext, content: string | Uint8Array): Promise<string[]> {
  const file = write(t, content);
  try {
    await loadEntriesFile(file, rules());
  } catch (error) {
    assert.ok(error instanceof SidekeyError, String(error));
    assert.equal(error.code, 'ERR_CONFIG');
    assert.ok(error.message.startsWith(file), error.message);
    return error.problems.map((p) => `${p.path.slice(file.length + 1)}: ${p.problem}; ${p.rule}`);
  }
  return assert.fail('the file was taken');
}

const YAML = `# Who may be what on this host.
entries:
  - spiffe_id: spiffe://ilinux.io/front-envoy
    selectors: [unix:uid:101, "unix:path:/usr/local/bin/envoy"]
    dns_names: [front.ilinux.io]
    expires_at: 2030-01-31T12:00:00Z

  - id: purple
    spiffe_id: spiffe://ilinux.io/service-purple
    x509_svid_ttl: 600
    x509_svid_key_type: rsa-2048
    selectors:
      - type: unix
        value: uid:102
      - unix:group:services
`;

/** As SPIRE's command line takes it with -data, node entry and all. */
const SPIRE = JSON.stringify(
  {
    entries: [
      {
        selectors: [
          { type: 'unix', value: 'uid:1111' },
          { type: 'unix', value: 'group:services' },
        ],
        spiffe_id: 'spiffe://ilinux.io/blog',
        parent_id: 'spiffe://ilinux.io/spire/agent/join_token/token1',
        x509_svid_ttl: 200,
        jwt_svid_ttl: 30,
        admin: false,
        downstream: false,
        store_svid: false,
        entry_id: 'blog-entry',
        entryExpiry: 1_900_000_000,
        dns_names: ['blog.ilinux.io'],
        federates_with: ['spiffe://example.org'],
        revision_number: 3,
        created_at: 1_700_000_000,
        hint: 'internal',
      },
      {
        selectors: [{ type: 'unix', value: 'uid:1112' }],
        spiffe_id: 'spiffe://ilinux.io/database',
        parent_id: 'spiffe://ilinux.io/spire/agent/join_token/token1',
        entryExpiry: 0,
      },
    ],
  },
  null,
  '\t',
);

test('a YAML file is read, its selectors as objects or as texts', async (t) => {
  const inputs = await inputsOf(write(t, YAML));
  assert.equal(inputs.length, 2);
  assert.equal(inputs[0]!.expiresAt, Date.UTC(2030, 0, 31, 12));
  assert.deepEqual(inputs[1], {
    id: 'purple',
    spiffeId: 'spiffe://ilinux.io/service-purple',
    selectors: [
      { type: 'unix', value: 'group:services' },
      { type: 'unix', value: 'uid:102' },
    ],
    parentId: '',
    x509SvidTtl: 600,
    x509SvidKeyType: 'rsa-2048',
    jwtSvidTtl: 0,
    dnsNames: [],
    federatesWith: [],
    hint: '',
    allowContained: false,
    expiresAt: 0,
  });
});

test("SPIRE's file format is read, tabs and all", async (t) => {
  const inputs = await inputsOf(write(t, SPIRE, 'entries.json'));
  assert.equal(inputs.length, 2);
  assert.deepEqual(inputs[0], {
    id: 'blog-entry',
    spiffeId: 'spiffe://ilinux.io/blog',
    selectors: [
      { type: 'unix', value: 'group:services' },
      { type: 'unix', value: 'uid:1111' },
    ],
    parentId: 'spiffe://ilinux.io/spire/agent/join_token/token1',
    x509SvidTtl: 200,
    x509SvidKeyType: '',
    jwtSvidTtl: 30,
    dnsNames: ['blog.ilinux.io'],
    federatesWith: ['example.org'],
    hint: 'internal',
    allowContained: false,
    expiresAt: 1_900_000_000_000,
  });
});

test('JSON on one line is read, and an empty list is a list', async (t) => {
  const oneLine = JSON.stringify(JSON.parse(SPIRE));
  assert.equal((await inputsOf(write(t, oneLine))).length, 2);
  assert.deepEqual(await inputsOf(write(t, 'entries: []')), []);
});

test('a file can be made the entries of a source, again and again', async (t) => {
  const { registry } = await open(t);
  const file = write(t, YAML);
  assert.equal((await registry.replaceSource('file', await inputsOf(file))).created.length, 2);
  assert.equal((await registry.replaceSource('file', await inputsOf(file))).kept.length, 2);
  writeFileSync(file, YAML.replace('600', '900'));
  const third = await registry.replaceSource('file', await inputsOf(file));
  assert.deepEqual([third.changed.length, third.kept.length], [1, 1]);
});

test('every fault is told with its line', async (t) => {
  const problems = await refused(
    t,
    `entries:
  - spiffe_id: spiffe://other.org/a
    selectors: [unix:uid:1]
  - spiffe_id: spiffe://ilinux.io/b
    selectors:
      - unix:uid:1
      - unix:uuid:2
      - type: unix
        value: 1000
    ttl: 60
    dns_names: [a.org,
      A.org]
  - hint: lacks two
`,
  );
  assert.deepEqual(
    problems.map((line) => line.split(': ')[0]),
    [
      '2 /entries/0/spiffe_id',
      '7 /entries/1/selectors/1',
      '9 /entries/1/selectors/2/value',
      '10 /entries/1/ttl',
      '12 /entries/1/dns_names/1',
      '13 /entries/2/spiffe_id',
      '13 /entries/2/selectors',
    ],
  );
  assert.match(problems[1]!, /did you mean uid\?/);
  assert.match(problems[3]!, /did you mean x509_svid_ttl\?/);
});

test('a fault in what an alias stands for is told where that is', async (t) => {
  const problems = await refused(
    t,
    `entries:
  - spiffe_id: spiffe://ilinux.io/a
    selectors: &both
      - unix:uid:1
      - unix:uid:x
  - spiffe_id: spiffe://ilinux.io/b
    selectors: *both
  - spiffe_id: spiffe://ilinux.io/c
    selectors:
      - unix:path:/bin/c
`,
  );
  assert.deepEqual(
    problems.map((line) => line.split(': ')[0]),
    ['5 /entries/0/selectors/1', '5 /entries/1/selectors/1', '9 /entries/2/selectors'],
  );
});

test('the same in JSON', async (t) => {
  const problems = await refused(t, SPIRE.replace('"uid:1112"', '"uid:x"').replace('"admin": false', '"admin": true'));
  assert.deepEqual(
    problems.map((line) => line.split(': ')[0]),
    ['18 /entries/0/admin', '37 /entries/1/selectors/0/value'],
  );
});

test('two entries that are the same are told with both lines', async (t) => {
  const one = '  - {spiffe_id: spiffe://ilinux.io/a, selectors: [unix:uid:1, unix:gid:2]}\n';
  const same = '  - {spiffe_id: spiffe://ilinux.io/a, selectors: [unix:gid:2, unix:uid:1], hint: h}\n';
  const [problem] = await refused(t, `entries:\n${one}${one.replace('/a', '/b')}${same}`);
  assert.match(problem!, /^4 \/entries\/2: .* on line 2;/);
  const ids = one.replace('{', '{id: x, ') + one.replace('{', '{id: x, ').replace('/a', '/b');
  assert.match((await refused(t, `entries:\n${ids}`))[0]!, /^3 \/entries\/1: /);
});

test('a file that is no YAML, or says a thing twice, is refused at the line', async (t) => {
  const rows: readonly (readonly [content: string, line: number, says: RegExp])[] = [
    ['entries:\n  - spiffe_id: a\n    spiffe_id: b\n', 3, /the key "spiffe_id" occurs twice/],
    [
      'entries:\n  - spiffe_id: spiffe://ilinux.io/a\n    selectors: [unix:uid:1, !docker:label:tier:canary]\n',
      3,
      /tag.*; a text that begins with ! needs quotes: "!docker:label:tier:canary"/is,
    ],
    ['{"entries": [],\n"entries": []}', 2, /the key "entries" occurs twice/],
    ['entries: []\n---\nentries: 5\n', 3, /not a list/],
    ['entries: []\n---\nentires: []\n', 3, /did you mean entries/],
    ['entries: []\n---\nentries:\n  - a: b\n c: d\n', 5, /./],
    ['{"entries": [],\n"next_page_token": "x"}', 2, /not empty/],
    ['entries:\n  - a: b\n c: d\n', 3, /./],
    ['{"entries": [\n', 1, /this \[ is not closed/],
    ['entries:\n  - !secret x\n', 2, /tag/i],
    ['entries:\n  - *nowhere\n', 1, /alias/i],
    ['entries:\n  - [a]: b\n', 2, /key/i],
  ];
  for (const [content, line, says] of rows) {
    const [problem] = await refused(t, content);
    assert.equal(problem!.split(/[: ]/)[0], String(line), JSON.stringify([content, problem]));
    assert.match(problem!, says);
  }
});

test('a file without a list of entries, or with more than it, is refused', async (t) => {
  for (const content of ['', '# nothing yet\n', '[]', 'text', '5', '{}', 'null']) {
    assert.match((await refused(t, content))[0]!, /has no entries.*entries: \[…\]/, content);
  }
  assert.match((await refused(t, 'entries:\n'))[0]!, /1 \/entries: it is null, not a list/);
  assert.match((await refused(t, 'entries: {a: b}\n'))[0]!, /1 \/entries: it is an object/);
  const [extra] = await refused(t, 'entries: []\nversion: 1\n');
  assert.match(extra!, /^2 \/version: there is no such field/);
  const typo = await refused(t, '\nentry:\n  - a\n');
  assert.match(typo[0]!, /^2 \/entry: .*did you mean entries\?/);
  assert.match(typo[1]!, /no entries/);
});

test('a small file cannot become a large one by aliases', async (t) => {
  const levels = Array.from({ length: 10 }, (_, at) => `l${at + 1}: &l${at + 1} [${`*l${at},`.repeat(10)}]`);
  const [problem] = await refused(t, `l0: &l0 [x]\n${levels.join('\n')}\nentries: []\n`);
  assert.match(problem!, /alias/i);
});

test('bytes that are no UTF-8 and a file that is not there are told', async (t) => {
  const good = YAML.replace('group:services', 'path:/bin/?');
  assert.equal((await inputsOf(write(t, good))).length, 2);
  const bytes = Buffer.from(good);
  bytes[bytes.indexOf('?')] = 0xff;
  const file = write(t, bytes);
  await assert.rejects(loadEntriesFile(file, rules()), (error: SidekeyError) => {
    assert.equal(error.code, 'ERR_CONFIG');
    assert.ok(error.message.startsWith(file));
    return true;
  });
  await assert.rejects(loadEntriesFile(`${file}.not`, rules()), (error: SidekeyError) => {
    assert.equal(error.code, 'ERR_CONFIG');
    assert.match(error.message, /ENOENT/);
    return true;
  });
});

test('several YAML documents are one list, and each fault has its line', async (t) => {
  const one = (name: string) => `entries:\n  - {spiffe_id: spiffe://ilinux.io/${name}, selectors: [unix:uid:1]}\n`;
  const inputs = await inputsOf(
    write(t, `---\n${one('a')}---\n${one('b')}${one('c').split('\n')[1]}\n...\n---\n# end\n`),
  );
  assert.deepEqual(
    inputs.map(({ spiffeId }) => spiffeId),
    ['a', 'b', 'c'].map((name) => `spiffe://ilinux.io/${name}`),
  );
  const [problem, ...rest] = await refused(t, `${one('a')}---\n${one('b')}---\n${one('c').replace('uid:1', 'uid:x')}`);
  assert.match(problem!, /^8 \/entries\/2\/selectors\/0: /);
  assert.deepEqual(rest, []);
  assert.match((await refused(t, `${one('a')}---\n${one('a')}`))[0]!, /^5 \/entries\/1: .* on line 2;/);
});

test('what `spire-server entry show -output json` prints is read', async (t) => {
  const exported = {
    entries: [
      {
        id: 'aaaaaaaa-0000-4000-8000-000000000001',
        spiffe_id: { trust_domain: 'ilinux.io', path: '/web' },
        parent_id: { trust_domain: 'ilinux.io', path: '/spire/agent/join_token/x' },
        selectors: [{ type: 'unix', value: 'uid:1000' }],
        x509_svid_ttl: 600,
        federates_with: ['other.example'],
        hint: '',
        admin: false,
        created_at: '1717000000',
        downstream: false,
        expires_at: '1900000000',
        dns_names: ['web.example.org'],
        revision_number: '3',
        store_svid: false,
        jwt_svid_ttl: 0,
        additional_attributes: null,
      },
    ],
    next_page_token: '',
  };
  const [input] = await inputsOf(write(t, `\ufeff${JSON.stringify(exported)}`, 'spire.json'));
  assert.equal(input!.spiffeId, 'spiffe://ilinux.io/web');
  assert.equal(input!.parentId, 'spiffe://ilinux.io/spire/agent/join_token/x');
  assert.equal(input!.x509SvidTtl, 600);
  assert.equal(input!.expiresAt, 1_900_000_000_000);
  assert.deepEqual(input!.federatesWith, ['other.example']);
});

test('a problem that is found later has the line too', async (t) => {
  const file = write(t, 'entries:\n  - spiffe_id: spiffe://ilinux.io/a\n    selectors: [docker:label:a:b]\n');
  const { locate } = await loadEntriesFile(file, rules());
  const located = locate({ path: '/entries/0/selectors', problem: 'p', rule: 'r' });
  assert.deepEqual(located, { path: `${file}:3 /entries/0/selectors`, problem: 'p', rule: 'r' });
});

test('a file that is not regular is refused at once', { timeout: 60_000 }, async (t) => {
  const file = path.join(temporaryDirectory(t), 'fifo');
  execFileSync('mkfifo', [file]);
  for (const [place, says] of [
    [file, /it can't be read: it is a FIFO, not a regular file/],
    ['/dev/zero', /it can't be read: it is a device/],
  ] as const) {
    await assert.rejects(loadEntriesFile(place, rules()), says);
  }
});

test('ten thousand entries are read, in YAML and JSON', async (t) => {
  const one = (n: number) => ({
    spiffe_id: `spiffe://ilinux.io/${n}`,
    selectors: [`unix:uid:${n}`, `docker:label:app:${n}`],
  });
  const entries = Array.from({ length: 10_000 }, (_, n) => one(n));
  const yaml = entries.map(
    ({ spiffe_id, selectors }) =>
      `# The ${spiffe_id}.\n- {spiffe_id: "${spiffe_id}", selectors: ["${selectors.join('", "')}"]}\n`,
  );
  assert.equal((await inputsOf(write(t, `entries:\n${yaml.join('')}`))).length, 10_000);
  assert.equal((await inputsOf(write(t, JSON.stringify({ entries }, undefined, 2)))).length, 10_000);
});

test('a file beyond the limits of size is refused', async (t) => {
  const entry = '- {spiffe_id: spiffe://ilinux.io/a, selectors: [unix:uid:1]}\n';
  const [yaml] = await refused(t, `entries:\n${entry}${'#\n'.repeat(2_200_000)}`);
  assert.match(yaml!, /it is not JSON, or .* 4400\d+ characters; a YAML file has at most 4194304 characters/);
  const [large] = await refused(t, ' '.repeat(17_000_000));
  assert.match(large!, /it can't be read: it has 17000000 bytes; at most 16777216 bytes are read/);
  // JSON may be longer.
  const entries = [{ spiffe_id: 'spiffe://ilinux.io/a', selectors: ['unix:uid:1'], hint: 'h' }];
  const json = (hint: unknown) => `{"entries": ${JSON.stringify([{ ...entries[0], hint }])}${' '.repeat(5_000_000)}}`;
  assert.equal((await inputsOf(write(t, json('h')))).length, 1);
  assert.match((await refused(t, json(7)))[0]!, /^1 \/entries\/0\/hint: /);
});

test('keys and aliases by the ten thousand take no time that grows with their square', {
  timeout: 120_000,
}, async (t) => {
  const many = (one: (n: number) => string, between = '') =>
    Array.from({ length: 40_000 }, (_, n) => one(n)).join(between);
  const cases: readonly (readonly [content: string, says: RegExp])[] = [
    [many((n) => `k${n}: 1\n`), /^1 \/k0: there is no such field/],
    [`entries:\n- ${many((n) => `k${n}: 1\n`, '  ')}`, /^2 \/entries\/0\/k0: there is no such field/],
    [`entries: [{${many((n) => `k${n}: 1`, ', ')}}]`, /^1 \/entries\/0\/k0: there is no such field/],
    [`entries:\n${many((n) => `- [&a${n} x, *a${n}]\n`)}`, /^\d+: there are more than 1000 aliases/],
  ];
  for (const [content, says] of cases) {
    const begun = processorTime();
    const problems = await refused(t, content);
    const used = processorTime(begun);
    assert.match(problems[0]!, says);
    assert.ok(problems.length <= 101, String(problems.length));
    assert.ok(used < 15_000, `${content.slice(0, 20)}: ${used} ms`);
  }
});

test('a text that is not YAML is refused where it is wrong, in plain words', async (t) => {
  const good = [
    'entries:',
    '- spiffe_id: spiffe://ilinux.io/a',
    '  selectors: [unix:uid:1]',
    '- spiffe_id: spiffe://ilinux.io/b',
  ];
  const cases: readonly (readonly [lines: readonly string[], says: RegExp])[] = [
    [
      [...good, '   selectors: [unix:uid:2]'],
      /^5:4: this line is not indented like the lines above .*check the indentation$/,
    ],
    [
      [...good, ' selectors: [unix:uid:2]'],
      /^5:1: this line belongs neither to the item above it nor .*check the indentation$/,
    ],
    [
      [...good, '  selectors:', '   - unix:uid:1', '  - unix:uid:2'],
      /^7:1: this line is not indented like .*check the indentation$/,
    ],
    [[...good, '  selectors: [unix:uid:2'], /^5:14: this \[ is not closed: its \] is missing/],
    [[...good, '  selectors: [unix:uid:2', '- spiffe_id: spiffe://ilinux.io/c'], /^5:14: this \[ is not closed/],
    [[...good, '  selectors: {a: "[", b: [x]'], /^5:14: this \{ is not closed: its \} is missing/],
    [
      [...good, '\tselectors: [unix:uid:2]'],
      /^5:1: a tab is at the beginning of the line; YAML is indented with spaces only$/,
    ],
    [
      [...good.with(3, '- spiffe_id: "spiffe://ilinux.io/b'), '  selectors: [unix:uid:2]'],
      /^4:14: this " is not closed/,
    ],
    [
      [...good.with(3, '- spiffe_id spiffe://ilinux.io/b'), '  selectors: [unix:uid:2]'],
      /^4:3: this line has no colon after its key/,
    ],
    [[...good, '  hint: a: b'], /^5:9: the value has a colon and a space in it; put such a value in quotes/],
    [[...good, '  hint: @b'], /^5:9: a value can not begin with @; put such a value in quotes$/],
    [[...good, '  selectors: [unix:uid:2]]'], /^5:26: it is not YAML: /],
  ];
  for (const [lines, says] of cases) {
    const [problem, ...others] = await refused(t, `${lines.join('\n')}\n`);
    assert.match(problem!, says, lines.join('\n'));
    assert.deepEqual(others, []);
    assert.doesNotMatch(problem!, /entries: \[/);
  }
});

test('selectors that YAML reads as something else are told with the reason', async (t) => {
  const of = async (selectors: string) =>
    (await refused(t, `entries:\n- spiffe_id: spiffe://ilinux.io/a\n  selectors: ${selectors}\n`)).join('\n');
  assert.equal(
    await of('unix:user:x'),
    '3 /entries/0/selectors: it is "unix:user:x", not a list; selectors is a list of at least one, such as ["unix:uid:1000"]; a caller must have all of them',
  );
  const spaced = await of('[unix:user: s3cret]');
  assert.match(
    spaced,
    /^3 \/entries\/0\/selectors\/0: it is a map with the key "unix:user"; in YAML a colon and a space make a map: /,
  );
  assert.doesNotMatch(spaced, /s3cret|\n/);
});

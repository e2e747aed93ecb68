/** The forms of entries files: Sidekey's, SPIRE's, and manifests of spire-controller-manager; each fault has its line. */

import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { SidekeyError } from '../../src/base/errors.ts';
import { loadEntriesFile } from '../../src/entries-file/entries-file.ts';
import { EntriesSource } from '../../src/entries-file/entries-source.ts';
import { readInputTexts } from '../../src/entries-file/input-texts.ts';
import { parseEntryInputs } from '../../src/registry/entry-input.ts';
import { entryToJson } from '../../src/registry/entry-json.ts';
import type { Entry } from '../../src/registry/types.ts';
import { TRUST_DOMAIN, temporaryDirectory } from '../registry/support.ts';
import { NOBODY } from '../support/child.ts';

const notRoot = process.getuid!() === 0 ? false : 'only root can give files to another user';
const RULES = { trustDomain: TRUST_DOMAIN, allowWeakSelectors: false };

const manifest = (spec: string, head = 'apiVersion: spire.spiffe.io/v1alpha1\nkind: ClusterStaticEntry\n') =>
  `${head}metadata:\n  name: web\nspec:\n${spec}`;
const SPEC = `  spiffeID: spiffe://ilinux.io/web
  parentID: spiffe://ilinux.io/spire/agent/join_token/a
  selectors: ["unix:uid:1000"]
`;

async function load(t: TestContext, files: Readonly<Record<string, string>>) {
  const folder = temporaryDirectory(t);
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  return loadEntriesFile(folder, RULES);
}

/** The faults, with paths from the folder. */
async function faults(t: TestContext, files: Readonly<Record<string, string>>): Promise<string[]> {
  const folder = temporaryDirectory(t);
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  try {
    await loadEntriesFile(folder, RULES);
  } catch (error) {
    assert.ok(error instanceof SidekeyError, String(error));
    return error.message.replaceAll(`${folder}/`, '').split('\n');
  }
  return assert.fail('the files were taken');
}

describe('a ClusterStaticEntry', () => {
  it('is read with all its fields', async (t) => {
    const more = `  federatesWith: [other.example]
  x509SVIDTTL: 1h30m0s
  jwtSVIDTTL: "5m"
  dnsNames: [web.example]
  hint: internal
  admin: false
  downstream: false
  storeSVID: false
  className: ""
`;
    const { inputs, notes } = await load(t, { 'a.yaml': manifest(SPEC + more) });
    assert.deepEqual(notes, []);
    const [{ id, allowContained, expiresAt, x509SvidKeyType, ...rest }] = inputs as [(typeof inputs)[0]];
    assert.deepEqual([id, allowContained, expiresAt, x509SvidKeyType], [undefined, false, 0, '']);
    assert.deepEqual(rest, {
      ...{ spiffeId: 'spiffe://ilinux.io/web', parentId: 'spiffe://ilinux.io/spire/agent/join_token/a' },
      selectors: [{ type: 'unix', value: 'uid:1000' }],
      ...{ federatesWith: ['other.example'], x509SvidTtl: 5_400, jwtSvidTtl: 300, dnsNames: ['web.example'] },
      hint: 'internal',
    });
  });

  it('is found beside lists of entries, and in lists of Kubernetes', async (t) => {
    const item = { apiVersion: 'spire.spiffe.io/v1alpha1', kind: 'ClusterStaticEntry', metadata: {} };
    const spec = (name: string) => ({
      spiffeID: `spiffe://ilinux.io/${name}`,
      parentID: 'spiffe://ilinux.io/agent',
      selectors: ['unix:uid:1'],
    });
    const { inputs, placeOf } = await load(t, {
      'a.yaml': `entries:\n- {spiffe_id: "spiffe://ilinux.io/a", selectors: ["unix:uid:1"]}\n---\n${manifest(SPEC)}`,
      'b.json': JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [{ ...item, spec: spec('b') }] }, undefined, 1),
      'c.json': JSON.stringify({
        apiVersion: 'spire.spiffe.io/v1alpha1',
        kind: 'ClusterStaticEntryList',
        items: [{ spec: spec('c') }],
      }),
    });
    const names = inputs.map(({ spiffeId }) => spiffeId.split('/').at(-1));
    assert.deepEqual(names, ['a', 'web', 'b', 'c']);
    assert.deepEqual(
      [0, 1, 2].map((at) => placeOf(at)?.line),
      [2, 8, 9],
    );
  });

  it('notes what has no effect', async (t) => {
    const { inputs, notes } = await load(t, {
      'a.yaml': manifest(`${SPEC}  className: prod\n`),
      'b.yaml':
        'apiVersion: spire.spiffe.io/v1alpha1\nkind: ClusterFederatedTrustDomain\nspec: {trustDomain: a.example, bundleEndpointProfile: {type: https_web}, className: prod}\n',
    });
    assert.equal(inputs.length, 1);
    assert.deepEqual(notes.map(({ path: place, problem }) => [place.split('/').at(-1), problem]).slice(0, 1), [
      ['a.yaml:9', 'className "prod" has no effect'],
    ]);
    assert.equal(notes.at(-1)!.problem, 'a federation relationship is left out');
  });

  const REFUSED: readonly (readonly [what: string, text: string, says: RegExp])[] = [
    [
      'an unknown field',
      manifest(`${SPEC}  dnsName: [a.b]\n`),
      /^a\.yaml:9 \/spec\/dnsName: there is no such field; did you mean dnsNames\?/,
    ],
    [
      'a field of another spelling',
      manifest(`${SPEC}  x509_svid_ttl: 1h\n`),
      /^a\.yaml:9 .*did you mean x509SVIDTTL\?/,
    ],
    [
      'an unknown kind',
      manifest(SPEC, 'apiVersion: spire.spiffe.io/v1alpha1\nkind: ClusterStaticEntri\n'),
      /^a\.yaml:2 \/kind: it is "ClusterStaticEntri"; did you mean ClusterStaticEntry\?/,
    ],
    [
      'another version',
      manifest(SPEC, 'apiVersion: spire.spiffe.io/v1\nkind: ClusterStaticEntry\n'),
      /^a\.yaml:1 \/apiVersion: it is "spire.spiffe.io\/v1"/,
    ],
    [
      'a ClusterSPIFFEID',
      manifest('  spiffeIDTemplate: x\n', 'apiVersion: spire.spiffe.io/v1alpha1\nkind: ClusterSPIFFEID\n'),
      /^a\.yaml:2 \/kind: a ClusterSPIFFEID makes entries from the pods/,
    ],
    ['no spec', 'apiVersion: spire.spiffe.io/v1alpha1\nkind: ClusterStaticEntry\n', /^a\.yaml:1 \/spec: it is missing/],
    ['no parent', manifest(SPEC.replace(/ {2}parentID.*\n/, '')), /^a\.yaml:5 \/spec\/parentID: it is missing/],
    [
      'a selector of another type',
      manifest(SPEC.replace('unix:uid', 'k8s:ns')),
      /^a\.yaml:8 \/spec\/selectors\/0: "k8s" is not a selector type here/,
    ],
    [
      'a mistyped selector',
      manifest(SPEC.replace('unix:uid', 'unix:uidd')),
      /^a\.yaml:8 \/spec\/selectors\/0: "uidd" is not a kind of unix selector; did you mean uid\?/,
    ],
    [
      'a selector that is an object',
      manifest(SPEC.replace('"unix:uid:1000"', '{type: unix, value: "uid:1"}')),
      /^a\.yaml:8 \/spec\/selectors\/0: it is an object; the selectors of a ClusterStaticEntry are texts/,
    ],
    [
      'selectors that are no list',
      manifest(SPEC.replace('["unix:uid:1000"]', '{a: b}')),
      /^a\.yaml:8 \/spec\/selectors: it is an object, not a list/,
    ],
    [
      'a TTL in seconds',
      manifest(`${SPEC}  x509SVIDTTL: 600\n`),
      /^a\.yaml:9 \/spec\/x509SVIDTTL: it is 600; it is a duration/,
    ],
    [
      'a TTL of half a second',
      manifest(`${SPEC}  x509SVIDTTL: 0.5s\n`),
      /^a\.yaml:9 \/spec\/x509SVIDTTL: it is "0.5s"/,
    ],
    ['an admin', manifest(`${SPEC}  admin: true\n`), /^a\.yaml:9 \/spec\/admin: it is true; entries give no access/],
    ['a downstream server', manifest(`${SPEC}  downstream: true\n`), /^a\.yaml:9 \/spec\/downstream: it is true/],
    ['an unknown field beside spec', `${manifest(SPEC)}data: 1\n`, /^a\.yaml:9 \/data: there is no such field/],
    [
      'a list in a list',
      'apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: List, items: []}\n',
      /^a\.yaml:4 \/items\/0\/kind: it is a list in a list/,
    ],
  ];
  for (const [what, text, says] of REFUSED) {
    it(`is refused with file and line: ${what}`, async (t) => {
      const [first] = await faults(t, { 'a.yaml': text });
      assert.match(first!, says);
    });
  }
});

describe('faults in several files', () => {
  const one = (name: string, more = '') =>
    `- {spiffe_id: "spiffe://ilinux.io/${name}", selectors: ["unix:uid:1"]${more}}\n`;

  it('are reported together, each with its file and line', async (t) => {
    assert.deepEqual(
      await faults(t, { 'a.yaml': 'entrys: []\n', 'b.yaml': 'entries: [\n', 'c.yml': 'entries: 7\n' }).then((all) =>
        all.map((line) => line.split(';')[0]),
      ),
      [
        'a.yaml:1 /entrys: there is no such field',
        'a.yaml:1: it has no entries',
        'b.yaml:1:10: this [ is not closed: its ] is missing, or a line inside of it is not indented',
        'c.yml:1 /entries: it is 7, not a list',
      ],
    );
    const [first, second] = await faults(t, {
      'a.yaml': `entries:\n${one('a')}${one('b', ', hints: x')}`,
      'b.json': `{"entries":\n[{"spiffe_id": 7,\n"selectors": []}]}`,
    });
    assert.match(first!, /^a\.yaml:3 \/entries\/1\/hints: there is no such field; did you mean hint\?/);
    assert.match(second!, /^b\.json:2 \/entries\/0\/spiffe_id: it is 7/);
  });

  it('name both places of a duplicate', async (t) => {
    const twice = {
      'a.yaml': `entries:\n${one('a')}${one('b')}`,
      'b.yaml': `entries:\n${one('c')}---\nentries:\n${one('b')}`,
    };
    const [found] = await faults(t, twice);
    assert.match(found!, /^b\.yaml:5 \/entries\/1: it is the same as the entry in .*a\.yaml on line 3; no two entries/);
    const [here] = await faults(t, { 'a.yaml': `entries:\n${one('a')}${one('a')}` });
    assert.match(here!, /^a\.yaml:3 \/entries\/1: it is the same as the entry on line 2; /);
    const [byId] = await faults(t, { 'a.yaml': `entries:\n${one('a', ', id: x')}${one('b', ', id: x')}` });
    assert.match(byId!, /^a\.yaml:3 \/entries\/1: it is the same as the entry on line 2; /);
  });
});

describe('a folder', () => {
  const text = (name: string) => `entries:\n- {spiffe_id: "spiffe://ilinux.io/${name}", selectors: ["unix:uid:1"]}\n`;

  it("follows no link to another user's file that others can't read", { skip: notRoot }, async (t) => {
    const folder = temporaryDirectory(t);
    const secret = path.join(temporaryDirectory(t), 'secret');
    chownSync(folder, NOBODY, NOBODY);
    writeFileSync(secret, text('secret'), { mode: 0o600 });
    symlinkSync(secret, path.join(folder, 'a.yaml'));
    await assert.rejects(readInputTexts(folder), (error: SidekeyError) => {
      assert.match(error.problems[0]!.problem, /it is a link to a file of uid 0, which others can't read/);
      return true;
    });
    chmodSync(secret, 0o644);
    assert.equal((await readInputTexts(folder)).texts.length, 1);
    chmodSync(secret, 0o600);
    chownSync(folder, 0, 0);
    assert.equal((await readInputTexts(folder)).texts.length, 1);
  });

  it('gives its *.yaml, *.yml and *.json that are not hidden, and follows links', async (t) => {
    const folder = temporaryDirectory(t);
    const other = temporaryDirectory(t);
    writeFileSync(path.join(other, 'data'), text('linked'));
    symlinkSync(path.join(other, 'data'), path.join(folder, 'd.yaml'));
    for (const name of ['a.yaml', 'b.yml', '.hidden.yaml', 'c.json~', 'e.txt', '#f.yaml#']) {
      writeFileSync(path.join(folder, name), name.endsWith('l') && !name.startsWith('.') ? text(name) : 'nonsense: [');
    }
    writeFileSync(path.join(folder, 'c.json'), JSON.stringify({ entries: [] }));
    mkdirSync(path.join(folder, 'more.yaml'));
    writeFileSync(path.join(folder, 'more.yaml', 'a.yaml'), 'nonsense: [');
    const { inputs } = await loadEntriesFile(folder, RULES);
    assert.deepEqual(
      inputs.map(({ spiffeId }) => spiffeId.split('/').at(-1)),
      ['a.yaml', 'b.yml', 'linked'],
    );
  });

  it('keep messages short, however long the name of a field is', async (t) => {
    const name = 'z'.repeat(1_000_000);
    const text = JSON.stringify({ entries: [{ spiffe_id: 'spiffe://ilinux.io/a', selectors: [], [name]: 1 }] });
    const refusal = await load(t, { 'a.json': text }).catch((error: Error) => error);
    assert.match(String(refusal), /a\.json:1 \/entries\/0\/z{100}…: there is no such field/);
    assert.ok(String(refusal).length < 1_000);
  });

  it('is refused if it is empty or missing, or a file is dangling, too large, or one of too many', async (t) => {
    await assert.rejects(load(t, {}), /: it has no file of entries; /);
    await assert.rejects(load(t, { 'a.txt': text('a') }), /: it has no file of entries; /);
    await assert.rejects(loadEntriesFile('/no/such/folder', RULES), /it can't be read: ENOENT/);
    const folder = temporaryDirectory(t);
    symlinkSync('nowhere', path.join(folder, 'a.yaml'));
    await assert.rejects(loadEntriesFile(folder, RULES), /a\.yaml: it can't be read: ENOENT/);
    const large = { 'a.json': ' '.repeat(16 * 1024 * 1024 + 1) };
    await assert.rejects(load(t, large), /a\.json: it can't be read: it has 16777217 bytes; at most/);
    const blanks = ' '.repeat(12 * 1024 * 1024);
    const [a, b, c] = ['a', 'b', 'c'].map((name) => `{"entries":[]${blanks}}${name === 'a' ? '' : ''}`);
    await assert.rejects(load(t, { 'a.json': a!, 'b.json': b!, 'c.json': c! }), /its files are too large; /);
    const many = Object.fromEntries(Array.from({ length: 1_001 }, (_, n) => [`${n}.yaml`, 'entries: []\n']));
    await assert.rejects(load(t, many), /it has more than 1000 files; a folder of entries has at most 1000 files/);
  });
});

describe('entries as they are listed', () => {
  const name = fc.stringMatching(/^[a-z0-9._-]{1,12}$/).filter((text) => !/^\.+$/.test(text));
  const printableText = fc
    .string({ unit: 'grapheme', maxLength: 20 })
    .filter((text) => !/\p{Cc}/u.test(text) && text.isWellFormed());
  const selector = fc.oneof(
    fc.nat(65_535).map((uid) => ({ type: 'unix', value: `uid:${uid}` })),
    fc
      .tuple(
        name,
        printableText.filter((text) => text !== ''),
      )
      .map(([key, value]) => ({ type: 'docker', value: `label:${key}:${value}` })),
  );
  const entry = fc.record({
    id: fc.stringMatching(/^[A-Za-z0-9._-]{1,40}$/),
    spiffeId: name.map((last) => `spiffe://ilinux.io/x/${last}`),
    selectors: fc.uniqueArray(selector, {
      minLength: 1,
      maxLength: 4,
      selector: ({ type, value }) => `${type}:${value}`,
    }),
    parentId: fc.constantFrom('', 'spiffe://ilinux.io/spire/agent'),
    x509SvidTtl: fc.nat(100_000),
    x509SvidKeyType: fc.constantFrom('' as const, 'ec-p256' as const, 'rsa-2048' as const),
    jwtSvidTtl: fc.nat(100_000),
    dnsNames: fc.uniqueArray(
      name.filter((text) => /^[a-z0-9]+$/.test(text)),
      { maxLength: 3 },
    ),
    federatesWith: fc.constantFrom([], ['a.example']),
    hint: printableText,
    allowContained: fc.boolean(),
    expiresAt: fc.constantFrom(0, 1_900_000_000_000, 1_900_000_000_123),
    createdAt: fc.constant(1_700_000_000_000),
    updatedAt: fc.constant(1_700_000_000_000),
    revisionNumber: fc.nat().map((n) => n + 1),
    source: fc.constantFrom('api', 'file', 'ci'),
  });

  it('are read back unchanged from YAML and JSON', async () => {
    const rules = { ...RULES, allowWeakSelectors: true };
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(entry, { maxLength: 4, selector: ({ id }) => id }), async (entries) => {
        const value = { entries: (entries as unknown as Entry[]).map(entryToJson) };
        for (const text of [stringify(value, { lineWidth: 0 }), JSON.stringify(value, undefined, 2)]) {
          const source = await EntriesSource.read([{ name: 'f', text }]);
          const inputs = parseEntryInputs(source.entries, rules);
          for (const [at, { createdAt, updatedAt, revisionNumber, source: _by, ...wanted }] of entries.entries()) {
            const selectors = wanted.selectors.toSorted((a, b) => (a.type + a.value < b.type + b.value ? -1 : 1));
            const read = inputs[at]!;
            assert.deepEqual({ ...read, selectors: undefined }, { ...wanted, selectors: undefined });
            assert.deepEqual(
              new Set(read.selectors.map((one) => JSON.stringify(one))),
              new Set(selectors.map((one) => JSON.stringify(one))),
            );
          }
        }
      }),
    );
  });
});

/** The JSON schema for editors, against the reader. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import Schema from 'typebox/schema';
import { parse } from 'yaml';
import { EntriesSource } from '../../src/entries-file/entries-source.ts';
import { parseEntryInputs } from '../../src/registry/entry-input.ts';
import { entriesFileSchema } from '../../src/registry/entry-schema.ts';
import { ROOT } from '../support/serve.ts';
import { TRUST_DOMAIN } from './support.ts';

const RULES = { trustDomain: TRUST_DOMAIN, allowWeakSelectors: true };
const schema = entriesFileSchema();
const fits = (value: unknown) => Schema.Check(schema as never, value);

async function isRead(text: string): Promise<boolean> {
  try {
    parseEntryInputs((await EntriesSource.read([{ name: 'f', text }])).entries, RULES);
    return true;
  } catch {
    return false;
  }
}

const entry = (more = '', selectors = '["unix:uid:1"]') =>
  `entries:\n- spiffe_id: spiffe://ilinux.io/a\n  selectors: ${selectors}\n${more}`;
const manifest = (more = '') =>
  `apiVersion: spire.spiffe.io/v1alpha1\nkind: ClusterStaticEntry\nmetadata: {name: a}\nspec:\n  spiffeID: spiffe://ilinux.io/a\n  parentID: spiffe://ilinux.io/b\n  selectors: ["unix:uid:1"]\n${more}`;

const ACCEPTED = [
  'entries: []\n',
  entry(),
  entry('', `[{type: unix, value: "uid:1"}, "docker:label:app:web", "unix:sha256:${'a'.repeat(64)}"]`),
  entry('  x509_svid_ttl: 30m\n  jwt_svid_ttl: 60\n  dns_names: [a.b]\n  federates_with: [other.example]\n  hint: x\n'),
  entry('  x509SvidTtl: 30m\n  allowContained: true\n  expiresAt: never\n  parentId: ""\n  id: a\n'),
  entry('  expires_at: 2030-01-31T12:00:00Z\n  x509_svid_key_type: rsa-2048\n  admin: false\n  storeSvid: false\n'),
  entry('  entry_id: a\n  entryExpiry: 0\n  additional_attributes: {}\n  revision_number: 3\n  source: api\n'),
  'entries:\n- {spiffeID: "spiffe://ilinux.io/a", selectors: ["systemd:id:a.service"]}\n',
  'entries:\n- {spiffe_id: {trust_domain: ilinux.io, path: /a}, selectors: ["unix:uid:1"]}\nnext_page_token: ""\n',
  manifest(),
  manifest('  className: a\n  x509SVIDTTL: 1h\n  dnsNames: [a.b]\n  hint: a\n  storeSVID: false\nstatus: {}\n'),
];
const REFUSED = [
  'entrys: []\n',
  'entries: 7\n',
  entry('  hints: a\n'),
  entry('  x509_svid_ttl: -1\n'),
  entry('  allow_contained: maybe\n'),
  entry('  admin: true\n'),
  entry('', '[]'),
  entry('', '["unix:uidd:1"]'),
  entry('', '["k8s:ns:a"]'),
  entry('', '["nocolon"]'),
  'entries:\n- {selectors: ["unix:uid:1"]}\n',
  'entries:\n- {spiffe_id: "spiffe://ilinux.io/a"}\n',
  manifest('  dnsName: [a]\n'),
  manifest().replace(/ {2}parentID.*\n/, ''),
  manifest().replace('v1alpha1', 'v1'),
];

describe('the schema of entries files', () => {
  it('accepts what the reader accepts', async () => {
    for (const text of ACCEPTED) {
      assert.ok(await isRead(text), text);
      assert.ok(fits(parse(text)), text);
    }
  });

  it('refuses what the reader refuses by form', async () => {
    for (const text of REFUSED) {
      assert.ok(!(await isRead(text)), text);
      assert.ok(!fits(parse(text)), text);
    }
  });

  it('is in the package as the fields say it now', () => {
    const text = readFileSync(path.join(ROOT, 'schema/entries.schema.json'), 'utf8');
    assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(schema)));
    const { files } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
    assert.ok(files.includes('schema'));
  });
});

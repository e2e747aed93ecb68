/** What must not widen an identity, reach a terminal, show a secret or take long, whatever SPIRE's files have. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { pickEntries } from '../../src/migrate/index.ts';
import { parseTrustDomain } from '../../src/spiffe/index.ts';
import { run } from '../support/run.ts';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const SIDEKEY = path.join(ROOT, 'bin/sidekey');
const AGENT = 'spiffe://ilinux.io/spire/agent/a';
const TERMS = { trustDomain: parseTrustDomain('ilinux.io'), agent: AGENT, now: 1_000_000 };
const EXPIRED = { expires_at: '100' };

function entry(id: string, parent: string, selectors: readonly string[], more: object = {}) {
  const inDomain = (text: string) => ({ trust_domain: 'ilinux.io', path: text });
  const split = selectors.map((text) => ({ type: text.split(':')[0], value: text.slice(text.indexOf(':') + 1) }));
  return {
    id: id.replaceAll(/\W/g, ''),
    spiffe_id: inDomain(id),
    parent_id: inDomain(parent),
    selectors: split,
    ...more,
  };
}

const OURS = '/spire/agent/a';
const SERVER = '/spire/server';

describe('entries that SPIRE would not give to this agent', () => {
  const cases: [what: string, entries: object[]][] = [
    [
      'under an alias that has expired',
      [entry('/alias', SERVER, ['t:x'], EXPIRED), entry('/x', '/alias', ['unix:uid:1'])],
    ],
    ['under an alias without selectors', [entry('/alias', SERVER, []), entry('/x', '/alias', ['unix:uid:1'])]],
    [
      'under an entry that has expired',
      [entry('/parent', OURS, ['unix:uid:1'], EXPIRED), entry('/x', '/parent', ['unix:uid:1'])],
    ],
    [
      'under another alias, by way of an entry with the ID of the server',
      [entry(SERVER, OURS, ['unix:uid:1']), entry('/alias', SERVER, ['t:y']), entry('/x', '/alias', ['unix:uid:1'])],
    ],
    ['with a path of the servers', [entry('/sidekey/server', OURS, ['unix:uid:1'])]],
    ['with a placeholder', [entry('/x/{unix.user}', OURS, ['unix:uid:1'])]],
    ['with a negative selector', [entry('/x', OURS, ['unix:uid:1', '!docker:label:a:b'])]],
    ['with a negative selector as text', [entry('/x', OURS, [], { selectors: ['unix:uid:1', '!docker:label:a:b'] })]],
  ];
  for (const [what, entries] of cases) {
    it(`are not taken ${what}`, () => {
      const input = { from: 'entries.json', value: { entries } };
      const { taken, rows } = pickEntries(input, { ...TERMS, agentSelectors: new Set(['t:x']) });
      assert.deepEqual(taken, []);
      assert.ok(rows.every(({ reason }) => reason !== ''));
    });
  }

  it('but those under a valid alias are', () => {
    const entries = [entry('/alias', SERVER, ['t:x']), entry('/x', '/alias', ['unix:uid:1'])];
    const { taken } = pickEntries(
      { from: 'entries.json', value: { entries } },
      { ...TERMS, agentSelectors: new Set(['t:x']) },
    );
    assert.equal(taken.length, 1);
  });
});

interface Migrated {
  readonly settings: { setting: string; value: string; becomes: string }[];
  readonly notes: string[];
  readonly next_steps: { does: string; command: string[] }[];
}

/** @param files their texts, by the flag that names them */
async function migrate(
  t: TestContext,
  files: Readonly<Record<string, string>>,
  more: readonly string[] = ['-o', 'json'],
) {
  const dir = tempDir(t);
  const given = Object.entries(files).flatMap(([flag, text], index) => {
    const file = path.join(dir, `file-${index}`);
    writeFileSync(file, text);
    return [flag, file];
  });
  const done = await run([
    SIDEKEY,
    'migrate',
    'spire',
    '--agent',
    AGENT,
    '--to',
    path.join(dir, 'new'),
    ...given,
    ...more,
  ]);
  return { ...done, dir, json: () => JSON.parse(done.stdout) as Migrated };
}

const server = (more = '') => `server { trust_domain = "ilinux.io"\n${more} }\n`;

describe('migrate spire', () => {
  it('escapes control characters of the files in every line', async (t) => {
    const esc = String.fromCharCode(27);
    const { status, stdout } = await migrate(
      t,
      {
        '--server-config': server(`socket_path = "/tmp/${esc}]0;title"`),
        '--agent-config': `agent { trust_domain = "ilinux.io"\nsocket_path = "/tmp/${esc}[31m" }`,
      },
      [],
    );
    assert.equal(status, 0);
    assert.ok(!stdout.includes(esc), JSON.stringify(stdout));
    assert.match(stdout, /give-root --spire-socket '\/tmp\/\\u001b\]0;title'/);
  });

  it('shows no value that may be a secret', async (t) => {
    const plugin = (type: string, name: string, data: string) => `${type} "${name}" { plugin_data { ${data} } }`;
    const { status, stdout, json, dir } = await migrate(t, {
      '--server-config': `${server('join_tokn = "s3cret"')}
        plugins {
          ${plugin('KeyManager', 'acme_hsm', 'pin = "s3cret"')}
          ${plugin('DataStore', 'sql', 'database_type = "mysql" conection_string = "u:s3cret@tcp(h)/d"')}
          ${plugin('Notifier', 'mine', 'webhook = "https://hooks.test/s3cret"')}
          ${plugin('UpstreamAuthority', 'vault', 'vault_addr = "https://u:s3cret@v.test:8200"')}
        }`,
    });
    assert.equal(status, 0);
    assert.doesNotMatch(stdout, /s3cret/);
    const vault = json().settings.find(({ setting }) => setting.endsWith('vault_addr'))!;
    assert.deepEqual([vault.value, vault.becomes], ['https://…@v.test:8200', 'vaultAddr: https://…@v.test:8200']);
    assert.match(readFileSync(path.join(dir, 'new/sidekey.yaml'), 'utf8'), /u:s3cret@v\.test/);
  });

  it('says that both have the same root only if it has seen that', async (t) => {
    const none = JSON.stringify({ trust_domain: 'ilinux.io', x509_authorities: [] });
    for (const files of [{ '--spire-bundle': none }, {}]) {
      const { status, stdout, json } = await migrate(t, { '--server-config': server(), ...files });
      assert.equal(status, 0);
      assert.doesNotMatch(stdout, /same root/);
      const commands = json().next_steps.flatMap(({ command }) => command);
      assert.ok(commands.some((command) => /bundle show \| sidekey ca carry -/.test(command)));
      assert.ok(!commands.some((command) => command.includes('spire-roots.pem')), 'there is no such file');
    }
  });

  it("says that tokens of SPIRE's JWT keys are not accepted", async (t) => {
    const bundle = readFileSync(path.join(import.meta.dirname, 'recording/bundle.json'), 'utf8');
    const { json } = await migrate(t, { '--server-config': server(), '--spire-bundle': bundle });
    assert.match(json().notes.join('\n'), /1 JWT key is not carried: Sidekey refuses tokens of SPIRE/);
  });

  it('refuses an agent that is not in its file, or that SPIRE has banned', async (t) => {
    const agent = (name: string, more: object) =>
      JSON.stringify({ id: { trust_domain: 'ilinux.io', path: `/spire/agent/${name}` }, selectors: [], ...more });
    for (const [text, says] of [
      [agent('other', {}), /file-1: it has no agent spiffe:\/\/ilinux\.io\/spire\/agent\/a/],
      [agent('a', { banned: true }), /file-1: SPIRE has banned the agent .*its entries grant nothing there/],
    ] as const) {
      const { status, stderr, dir } = await migrate(t, { '--server-config': server(), '--spire-agent': text });
      assert.equal(status, 2);
      assert.match(stderr, says);
      assert.ok(!existsSync(path.join(dir, 'new')));
    }
  });

  it('refuses a file with very many settings, at once', async (t) => {
    const text = server(Array.from({ length: 50_000 }, (_, index) => `s${index} = 1`).join('\n'));
    const began = performance.now();
    const { status, stderr, dir } = await migrate(t, { '--server-config': text });
    assert.equal(status, 2);
    assert.match(stderr, /has 50001 settings.*at most/);
    assert.ok(performance.now() - began < 10_000);
    assert.ok(!existsSync(path.join(dir, 'new')));
  });

  it('writes nothing if one of the directories cannot be made', async (t) => {
    const bundles = { bundles: [{ trust_domain: 'one.test', x509_authorities: [] }] };
    const files = { '--server-config': server(), '--spire-bundles': JSON.stringify(bundles) };
    const dir = tempDir(t);
    writeFileSync(path.join(dir, 'bundles'), '');
    const { status, stderr } = await migrate(t, files, ['--to', dir]);
    assert.equal(status, 1, stderr);
    assert.ok(!existsSync(path.join(dir, 'sidekey.yaml')));
  });
});

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: a reference to a variable
/** `sidekey migrate spire` with the recorded outputs of a real SPIRE 1.13.3 (see real-spire.test.ts). */

import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { run } from '../support/run.ts';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const SIDEKEY = path.join(ROOT, 'bin/sidekey');
const RECORDING = path.join(import.meta.dirname, 'recording');
const AGENT = 'spiffe://ilinux.io/spire/agent/join_token/00000000-0000-4000-8000-000000000000';
const FILES = {
  ...{ '--server-config': 'server.conf', '--agent-config': 'agent.conf', '--spire-entries': 'entries.json' },
  ...{ '--spire-agent': 'agent.json', '--spire-bundle': 'bundle.json', '--spire-bundles': 'bundles.json' },
  '--spire-federation': 'federation.json',
};

/** A copy of the recording, which the test may change. */
function copied(t: TestContext): string {
  const dir = tempDir(t);
  for (const name of readdirSync(RECORDING)) copyFileSync(path.join(RECORDING, name), path.join(dir, name));
  return dir;
}

function migrate(dir: string, more: readonly string[] = [], files: Readonly<Record<string, string>> = FILES) {
  const given = Object.entries(files).flatMap(([flag, name]) => [flag, path.join(dir, name)]);
  return run([SIDEKEY, 'migrate', 'spire', '--agent', AGENT, '--to', path.join(dir, 'new'), ...given, ...more]);
}

const change = (dir: string, name: string, edit: (text: string) => string) => {
  const file = path.join(dir, name);
  writeFileSync(file, edit(readFileSync(file, 'utf8')));
};

const edit = (dir: string, name: string, how: (json: Record<string, unknown>) => object) =>
  change(dir, name, (text) => JSON.stringify(how(JSON.parse(text))));

describe('migrate spire', () => {
  it('takes the entries of this agent, also by way of its node alias, and lists the others with the reason', async (t) => {
    const dir = copied(t);
    const { status, stdout, stderr } = await migrate(dir, ['-o', 'json']);
    assert.equal(status, 0, stderr);
    const { entries } = JSON.parse(stdout) as { entries: { spiffeId: string; reason: string }[] };
    const reasons = Object.fromEntries(entries.map(({ spiffeId, reason }) => [spiffeId.slice(18), reason]));
    assert.deepEqual([reasons['/front'], reasons['/back']], ['', '']);
    assert.match(reasons['/host']!, /names the agent itself/);
    assert.match(reasons['/elsewhere']!, /another host/);
    assert.match(reasons['/pod']!, /selectors.*k8s/);
    assert.match(reasons['/admin']!, /admin/);
    assert.match(reasons['/cluster']!, /node alias of other agents/);
    const taken = JSON.parse(readFileSync(path.join(dir, 'new/entries.json'), 'utf8')).entries;
    assert.deepEqual(taken.map((one: { spiffe_id: string }) => one.spiffe_id).sort(), [
      'spiffe://ilinux.io/back',
      'spiffe://ilinux.io/front',
    ]);
    const front = taken.find((one: { spiffe_id: string }) => one.spiffe_id.endsWith('/front'));
    assert.deepEqual([front.x509_svid_ttl, front.hint, front.parent_id], [600, 'front', AGENT]);
  });

  it('says for every setting what becomes of it, and the result starts', async (t) => {
    const dir = copied(t);
    const { status, stdout, stderr } = await migrate(dir, ['-o', 'json']);
    assert.equal(status, 0, stderr);
    const { settings, next_steps: steps } = JSON.parse(stdout) as {
      settings: { setting: string; value: string; becomes: string; why: string; line: number }[];
      next_steps: { does: string; command: string[] }[];
    };
    for (const row of settings)
      assert.ok(row.why !== '' && row.line > 0 && !/no such setting/.test(row.why), row.setting);
    const becomes = Object.fromEntries(settings.map((row) => [row.setting, row.becomes]));
    assert.equal(becomes['server.ca_ttl'], 'caTtl: 1d');
    assert.equal(becomes['server.ca_subject.organization'], 'caSubject: C=US,O=Example');
    assert.equal(becomes['plugins.KeyManager.disk.plugin_data.keys_path'], '');
    const secret = settings.find((row) => row.setting.endsWith('connection_string'));
    assert.equal(secret?.value, '(not shown)');
    assert.match(
      steps.map(({ command }) => command.join()).join(),
      /ca carry.*migrate give-root.*bundle set one\.test/,
    );
    const data = path.join(dir, 'data');
    const flags = ['--data-dir', data, '--socket', path.join(dir, 'run/agent.sock')];
    const check = await run([SIDEKEY, 'serve', '--check', '--config', path.join(dir, 'new/sidekey.yaml'), ...flags]);
    assert.equal(check.status, 0, check.stdout + check.stderr);
    assert.match(check.stdout, /created: 2/);
    for (const name of ['sidekey.yaml', 'entries.json', 'spire-roots.pem', 'bundles/one.test.json'])
      assert.equal(statSync(path.join(dir, 'new', name)).mode & 0o777, 0o600, name);
  });

  it('prints a table, the reasons and the next steps for people', async (t) => {
    const { status, stdout } = await migrate(copied(t));
    assert.equal(status, 0);
    for (const says of [
      /SETTING +VALUE +BECOMES +WHY/,
      /2 of \d+ entries are taken/,
      /Not taken:/,
      /Next steps:\n1\. /,
    ])
      assert.match(stdout, says);
  });

  it('overwrites nothing without --force', async (t) => {
    const dir = copied(t);
    mkdirSync(path.join(dir, 'new'));
    writeFileSync(path.join(dir, 'new/sidekey.yaml'), 'mine');
    const refused = await migrate(dir);
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /sidekey\.yaml exists already.*--force/);
    assert.equal(readFileSync(path.join(dir, 'new/sidekey.yaml'), 'utf8'), 'mine');
    assert.ok(!existsSync(path.join(dir, 'new/entries.json')));
    assert.equal((await migrate(dir, ['--force'])).status, 0);
    assert.match(readFileSync(path.join(dir, 'new/sidekey.yaml'), 'utf8'), /trustDomain/);
  });

  for (const [knows, files] of [
    [true, FILES],
    [false, Object.fromEntries(Object.entries(FILES).filter(([flag]) => flag !== '--spire-agent'))],
  ] as const) {
    it(`takes ${knows ? 'the' : 'no'} entry of an alias if the selectors of the agent are ${knows ? '' : 'not '}known`, async (t) => {
      const dir = copied(t);
      const selectors = [{ type: 'x509pop', value: 'subject:cn:host' }];
      edit(dir, 'agent.json', (agent) => ({ ...agent, selectors }));
      edit(dir, 'entries.json', ({ entries }) => ({
        entries: (entries as { spiffe_id: { path: string }; parent_id: object }[]).map((entry) => {
          if (entry.spiffe_id.path !== '/host') return entry;
          return { ...entry, parent_id: { ...entry.parent_id, path: '/spire/server' }, selectors };
        }),
      }));
      const { status, stdout } = await migrate(dir, ['-o', 'json'], files);
      assert.equal(status, 0);
      const { entries, notes } = JSON.parse(stdout) as {
        entries: { spiffeId: string; reason: string }[];
        notes: string[];
      };
      assert.equal(/selectors of the agent are not known/.test(notes.join()), !knows);
      const back = entries.find(({ spiffeId }) => spiffeId === 'spiffe://ilinux.io/back')!;
      assert.match(back.reason, knows ? /^$/ : /its parent is a node alias, and the agent's selectors are not known/);
      const taken = JSON.parse(readFileSync(path.join(dir, 'new/entries.json'), 'utf8')).entries;
      assert.deepEqual(
        taken.map((one: { spiffe_id: string }) => one.spiffe_id.slice('spiffe://ilinux.io'.length)).sort(),
        knows ? ['/back', '/front'] : ['/front'],
      );
    });
  }

  it('shares an upstream on disk, and then carries no root', async (t) => {
    const dir = copied(t);
    const { x509_authorities: roots } = JSON.parse(readFileSync(path.join(dir, 'bundle.json'), 'utf8'));
    const pem = roots.map(
      ({ asn1 }: { asn1: string }) =>
        `-----BEGIN CERTIFICATE-----\n${asn1.replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`,
    );
    writeFileSync(path.join(dir, 'ca.pem'), pem.join(''));
    const disk = 'UpstreamAuthority "disk" { plugin_data { cert_file_path = "ca.pem" key_file_path = "ca.key" } }';
    change(dir, 'server.conf', (text) => text.replace('plugins {', `plugins {\n  ${disk}`));
    const { status, stdout, stderr } = await migrate(dir, ['--base', dir]);
    assert.equal(status, 0, stderr);
    const yaml = readFileSync(path.join(dir, 'new/sidekey.yaml'), 'utf8');
    assert.match(yaml, /upstream: "disk"/);
    assert.ok(yaml.includes(`upstreamCertFile: "${dir}/ca.pem"`), yaml);
    assert.ok(!existsSync(path.join(dir, 'new/spire-roots.pem')));
    assert.match(stdout, /sign under the same root/);
  });

  it('refuses bad input with file, line and rule, and writes nothing', async (t) => {
    const cases: [name: string, edit: (text: string) => string, says: RegExp][] = [
      ['server.conf', (text) => text.replace('"ilinux.io"', '"Ilinux"'), /server\.conf:\d+ server\.trust_domain/],
      ['server.conf', (text) => `${text}}`, /server\.conf:\d+: "}" is where something else belongs/],
      [
        'server.conf',
        (text) => text.replace('ca_ttl', 'trust_domain'),
        /server\.conf:\d+: "trust_domain" is set in line/,
      ],
      ['agent.conf', (text) => text.replace('"ilinux.io"', '"other.test"'), /trustDomain would be other\.test/],
      ['entries.json', (text) => text.slice(0, 100), /entries\.json: it is not JSON/],
      [
        'entries.json',
        (text) => text.replace('"next_page_token": ""', '"next_page_token": "7"'),
        /more follow on the next page/,
      ],
      ['entries.json', () => '{"entries":[{}]}', /entries\.json \/entries\/0\/spiffe_id/],
      ['entries.json', () => '['.repeat(100), /nested more than 16 deep/],
      ['bundle.json', (text) => text.replace('ilinux.io', 'x.test'), /bundle\.json \/trust_domain/],
      ['bundle.json', (text) => text.replace(/"asn1": "../, '"asn1": "!!'), /x509_authorities\/0\/asn1/],
      ['bundles.json', (text) => text.replace('"one.test"', '"../../etc"'), /bundles\/0\/trust_domain/],
    ];
    for (const [name, edit, says] of cases) {
      const dir = copied(t);
      change(dir, name, edit);
      const { status, stderr } = await migrate(dir);
      assert.equal(status, 2, `${says}: ${stderr}`);
      assert.match(stderr, says);
      assert.match(stderr, /ERR_CONFIG/);
      assert.ok(!existsSync(path.join(dir, 'new')), name);
    }
  });

  it('replaces environment variables as SPIRE does, and refuses one that is not set', async (t) => {
    const dir = copied(t);
    change(dir, 'server.conf', (text) => text.replace('"24h"', '"${SPIRE_TEST_TTL}"'));
    const left = await migrate(dir, ['-o', 'json']);
    assert.match(left.stdout, /refers to an environment variable/);
    const refused = await migrate(dir, ['--force', '--expand-env']);
    assert.match(refused.stderr, /server\.conf:\d+: the environment variable SPIRE_TEST_TTL is not set/);
    process.env.SPIRE_TEST_TTL = '12h';
    t.after(() => delete process.env.SPIRE_TEST_TTL);
    const done = await migrate(dir, ['--force', '--expand-env', '-o', 'json']);
    assert.match(done.stdout, /caTtl: 12h/);
  });

  it('asks the running server through its own program', async (t) => {
    const dir = copied(t);
    const program = path.join(dir, 'spire-server');
    const script = `#!/bin/sh
case "$1 $2" in
  "entry show") cat ${dir}/entries.json;; "agent show") cat ${dir}/agent.json;; "bundle show") cat ${dir}/bundle.json;;
  "bundle list") cat ${dir}/bundles.json;; "federation list") echo "no permission" >&2; exit 1;;
esac
`;
    writeFileSync(program, script, { mode: 0o755 });
    const files = { '--server-config': 'server.conf' };
    const refused = await migrate(dir, ['--spire-server', program], files);
    assert.match(refused.stderr, /spire-server federation list: it failed: no permission/);
    const more = ['--spire-server', program, '--spire-federation', path.join(dir, 'federation.json')];
    const { status, stdout } = await migrate(dir, more, files);
    assert.equal(status, 0);
    assert.match(stdout, /2 of \d+ entries are taken/);
  });
});

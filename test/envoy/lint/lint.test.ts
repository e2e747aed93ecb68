import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { readBootstrapFlags } from '../../../src/cli/bootstrap-flags.ts';
import { bootstrapYaml } from '../../../src/envoy/bootstrap.ts';
import { type KnownFacts, lintBootstrap } from '../../../src/envoy/lint/lint.ts';
import { ROOT } from '../../support/serve.ts';
import { tempDir } from '../../support/temp-dir.ts';

const WEB = 'spiffe://ilinux.io/web';
const DB = 'spiffe://ilinux.io/db';

/** A server and a client, as Sidekey itself writes one. */
const GOOD = bootstrapYaml(
  readBootstrapFlags({
    spiffeId: WEB,
    listen: '0.0.0.0:8443',
    to: '127.0.0.1:8080',
    allow: ['spiffe://ilinux.io/front'],
    upstream: [`db=10.0.0.7:8443,${DB}`],
    socket: '/run/sidekey/agent.sock',
    admin: '127.0.0.1:9901',
  }),
);

const ENTRIES = [WEB, DB, 'spiffe://ilinux.io/front'].map((spiffe_id) => ({
  id: `id-of-${spiffe_id.split('/').at(-1)}`,
  spiffe_id,
  federates_with: ['example.org'],
  dns_names: [] as readonly string[],
}));

/** A change of text, first found; it must be found. */
type Change = readonly [from: string | RegExp, to: string];

function changed(text: string, ...changes: readonly Change[]): string {
  return changes.reduce((before, [from, to]) => {
    const after = before.replace(from, to);
    assert.notEqual(after, before, `${from} is not there`);
    return after;
  }, text);
}

interface Case {
  readonly fault: string;
  readonly changes: readonly Change[];
  readonly rule: string;
  readonly severity?: 'warning' | 'info';
  /** The first line with this is the one that the finding names. */
  readonly at: string;
  readonly known?: KnownFacts;
}

const SDS_MATCHERS =
  /default_validation_context:\n\s+match_typed_subject_alt_names:\n.*\n.*exact: spiffe:\/\/ilinux.io/;

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const AUTO_SAN = `typed_extension_protocol_options: { ${HTTP_OPTIONS}: { "@type": type.googleapis.com/${HTTP_OPTIONS}, upstream_http_protocol_options: { auto_sni: true, auto_san_validation: true }, explicit_http_config: { http_protocol_options: {} } } }`;
const QUIC: readonly Change[] = [
  [/(envoy\.extensions\.transport_sockets\.)tls\.v3\.UpstreamTlsContext/, '$1quic.v3.QuicUpstreamTransport'],
  [
    /(QuicUpstreamTransport"?\n)( +)common_tls_context:/,
    '$1$2upstream_tls_context:\n$2 sni: db.example\n$2 common_tls_context:',
  ],
];

const CASES: readonly Case[] = [
  { fault: 'no node', changes: [[/^node: .*/m, '']], rule: 'node', at: '#' },
  { fault: 'no node id', changes: [[/node: \{ id: web, /, 'node: { ']], rule: 'node', at: 'node:' },
  { fault: 'no node cluster', changes: [[/, cluster: web }/, ' }']], rule: 'node', at: 'node:' },
  {
    fault: 'an sds cluster that is not there',
    changes: [['cluster_name: sidekey\n', 'cluster_name: sidekye\n']],
    rule: 'sds-cluster',
    at: 'api_config_source:',
  },
  {
    fault: 'an sds cluster that CDS may bring',
    changes: [
      ['cluster_name: sidekey\n', 'cluster_name: cds\n'],
      [
        'static_resources:',
        'dynamic_resources: { cds_config: { path_config_source: { path: /cds } } }\nstatic_resources:',
      ],
    ],
    rule: 'sds-cluster',
    severity: 'warning',
    at: 'api_config_source:',
  },
  {
    fault: 'grpc_services that is empty',
    changes: [[/grpc_services:\n(?:.*\n){4}/, 'grpc_services: []\n']],
    rule: 'sds-cluster',
    at: 'grpc_services:',
  },
  {
    fault: 'an sds cluster on the network',
    changes: [['pipe: { path: /run/sidekey/agent.sock }', 'socket_address: { address: 127.0.0.1, port_value: 1 }']],
    rule: 'sds-pipe',
    severity: 'warning',
    at: 'port_value: 1 }',
  },
  {
    fault: 'the admin socket as the pipe',
    changes: [['/run/sidekey/agent.sock', '/run/sidekey/admin.sock']],
    rule: 'sds-pipe',
    at: 'admin.sock',
  },
  {
    fault: 'a relative pipe',
    changes: [['/run/sidekey/agent.sock', 'agent.sock']],
    rule: 'sds-pipe',
    at: 'agent.sock',
  },
  { fault: 'an abstract pipe', changes: [['/run/sidekey/agent.sock', '"@agent"']], rule: 'sds-pipe', at: '@agent' },
  {
    fault: 'an sds cluster without http2 options',
    changes: [
      ['http2_protocol_options:\n', 'http_protocol_options: {}\n'],
      [/ +connection_keepalive: .*\n/, ''],
    ],
    rule: 'sds-http2',
    at: 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions:',
  },
  {
    fault: 'an sds cluster with TLS',
    changes: [
      [
        'type: STATIC\n    connect',
        'transport_socket: { name: envoy.transport_sockets.tls }\n    type: STATIC\n    connect',
      ],
    ],
    rule: 'sds-tls',
    at: 'transport_socket: { name: envoy.transport_sockets.tls }',
  },
  {
    fault: 'more secrets than the sds cluster allows requests',
    changes: [['connect_timeout: 1s', 'circuit_breakers: { thresholds: [{ max_requests: 1 }] }']],
    rule: 'sds-max-requests',
    at: 'max_requests: 1',
  },
  { fault: 'no api_type', changes: [[/ +api_type: DELTA_GRPC\n/, '']], rule: 'api-type', at: 'api_config_source:' },
  { fault: 'REST', changes: [['api_type: DELTA_GRPC', 'api_type: REST']], rule: 'api-type', at: 'api_type:' },
  {
    fault: 'transport version 2',
    changes: [['transport_api_version: V3', 'transport_api_version: V2']],
    rule: 'api-version',
    at: 'transport_api_version:',
  },
  {
    fault: 'resource version 2',
    changes: [['resource_api_version: V3', 'resource_api_version: V2']],
    rule: 'api-version',
    severity: 'warning',
    at: 'resource_api_version:',
  },
  {
    fault: 'no retry_back_off',
    changes: [[/ +retry_policy: .*\n/, '']],
    rule: 'retry-back-off',
    severity: 'warning',
    at: '- envoy_grpc:',
  },
  {
    fault: 'the node with each request',
    changes: [[/ +set_node_on_first_message_only: true\n/, '']],
    rule: 'node-once',
    severity: 'info',
    at: 'api_config_source:',
  },
  {
    fault: 'ADS in a listener without ads_config',
    changes: [['sds_config: *sidekey', 'sds_config: { resource_api_version: V3, ads: {} }']],
    rule: 'ads-config',
    at: 'ads: {}',
  },
  {
    fault: 'a type of v2',
    changes: [['tls.v3.UpstreamTlsContext', 'tls.v2.UpstreamTlsContext']],
    rule: 'v2',
    at: 'v2.UpstreamTlsContext',
  },
  {
    fault: 'tls_context of v2',
    changes: [[/( +)filter_chains:\n +- filters/, '$1tls_context: {}\n$&']],
    rule: 'v2',
    at: 'tls_context: {}',
  },
  {
    fault: 'verify_subject_alt_name of v2',
    changes: [
      ['default_validation_context:', 'default_validation_context:\n                verify_subject_alt_name: [a]'],
    ],
    rule: 'v2',
    at: 'verify_subject_alt_name',
  },
  {
    fault: 'hosts of v2',
    changes: [['type: STATIC\n    connect', 'hosts: []\n    type: STATIC\n    connect']],
    rule: 'v2',
    at: 'hosts: []',
  },
  {
    fault: 'config of v2',
    changes: [['name: envoy.filters.http.router\n', 'name: envoy.filters.http.router\n            config: {}\n']],
    rule: 'v2',
    at: 'config: {}',
  },
  {
    fault: 'no SAN matchers for an upstream',
    changes: [[new RegExp(`${SDS_MATCHERS.source}/db }`), 'default_validation_context: {}']],
    rule: 'san-matchers',
    at: 'default_validation_context: {}',
  },
  {
    fault: 'no SAN matchers for a listener',
    changes: [[new RegExp(`${SDS_MATCHERS.source}/front }`), 'default_validation_context: {}']],
    rule: 'san-matchers',
    severity: 'warning',
    at: 'default_validation_context: {}',
  },
  {
    fault: 'SAN matchers of DNS names alone',
    changes: [['san_type: URI', 'san_type: DNS']],
    rule: 'san-matchers',
    at: 'match_typed_subject_alt_names:',
  },
  {
    fault: 'SAN matchers of the deprecated kind',
    changes: [
      ['match_typed_subject_alt_names:', 'match_subject_alt_names:'],
      [/- san_type: URI\n +matcher: \{ (.*) \}/, '- $1'],
    ],
    rule: 'san-deprecated',
    severity: 'warning',
    at: 'match_subject_alt_names:',
  },
  {
    fault: 'a SAN matcher that nobody meets',
    changes: [['exact: spiffe://ilinux.io/front', 'exact: spiffe://ilinux.io']],
    rule: 'san-impossible',
    at: 'exact: spiffe://ilinux.io ',
  },
  {
    fault: 'an upstream that is not verified',
    changes: [[/(UpstreamTlsContext[\s\S]*?) +combined_validation_context:[\s\S]*/, '$1']],
    rule: 'unverified',
    at: 'common_tls_context:',
  },
  {
    fault: 'a listener that asks for no certificate',
    changes: [['require_client_certificate: true', 'require_client_certificate: false']],
    rule: 'client-certificate',
    at: 'require_client_certificate:',
  },
  {
    fault: 'session ticket keys',
    changes: [
      ['require_client_certificate: true', 'require_client_certificate: true\n          session_ticket_keys: {}'],
    ],
    rule: 'session-tickets',
    at: 'session_ticket_keys: {}',
  },
  {
    fault: 'a name that means nothing',
    changes: [[`- name: ${WEB}`, '- name: web']],
    rule: 'name',
    severity: 'warning',
    at: '- name: web',
  },
  {
    fault: 'a trust domain in capitals',
    changes: [['name: spiffe://ilinux.io\n', 'name: spiffe://ILINUX.io\n']],
    rule: 'name',
    severity: 'warning',
    at: 'validation_context_sds_secret_config:',
  },
  {
    fault: 'a secret without a name',
    changes: [[`- name: ${WEB}\n`, '-\n']],
    rule: 'name',
    at: 'sds_config: &sidekey',
  },
  {
    fault: 'a bundle as identity',
    changes: [[`- name: ${WEB}`, '- name: ROOTCA']],
    rule: 'name-kind',
    at: 'name: ROOTCA',
  },
  {
    fault: 'an identity as bundle',
    changes: [['name: spiffe://ilinux.io\n', 'name: default\n']],
    rule: 'name-kind',
    at: 'validation_context_sds_secret_config:',
  },
  {
    fault: 'a secret of another kind',
    changes: [['stat_prefix: inbound', 'stat_prefix: inbound\n          token: { name: token, sds_config: *sidekey }']],
    rule: 'secret-kind',
    at: 'token: {',
  },
  {
    fault: 'an identity that no entry gives',
    changes: [[`- name: ${WEB}`, '- name: spiffe://ilinux.io/wbe']],
    rule: 'no-entry',
    at: '- name: spiffe://ilinux.io/wbe',
    known: { entries: ENTRIES },
  },
  {
    fault: 'the default identity where there are no entries',
    changes: [
      [`- name: ${WEB}`, '- name: default'],
      [`- name: ${WEB}`, '- name: default'],
    ],
    rule: 'no-entry',
    at: '- name: default',
    known: { entries: [] },
  },
  {
    fault: 'a trust domain that nobody federates with',
    changes: [['name: spiffe://ilinux.io\n', 'name: spiffe://ilinx.io\n']],
    rule: 'no-bundle',
    at: 'validation_context_sds_secret_config:',
    known: { entries: ENTRIES },
  },
  {
    fault: 'a peer whom no entry names',
    changes: [['exact: spiffe://ilinux.io/db', 'exact: spiffe://ilinux.io/dbb']],
    rule: 'peer-without-entry',
    severity: 'warning',
    at: 'exact: spiffe://ilinux.io/dbb',
    known: { entries: ENTRIES },
  },
  {
    fault: 'a key twice',
    changes: [[/^node: .*/m, 'node: {}\n$&']],
    rule: 'key-twice',
    severity: 'warning',
    at: 'node: {}',
  },
  {
    fault: 'a field in two spellings',
    changes: [['require_client_certificate: true', 'requireClientCertificate: true\n          $&']],
    rule: 'key-twice',
    severity: 'warning',
    at: 'requireClientCertificate',
  },
  {
    fault: 'a second document',
    changes: [[/$/, '---\nfoo: [bar\n']],
    rule: 'second-document',
    severity: 'warning',
    at: '---',
  },
  {
    fault: 'a bracket at the margin',
    changes: [['common_tls_context:\n', 'sni: x\n          alpn_protocols: [\n"h2"\n          ]\n          $&']],
    rule: 'yaml-indent',
    severity: 'warning',
    at: '"h2"',
  },
  {
    fault: 'auto_san_validation',
    changes: [[/( +)load_assignment:\n +cluster_name: db\n/, `$1${AUTO_SAN}\n$&`]],
    rule: 'auto-san',
    severity: 'warning',
    at: 'auto_san_validation',
  },
  {
    fault: 'auto_sni_san_validation',
    changes: [[/UpstreamTlsContext\n( +)/, '$&auto_sni_san_validation: true\n$1']],
    rule: 'auto-san',
    severity: 'info',
    at: 'auto_sni_san_validation',
  },
  {
    fault: 'an upstream over QUIC, of which nobody knows the names',
    changes: QUIC,
    rule: 'quic-host-name',
    severity: 'warning',
    at: 'sni: db.example',
  },
  {
    fault: 'an upstream over QUIC whose entry has no such name',
    changes: QUIC,
    rule: 'quic-host-name',
    at: 'sni: db.example',
    known: { entries: ENTRIES },
  },
  {
    fault: 'an upstream over QUIC without a name',
    changes: [...QUIC, [/ +sni: db.example\n/, '']],
    rule: 'quic-host-name',
    at: 'upstream_tls_context',
  },
  { fault: 'an alias of nothing', changes: [['*sidekey', '*nothing']], rule: 'syntax', at: '*nothing' },
];

/** What a server knows that is asked too. */
const SERVER: NonNullable<KnownFacts['server']> = {
  trustDomain: 'ilinux.io',
  names: { default: 'default', bundle: 'ROOTCA', allBundles: 'ALL' },
  pipe: '/run/sidekey/agent.sock',
  bundles: ['example.org'],
  held: [],
};
const KNOWN: KnownFacts = { entries: ENTRIES, aliases: [], server: SERVER };
const HOLD = {
  node: 'web',
  pid: 4711,
  name: WEB,
  reason: 'lacks-selectors',
  detail: 'entry x gives it to callers with unix:uid:5',
  has: false,
  until: null,
};

/** True if both lines begin an item of the same list. */
function isSameList(lines: readonly string[], a: number, b: number, margin: string): boolean {
  const [first, last] = a < b ? [a, b] : [b, a];
  if (!lines[b]!.startsWith(margin)) return false;
  const indent = margin.length - 2;
  return lines.slice(first, last).every((line) => line.trim() === '' || line.search(/\S/) >= indent);
}

describe('the lint of a bootstrap', () => {
  test('what is left open a hundred times is told once', () => {
    const problems = lintBootstrap(`a: ${'['.repeat(100)}`, 'envoy.yaml', {}).map(({ rule, problem }) => [
      rule,
      problem,
    ]);
    assert.ok(problems.length > 0 && problems.length < 5, JSON.stringify(problems));
    assert.equal(new Set(problems.map(String)).size, problems.length);
  });

  for (const { fault, changes, rule, severity, at, known } of CASES) {
    test(`${fault} is found by ${rule}, with its line`, () => {
      const text = changed(GOOD, ...changes);
      const findings = lintBootstrap(text, 'envoy.yaml', known);
      const found = findings.find((finding) => finding.rule === rule);
      assert.ok(found !== undefined, `${rule} is not among ${JSON.stringify(findings)}`);
      assert.equal(found.severity, severity ?? 'error');
      assert.equal(found.place, 'envoy.yaml');
      assert.ok(
        text.split('\n')[found.line! - 1]!.includes(at),
        `line ${found.line}, ${text.split('\n')[found.line! - 1]}`,
      );
      const others = findings.filter((finding) => finding.rule !== rule && finding.rule !== 'no-entry');
      assert.deepEqual(others, [], 'and nothing else');
    });
  }

  test('a command mends what it is told for, and nothing else; whoever reads stdin gets none', (t) => {
    const file = path.join(tempDir(t), "it's an envoy.yaml");
    const mended = new Set<string>();
    for (const { fault, changes, rule, known } of CASES) {
      const text = changed(GOOD, ...changes);
      const look = () => lintBootstrap(readFileSync(file, 'utf8'), file, known);
      writeFileSync(file, text);
      const before = look().find((finding) => finding.rule === rule)!;
      const { command } = before;
      if (command === undefined) continue;
      assert.equal(spawnSync('/bin/sh', ['-c', command]).status, 0, command);
      const left = look();
      assert.ok(!left.some((finding) => finding.rule === rule && finding.problem === before.problem), fault);
      assert.ok(!left.some((finding) => finding.rule === 'syntax'), `${fault}: ${command}`);
      const lines = readFileSync(file, 'utf8').split('\n').length - text.split('\n').length;
      assert.ok(lines === 0 || lines === 1, `${fault}: ${lines} lines more`);
      mended.add(rule);
      const { command: none } = lintBootstrap(text, 'stdin', known).find((finding) => finding.rule === rule)!;
      assert.equal(none, undefined);
    }
    const expected = ['sds-cluster', 'sds-pipe', 'sds-http2', 'sds-max-requests', 'api-type', 'api-version'];
    expected.push('retry-back-off', 'node-once', 'client-certificate', 'auto-san');
    assert.deepEqual([...mended].toSorted(), expected.toSorted());
  });

  test('no command gives an Envoy another name or another server than its bootstrap says', () => {
    const known = { entries: ENTRIES, aliases: [] };
    const names = changed(GOOD, [`name: ${WEB}\n`, 'name: defalt\n'], [`name: ${WEB}\n`, `name: ${WEB}2\n`]);
    const cluster = changed(GOOD, ['cluster_name: sidekey\n', 'cluster_name: dbs\n']);
    for (const [text, rules] of [
      [names, ['name', 'no-entry']],
      [cluster, ['sds-cluster']],
    ] as const) {
      const found = lintBootstrap(text, 'envoy.yaml', known);
      assert.deepEqual(found.map(({ rule }) => rule).toSorted(), rules);
      assert.deepEqual(new Set(found.map(({ command }) => command)), new Set([undefined]));
    }
    assert.match(lintBootstrap(cluster, 'envoy.yaml')[0]!.fix, /cluster_name: db/);
  });

  test('commands are right in flow style, beside comments and anchors, and for letters that sed cares about', (t) => {
    const file = path.join(tempDir(t), 'envoy.yaml');
    const cases: readonly (readonly [Change, string])[] = [
      [
        [/envoy_grpc:\n +cluster_name: sidekey\n.*\n.*\n/, 'envoy_grpc: { cluster_name: sidekey } # it\n'],
        'retry-back-off',
      ],
      [[/retry_policy: .*/, 'retry_policy: { num_retries: 3 }'], 'retry-back-off'],
      [[/retry_policy: .*/, 'retry_policy: {}'], 'retry-back-off'],
      [[/retry_policy: .*/, 'retry_policy: { num_retries: 3, }'], 'retry-back-off'],
      [['require_client_certificate: true', 'require_client_certificate:'], 'client-certificate'],
      [[/- name: sidekey\n/, '- name: "side: key"\n'], 'sds-cluster'],
      [[/ +typed_extension_protocol_options:\n(.*\n){5}/, ''], 'sds-http2'],
      [['path: /run/sidekey/agent.sock', 'path: "/a&b|c\\\\d/admin.sock"'], 'sds-pipe'],
      [['require_client_certificate: true', 'require_client_certificate: &no false # no'], 'client-certificate'],
    ];
    for (const [change, rule] of cases) {
      writeFileSync(file, changed(GOOD, change));
      const before = lintBootstrap(readFileSync(file, 'utf8'), file);
      assert.deepEqual(
        before.map((finding) => finding.rule),
        [rule],
        String(change),
      );
      assert.equal(spawnSync('/bin/sh', ['-c', before[0]!.command!]).status, 0);
      assert.deepEqual(lintBootstrap(readFileSync(file, 'utf8'), file), [], `${before[0]!.command}`);
    }
    const late = changed(
      GOOD,
      [/ +retry_policy: .*\n/, ''],
      ['http2_protocol_options:\n', 'http_protocol_options: {}\n'],
      [/ +connection_keepalive: .*\n/, ''],
    );
    writeFileSync(file, late);
    const commands = lintBootstrap(late, file).map(({ command }) => command!);
    assert.equal(commands.length, 2);
    // The first adds a line, so that the second is about another one: it must leave that alone.
    for (const command of commands) assert.equal(spawnSync('/bin/sh', ['-c', command]).status, 0);
    const [left, ...more] = lintBootstrap(readFileSync(file, 'utf8'), file);
    assert.deepEqual([left!.rule, more], ['sds-http2', []]);
    for (const again of [commands[0]!, left!.command!]) spawnSync('/bin/sh', ['-c', again]);
    assert.deepEqual(
      lintBootstrap(readFileSync(file, 'utf8'), file),
      [],
      'nor is a command that is run twice done twice',
    );
    const option = '-e1e touch made';
    const cwd = path.dirname(file);
    const open = changed(GOOD, ['require_client_certificate: true', 'require_client_certificate: false']);
    writeFileSync(path.join(cwd, option), open);
    spawnSync('/bin/sh', ['-c', lintBootstrap(open, option)[0]!.command!], { cwd });
    assert.equal(readFileSync(path.join(cwd, option), 'utf8'), GOOD, 'a name of a file is none of the options of sed');
    const pipe = changed(GOOD, ['path: /run/sidekey/agent.sock', 'path: "/a&b|c\\\\d/admin.sock"']);
    writeFileSync(file, pipe);
    spawnSync('/bin/sh', ['-c', lintBootstrap(pipe, file)[0]!.command!]);
    assert.equal(readFileSync(file, 'utf8'), pipe.replace('admin.sock', 'agent.sock'));
  });

  test('nothing is found in what Sidekey writes and in the examples, with or without entries', () => {
    assert.deepEqual(lintBootstrap(GOOD, 'good'), []);
    assert.deepEqual(lintBootstrap(GOOD, 'good', { entries: ENTRIES }), []);
    const examples = globSync('envoy-examples/*/envoy.yaml', { cwd: ROOT });
    assert.equal(examples.length, 3);
    for (const file of examples) assert.deepEqual(lintBootstrap(readFileSync(path.join(ROOT, file), 'utf8'), file), []);
  });

  test('a bootstrap in JSON, with the names that JSON has for fields, is read the same', () => {
    const json = JSON.stringify(parse(GOOD), undefined, 1);
    const camel = json.replaceAll(/"([a-z]+(?:_[a-z0-9]+)+)":/g, (_, name: string) => {
      return `"${name.replaceAll(/_([a-z])/g, (__, letter: string) => letter.toUpperCase())}":`;
    });
    assert.match(camel, /"setNodeOnFirstMessageOnly": true/);
    assert.deepEqual(lintBootstrap(camel, 'envoy.json'), []);
    const rules = lintBootstrap(camel.replaceAll('"transportApiVersion": "V3"', '"transportApiVersion": "V2"'), 'j');
    assert.deepEqual(new Set(rules.map(({ rule }) => rule)), new Set(['api-version']));
    assert.deepEqual(new Set(rules.map(({ command }) => command)), new Set([undefined]), 'what is added is YAML');
  });

  test('one value where Envoy has a list is read as that list, by every rule', () => {
    // Each dash that begins a list of one becomes a space: `- name: x` is then a map.
    const isSingle = (lines: readonly string[], at: number) => {
      const margin = /^ *- /.exec(lines[at]!)?.[0];
      if (margin === undefined) return false;
      return !lines.some((_, other) => other !== at && isSameList(lines, at, other, margin));
    };
    const lines = GOOD.split('\n');
    const single = lines.map((line, at) => (isSingle(lines, at) ? line.replace('- ', '  ') : line)).join('\n');
    assert.notEqual(single, GOOD);
    const flows = single.replace('domains: ["*"]', 'domains: "*"').replace('[h2, http/1.1]', '[[h2], http/1.1]');
    for (const text of [single, flows]) {
      assert.deepEqual(lintBootstrap(text, 'f', { entries: ENTRIES }), []);
      const broken: readonly (readonly [Change, string])[] = [
        [['cluster_name: sidekey\n', 'cluster_name: sidekye\n'], 'sds-cluster'],
        [['/run/sidekey/agent.sock', '/run/sidekey/admin.sock'], 'sds-pipe'],
        [[/ +retry_policy: .*\n/, ''], 'retry-back-off'],
        [['san_type: URI', 'san_type: DNS'], 'san-matchers'],
        [['exact: spiffe://ilinux.io/db', 'exact: spiffe://ilinux.io/dbb'], 'peer-without-entry'],
        [['connect_timeout: 1s', 'circuit_breakers: { thresholds: { max_requests: 1 } }'], 'sds-max-requests'],
        [[`name: ${WEB}`, 'name: spiffe://ilinux.io/wbe'], 'no-entry'],
      ];
      for (const [change, rule] of broken) {
        const found = lintBootstrap(changed(text, change), 'f', { entries: ENTRIES });
        assert.deepEqual([...new Set(found.map((one) => one.rule))], [rule], String(change));
      }
    }
  });

  test('no text is told in the words of the YAML library', () => {
    const texts = [
      'a: [',
      'a: "',
      'a: b: c',
      'a: &x &y b',
      'a: @b',
      '\ta: b',
      'a: }',
      'a: *b',
      'a: "\\q"',
      'a: !!x !!y b',
    ];
    for (const text of [
      ...texts,
      'a: 1\na: 2',
      'a: 1\n---\nb: 2',
      `${'k'.repeat(1100)}: 1`,
      '? [a]: b',
      'a:\n  b\n c: d',
    ]) {
      const said = JSON.stringify(lintBootstrap(text, 'f'));
      assert.doesNotMatch(said, /parseAllDocuments|Implicit|implicit|Flow (map|seq)|unique|scalar|token|compact/, text);
    }
  });

  test('an upstream whose certificates have the host name is fine', () => {
    const db = { ...ENTRIES[1]!, dns_names: ['other.example', 'db.example'] };
    const entries = [ENTRIES[0]!, ENTRIES[2]!, db];
    const rules = (known: KnownFacts, ...changes: readonly Change[]) =>
      lintBootstrap(changed(GOOD, ...changes), 'f', known).map(({ rule, fix }) => `${rule}: ${fix}`);
    assert.deepEqual(rules({ entries }, ...QUIC), []);
    assert.deepEqual(rules({ entries: [...entries.slice(0, 2), { ...db, dns_names: ['*.example'] }] }, ...QUIC), []);
    const autoSan = CASES.find(({ fault }) => fault === 'auto_san_validation')!.changes;
    assert.deepEqual(rules({ entries }, ...autoSan), []);
    const [told] = rules({ entries: [...entries.slice(0, 2), { ...db, dns_names: ['a.example'] }] }, ...QUIC);
    assert.match(told!, /quic-host-name: sidekey entry update id-of-db --dns a\.example --dns db\.example$/);
  });

  test('each rule is explained in docs/envoy.md', () => {
    const doc = readFileSync(path.join(ROOT, 'docs/envoy.md'), 'utf8');
    const documented = [...doc.matchAll(/^\| `([a-z][\w-]+)` \| /gm)].map(([, rule]) => rule!);
    const apart = ['no-sds', 'ads-static-cluster', 'held', 'foreign-id', 'san-foreign'];
    const tried = [...CASES.map(({ rule }) => rule), ...apart];
    assert.deepEqual(new Set(documented), new Set(tried));
  });

  test('what stands at an anchor is found once', () => {
    const findings = lintBootstrap(GOOD.replace('resource_api_version: V3', 'resource_api_version: V2'), 'f');
    assert.equal(findings.length, 1);
  });

  test('a static cluster with ADS is found even where ads_config is there', () => {
    const ads = 'dynamic_resources:\n  ads_config: { api_type: GRPC }\nstatic_resources:';
    const text = GOOD.replace('static_resources:', ads).replaceAll('*sidekey', '{ ads: {} }');
    const found = lintBootstrap(text, 'f').filter(({ rule }) => rule === 'ads-static-cluster');
    // Both secrets of the cluster, and neither of the listener.
    assert.equal(found.length, 2);
    assert.ok(found.every(({ line }) => line! > text.split('\n').findIndex((one) => one.startsWith('  clusters:'))));
  });

  test('more than 1024 secrets are too many for a cluster that says nothing', () => {
    const secrets = Array.from(
      { length: 1024 },
      (_, at) => `            - { name: spiffe://ilinux.io/${at}, sds_config: *sidekey }\n`,
    );
    const many = (count: number) =>
      changed(GOOD, ['            combined', `${secrets.slice(0, count).join('')}            combined`]);
    const rules = (text: string) => lintBootstrap(text, 'f').map(({ rule }) => rule);
    assert.deepEqual(rules(many(1022)), []);
    assert.deepEqual(rules(many(1023)), ['sds-max-requests']);
  });

  test('a name on the network, or from a file, is not for Sidekey to give', () => {
    const secret = '{ name: x, sds_config: { path_config_source: { path: /x.yaml } } }';
    assert.deepEqual(lintBootstrap(GOOD.replace('stat_prefix: inbound', `token: ${secret}`), 'f'), []);
    const network = 'socket_address: { address: 127.0.0.1, port_value: 1 }';
    const elsewhere = GOOD.replace('pipe: { path: /run/sidekey/agent.sock }', network).replaceAll(WEB, 'web');
    const rules = lintBootstrap(elsewhere, 'f', { entries: ENTRIES }).map(({ rule }) => rule);
    assert.deepEqual(rules, ['sds-pipe']);
  });

  test('secrets on demand are asked for too, by names that are not in the file', () => {
    const type = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.cert_selectors.on_demand_secret.v3.Config';
    const selector = (source: string) =>
      `custom_tls_certificate_selector: { name: x, typed_config: { "@type": ${type}, config_source: ${source} } }`;
    const context = (source: string) => `a:
  filter_chains:
  - transport_socket: { name: tls, typed_config: { common_tls_context: { ${selector(source)} } } }
`;
    const rules = (source: string) => lintBootstrap(context(source), 'f').map(({ rule }) => rule);
    const api = '{ api_config_source: { api_type: REST, grpc_services: [{ envoy_grpc: { cluster_name: nobody } }] } }';
    const found = rules(api);
    for (const rule of ['node', 'api-type', 'sds-cluster', 'retry-back-off']) assert.ok(found.includes(rule), rule);
    for (const rule of ['no-sds', 'name', 'secret-kind']) assert.ok(!found.includes(rule), rule);
    assert.ok(rules('{ ads: {} }').includes('ads-config'));
    assert.ok(rules('{ resource_api_version: V2, ads: {} }').includes('api-version'));
  });

  test('an alias is a name like the SPIFFE ID that it stands for', () => {
    const text = GOOD.replaceAll(`- name: ${WEB}`, '- name: Web.internal');
    const rules = (spiffe_id: string, host = 'web.internal') =>
      lintBootstrap(text, 'f', { entries: ENTRIES, aliases: [{ host, spiffe_id }] }).map(
        ({ rule, severity }) => `${rule} ${severity}`,
      );
    assert.deepEqual(rules(WEB), []);
    assert.deepEqual(new Set(rules('spiffe://ilinux.io/gone')), new Set(['no-entry error']));
    assert.deepEqual(new Set(rules(WEB, 'web.intern')), new Set(['name error']));
  });

  test('a bootstrap without SDS is told so, and nothing else', () => {
    const rules = lintBootstrap('admin: {}', 'f').map(({ rule, line }) => [rule, line]);
    assert.deepEqual(rules, [['no-sds', 1]]);
  });

  test('what is no bootstrap at all is a fault, not an error', () => {
    for (const text of ['', 'a', '[]', '{', '\t', 'a: *b', '- &a [*a]', 'a: &a { b: *a, sds_config: *a }']) {
      assert.ok(lintBootstrap(text, 'f').length > 0, text);
    }
  });
});

describe('the lint of a bootstrap, with what the server knows', () => {
  const look = (text: string, known: KnownFacts) => lintBootstrap(text, 'envoy.yaml', known);
  /** The same for each place where the name stands. */
  const only = (text: string, known: KnownFacts) => {
    const [first, ...others] = look(text, known);
    for (const other of others) assert.deepEqual({ ...other, line: 0 }, { ...first, line: 0 });
    return first!;
  };
  const without = (id: string) => ENTRIES.filter(({ spiffe_id }) => spiffe_id !== id);

  test('no command or fix has a selector that nobody has told: an Envoy that waits is asked, else there are placeholders', () => {
    const entries = without(WEB);
    const none = only(GOOD, { ...KNOWN, entries });
    assert.deepEqual([none.rule, none.command], ['no-entry', undefined]);
    assert.match(
      none.fix,
      /entry create --spiffe-id \S+\/web --selector unix:user:USER --selector unix:path:PATH; once it runs/,
    );
    assert.doesNotMatch(none.fix, /if spiffe/, 'another workload is not meant');
    const held = [{ ...HOLD, reason: 'no-entry' }];
    const waiting = only(GOOD, { ...KNOWN, entries, server: { ...SERVER, held } });
    assert.match(
      waiting.fix,
      /^make an entry for this Envoy, which is process 4711: sidekey explain --pid 4711 --spiffe-id \S+\/web$/,
    );
    const typo = only(changed(GOOD, [`name: ${WEB}\n`, 'name: spiffe://ilinux.io/wbe\n']), KNOWN);
    assert.match(
      typo.fix,
      /^if spiffe:\/\/ilinux\.io\/web is meant, name: spiffe:\/\/ilinux\.io\/web; else make an entry /,
    );
  });

  test('an entry that does not match the Envoy of this bootstrap is found by what that waits for', () => {
    const { rule, problem, fix } = only(GOOD, { ...KNOWN, server: { ...SERVER, held: [HOLD] } });
    assert.equal(rule, 'held');
    assert.match(problem, /process 4711\) waits for \S+\/web: lacks-selectors: entry x gives it/);
    assert.equal(fix, `sidekey explain --pid 4711 --spiffe-id ${WEB} says what it lacks`);
    const until = '2026-12-01T00:00:00Z';
    const had = (change: object) =>
      only(GOOD, { ...KNOWN, server: { ...SERVER, held: [{ ...HOLD, has: true, ...change }] } });
    assert.match(had({ until }).problem, /process 4711\) gets no update of \S+\/web: /);
    assert.equal(had({ until }).why, `it uses the former certificate until ${until}; then no peer accepts it`);
    assert.equal(had({}).why, 'it uses the former secret, and does not get changes of it');
    const gone = only(GOOD, { ...KNOWN, entries: [], server: { ...SERVER, held: [{ ...HOLD, has: true, until }] } });
    assert.match(
      gone.why,
      /^the Envoy with this node id \(process 4711\) had it: it uses the former certificate until /,
    );
    const others = [
      { ...HOLD, node: 'other' },
      { ...HOLD, reason: 'pending' },
    ];
    assert.deepEqual(look(GOOD, { ...KNOWN, server: { ...SERVER, held: others } }), []);
  });

  test('a name of another trust domain is no entry to be made', () => {
    const { rule, fix, command } = only(changed(GOOD, [`name: ${WEB}\n`, 'name: spiffe://ilinux.oi/web\n']), KNOWN);
    assert.deepEqual([rule, command], ['foreign-id', undefined]);
    assert.match(fix, /^if spiffe:\/\/ilinux\.io\/web is meant, name: .*; else ask for a SPIFFE ID of ilinux\.io, or /);
  });

  test('the reserved names are those that the server has', () => {
    const names = { default: 'me', bundle: 'roots', allBundles: 'ROOTCA' };
    const text = changed(GOOD, [`name: ${WEB}\n`, 'name: me\n'], ['name: spiffe://ilinux.io\n', 'name: roots\n']);
    assert.deepEqual(look(text, { ...KNOWN, server: { ...SERVER, names } }), []);
    assert.deepEqual(
      look(text, KNOWN).map(({ rule }) => rule),
      ['name', 'name'],
    );
  });

  test('a peer of another trust domain needs its authorities', () => {
    const foreign = 'spiffe://other.example/db';
    const peer = changed(GOOD, [`exact: ${DB}`, `exact: ${foreign}`]);
    for (const known of [{}, KNOWN]) {
      const { rule, problem, fix } = only(peer, known);
      assert.equal(rule, 'san-foreign');
      assert.match(
        problem,
        /is of the trust domain other\.example, and this context has the authorities of ilinux\.io only/,
      );
      assert.match(fix, /name: ALL/);
    }
    const all = peer.replaceAll('name: spiffe://ilinux.io\n', 'name: ALL\n');
    const unfederated = only(all, KNOWN);
    assert.deepEqual(
      [unfederated.rule, unfederated.command],
      ['san-foreign', 'sidekey entry update id-of-web --federates-with example.org --federates-with other.example'],
    );
    const federates = ENTRIES.map((entry) => ({ ...entry, federates_with: ['other.example'] }));
    const unset = only(all, { ...KNOWN, entries: federates });
    assert.match(unset.fix, /: sidekey bundle set other\.example --file BUNDLE; .*sidekey federation create/);
    assert.deepEqual(
      look(all, { ...KNOWN, entries: federates, server: { ...SERVER, bundles: ['other.example'] } }),
      [],
    );
    const declared = { source: 'file', file: '/etc/entries.yaml', line: 7 };
    const inFile = only(all, { ...KNOWN, entries: ENTRIES.map((entry) => ({ ...entry, declared })) });
    assert.equal(inFile.command, undefined);
    assert.match(inFile.fix, /^edit the entry in \/etc\/entries\.yaml, line 7: let an entry .*; then reload it/);
  });

  test('the path of the pipe is looked at on this host', () => {
    const kinds = (kind: 'socket' | 'other' | 'missing' | undefined): KnownFacts => ({
      ...KNOWN,
      server: { ...SERVER, pipe: '/run/other/agent.sock' },
      kindOf: (place) => (place === '/run/other/agent.sock' ? 'socket' : kind),
    });
    const missing = only(GOOD, kinds('missing'));
    assert.deepEqual([missing.rule, missing.severity], ['sds-pipe', 'warning']);
    assert.match(missing.command!, /s\|path: \/run\/sidekey\/agent\\.sock\|path: \/run\/other\/agent\.sock\|/);
    assert.equal(only(GOOD, kinds('other')).severity, 'error');
    assert.equal(only(GOOD, { kindOf: () => 'missing' }).command, undefined, 'no server says where its pipe is');
    for (const kind of ['socket', undefined] as const) assert.deepEqual(look(GOOD, kinds(kind)), []);
  });
});

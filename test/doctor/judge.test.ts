/** What doctor makes of what a server says of itself, where that can't be brought about here. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DoctorJson } from '../../src/admin/doctor-schema.ts';
import type { Finding } from '../../src/base/finding.ts';
import { judgeAdminTls } from '../../src/doctor/admin-tls.ts';
import { judgeAgent, onServer } from '../../src/doctor/agent.ts';
import { judgeAuthority } from '../../src/doctor/authority.ts';
import { judgeEntries, judgeRequirements, judgeUnrendered, judgeWithheld } from '../../src/doctor/entries.ts';
import { judgeRelationships } from '../../src/doctor/federation.ts';
import { judgeHost } from '../../src/doctor/host.ts';
import { judgePublishedBundle } from '../../src/doctor/published-bundle.ts';
import { judgeReload } from '../../src/doctor/reload.ts';

const NOW = Date.UTC(2026, 5, 1);
const DAY = 24 * 3_600_000;
const day = (offset: number) => new Date(NOW + offset * DAY).toISOString();

type Authority = DoctorJson['authorities'][number];

function authority(role: Authority['role'], from: number, to: number, more: Partial<Authority> = {}): Authority {
  const dates = { since: day(from), not_before: day(from), not_after: day(to) };
  const rest = {
    key_type: 'ec-p256',
    state: 'active',
    subject: 'O=Sidekey',
    signs_after: null,
    fetched_at: null,
    leaves_at: null,
    is_upstreams: false,
  } as const;
  return { id: role, role, ...dates, ...rest, waits_for: [], ...more };
}

const UPSTREAM = {
  kind: 'vault',
  description: 'the Vault at https://vault:8200',
  problem: 'it does not answer',
  signs_meanwhile: false,
  request: null,
};
const PROXY = { pid: 12, uid: 101, node_id: 'web', name: 'ROOTCA', rejection: null };
const HELD_UP = authority('root', -2, 360, { state: 'published', signs_after: day(-1), waits_for: [PROXY] });

const NONE = { count: 0, sample: [] };
type Fault = DoctorJson['entries']['expired']['sample'][number];

function fault(change: Partial<Fault> = {}): Fault {
  const spiffe = { entry_id: 'e', spiffe_id: 'spiffe://ilinux.io/e', detail: 'it expired' };
  return { ...spiffe, source: 'api', file: null, line: null, selectors: null, ...change };
}
const WELL: DoctorJson = {
  at: day(0),
  version: '1.2.3',
  trust_domain: 'ilinux.io',
  pid: 7,
  uid: 0,
  data_dir: '/data',
  socket: '/run/agent.sock',
  admin_socket: '/run/admin.sock',
  docker_socket: null,
  sds_names: { default: 'default', bundle: 'ROOTCA', all_bundles: 'ALL' },
  started: { directory: '/', settings_in_environment: false },
  inputs: [],
  entries_file: null,
  failed_reloads: [],
  passphrase_files: [],
  admin_tls: null,
  published_bundle: null,
  agent: null,
  attestors: [{ name: 'unix', error: null }],
  proc: { others_executables: true, hidepid: null },
  disk: { free_bytes: 2 ** 40, free_inodes: 1e6 },
  descriptors: { open: 30, limit: 1024, refused_connections: 0 },
  unseen: [],
  kernel: { pins_peers: true, no_pidfd_open: null },
  unmapped: { uid: null, gid: null },
  replaced_programs: { count: 0, sample: [] },
  ambiguous_labels: { count: 0, sample: [] },
  authorities: [authority('root', -1, 3650), authority('intermediate', -1, 1)],
  upstream: null,
  revocation: { revoked: 0, lists: [], why_not: null },
  last_issued_at: day(-0.5),
  usage: [{ setting: '--max-streams-per-uid', owner: 'uid 0', used: 3, limit: 20_000 }],
  unseen_callers: { count: 0, uid: null, last_at: null },
  withheld: { count: 0, sample: [] },
  unrendered: { count: 0, sample: [] },
  unreachable_users: [],
  unset_bundles: [],
  relationships: { count: 0, troubled: 0, sample: [] },
  entries: { total: 1, reserved: NONE, expired: NONE, unproducible: NONE, shadowed: NONE, 'never-issued': NONE },
};

const judge = (change: Partial<DoctorJson>, now = NOW): Finding[] => {
  const known = { ...WELL, ...change };
  return [
    ...judgeAdminTls(known),
    ...judgePublishedBundle(known),
    ...judgeRelationships(known),
    ...(known.agent === null ? judgeAuthority(known, now) : judgeAgent(known.agent, known.at)),
    ...judgeHost(known, () => undefined),
    ...judgeRequirements(known),
    ...judgeWithheld(known),
    ...judgeUnrendered(known),
    ...judgeEntries(known),
  ];
};

const TLS = { cert_file: '/tls/cert.pem', key_file: '/tls/key.pem', not_after: day(90), problem: null };

const ENDPOINT = {
  ...{ address: '0.0.0.0', port: 8443, profile: 'https_web' as const, spiffe_id: null },
  ...{ cert_file: '/tls/cert.pem', key_file: '/tls/key.pem', not_after: day(90), problem: null },
};
const SPIFFE_ENDPOINT = {
  ...{ ...ENDPOINT, profile: 'https_spiffe' as const, spiffe_id: 'spiffe://ilinux.io/sidekey/server' },
  ...{ cert_file: null, key_file: null, not_after: day(0.02) },
};
const FILE = { path: '/srv/bundle.json', problem: null, open_to: [] };
const published = (change: Partial<NonNullable<DoctorJson['published_bundle']>>) => ({
  published_bundle: { sequence: 1, refresh_hint: 300, endpoint: null, file: null, ...change },
});

const AGENT: NonNullable<DoctorJson['agent']> = {
  ...{ state: 'connected', since: day(-1), servers: ['a.example:1', 'b.example:1'], server: 'a.example:1' },
  ...{ kind: 'sidekey', server_version: '1.2.3', problem: null, spiffe_id: 'spiffe://ilinux.io/spire/agent/x' },
  ...{ svid_expires_at: day(0.02), first_end_at: day(0.01), joined_insecurely: false },
};

/** The report of an agent, which has no authorities. */
const agent = (change: Partial<typeof AGENT>): Partial<DoctorJson> => ({
  ...{ authorities: [], last_issued_at: null, agent: { ...AGENT, ...change } },
});

const cases: readonly [string, Partial<DoctorJson>, string, Finding['severity'], RegExp][] = [
  [
    'broken files of the endpoint',
    published({ endpoint: { ...ENDPOINT, problem: 'it is not the key' } }),
    'endpoint-certificate',
    'error',
    /not the key/,
  ],
  [
    'an SVID of the endpoint that is not issued',
    published({ endpoint: { ...SPIFFE_ENDPOINT, problem: 'no authority is valid now' } }),
    'endpoint-certificate',
    'error',
    /could not be issued: no authority/,
  ],
  [
    'a certificate of the endpoint that ends',
    published({ endpoint: { ...ENDPOINT, not_after: day(3) } }),
    'endpoint-expiry',
    'warning',
    /ends in 3d/,
  ],
  [
    'an SVID of the endpoint that has ended',
    published({ endpoint: { ...SPIFFE_ENDPOINT, not_after: day(-1) } }),
    'endpoint-expiry',
    'error',
    /expired 1d ago/,
  ],
  [
    'a published file that is not written',
    published({ file: { ...FILE, problem: 'ENOSPC' } }),
    'published-file',
    'error',
    /ENOSPC/,
  ],
  [
    'a published file of others',
    published({ file: { ...FILE, open_to: ['/srv is writable'] } }),
    'published-file-open',
    'warning',
    /other users can change it: \/srv/,
  ],
  [
    'a file beside an endpoint with https_spiffe',
    published({ endpoint: SPIFFE_ENDPOINT, file: FILE }),
    'endpoint-behind-cdn',
    'info',
    /profile https_spiffe/,
  ],
  ['a short refresh hint', published({ refresh_hint: 5, file: FILE }), 'refresh-hint', 'info', /is 5s/],
  ['a long refresh hint', published({ refresh_hint: 86_400, file: FILE }), 'refresh-hint', 'info', /is 1d/],
  [
    'TLS files that are no pair',
    { admin_tls: { ...TLS, problem: 'it is not the key of the certificate' } },
    'admin-tls-files',
    'error',
    /not the key.*/,
  ],
  ['a TLS certificate that ends', { admin_tls: { ...TLS, not_after: day(3) } }, 'admin-tls-expiry', 'warning', /in 3d/],
  [
    'a TLS certificate that ended',
    { admin_tls: { ...TLS, not_after: day(-1) } },
    'admin-tls-expiry',
    'error',
    /1d ago/,
  ],
  [
    'a root that ends in six days',
    { authorities: [authority('root', -30, 6.5), authority('intermediate', -1, 1)] },
    'root-ends',
    'warning',
    /in 6 days/,
  ],
  [
    'an active root that ends, whatever a retired one does',
    {
      authorities: [
        authority('root', -30, 6.5),
        authority('root', -30, 99, { state: 'retired' }),
        authority('intermediate', -1, 1),
      ],
    },
    'root-ends',
    'warning',
    /in 6 days/,
  ],
  [
    'an intermediate that was not replaced in time',
    { authorities: [authority('root', -9, 99), authority('intermediate', -3, 1)] },
    'intermediate-ends',
    'error',
    /should have been replaced/,
  ],
  [
    'an upstream that has never answered',
    { authorities: [], upstream: UPSTREAM },
    'upstream',
    'error',
    /it does not answer/,
  ],
  [
    'an intermediate that has ended because its upstream is down',
    { authorities: [authority('root', -9, 99), authority('intermediate', -2, 0)], upstream: UPSTREAM },
    'upstream',
    'error',
    /it does not answer/,
  ],
  ['an upstream that is down', { upstream: UPSTREAM }, 'upstream', 'warning', /it does not answer/],
  [
    'an upstream that is down, and an intermediate that should have been replaced',
    { authorities: [authority('root', -9, 99), authority('intermediate', -3, 1)], upstream: UPSTREAM },
    'upstream',
    'error',
    /it does not answer/,
  ],
  [
    'a rotation that a proxy holds up',
    { authorities: [...WELL.authorities, HELD_UP] },
    'rotation-held-up',
    'warning',
    /pid 12 \(uid 101, node web\) has not answered ROOTCA/,
  ],
  [
    'a rotation that proxies hold up, with a NACK',
    {
      authorities: [...WELL.authorities, { ...HELD_UP, waits_for: Array(5).fill({ ...PROXY, rejection: 'no room' }) }],
    },
    'rotation-held-up',
    'warning',
    /has rejected ROOTCA: no room; and 2 more, see sidekey ca show/,
  ],
  [
    'an intermediate that has ended',
    { authorities: [authority('root', -9, 99), authority('intermediate', -2, 0)] },
    'no-authority',
    'error',
    /have ended/,
  ],
  [
    'a clock before all authorities',
    { authorities: [authority('root', 1, 99), authority('intermediate', 1, 2)] },
    'no-authority',
    'error',
    /not valid yet/,
  ],
  [
    'a JWT key that was not replaced in time',
    { authorities: [...WELL.authorities, authority('jwt', -9, 1)] },
    'jwt-key-ends',
    'error',
    /should have been replaced when a third of its life was left/,
  ],
  [
    'no JWT key that signs',
    { authorities: [...WELL.authorities, authority('jwt', -1, 1, { state: 'published' })] },
    'jwt-key-ends',
    'error',
    /^no JWT key can sign$/,
  ],
  [
    'revoked certificates without lists',
    { revocation: { revoked: 2, lists: [], why_not: 'the roots belong to the upstream' } },
    'revoked-accepted',
    'error',
    /2 revoked certificates are accepted/,
  ],
  [
    'an authority without a revocation list beside one that has one',
    { revocation: { revoked: 1, lists: [{ authority_id: 'root', next_update: day(9_999) }], why_not: null } },
    'revocation-list-missing',
    'error',
    /the intermediate has no revocation list, and other authorities have one/,
  ],
  [
    'a revocation list that ends before its authority',
    {
      revocation: {
        revoked: 1,
        lists: ['root', 'intermediate'].map((id) => ({
          authority_id: id,
          next_update: day(id === 'root' ? 9_999 : 0.01),
        })),
        why_not: null,
      },
    },
    'revocation-list-missing',
    'error',
    /the revocation list of the intermediate ends at .*, before the authority does/,
  ],
  ['an issuance in the future', { last_issued_at: day(1) }, 'clock-set-back', 'error', /it issued a certificate at/],
  [
    'a disk that is nearly full',
    { disk: { free_bytes: 100 * 2 ** 20, free_inodes: 1e6 } },
    'disk-space',
    'warning',
    /100 MiB left/,
  ],
  ['a disk that is full', { disk: { free_bytes: 0, free_inodes: 1e6 } }, 'disk-space', 'error', /0 MiB left/],
  [
    'a disk without inodes',
    { disk: { free_bytes: 2 ** 40, free_inodes: 0 } },
    'disk-space',
    'error',
    /room for 0 files/,
  ],
  [
    'an engine that may not be asked',
    { docker_socket: '/d.sock', attestors: [{ name: 'docker', error: 'fails: EACCES' }] },
    'attestor-docker',
    'error',
    /EACCES/,
  ],
  [
    'a /proc that hides processes',
    { uid: 998, proc: { others_executables: true, hidepid: '2' } },
    'hidepid',
    'error',
    /hidepid=2, and the server runs as uid 998/,
  ],
  [
    'no right to look at executables',
    { proc: { others_executables: false, hidepid: null } },
    'no-ptrace',
    'info',
    /may not read/,
  ],
  [
    'callers that are not to be seen',
    { unseen_callers: { count: 2, uid: 101, last_at: day(0) } },
    'pid-namespace',
    'error',
    /callers of uid 101/,
  ],
  [
    'a limit that is nearly reached',
    { usage: [{ setting: '--max-streams-per-uid', owner: 'uid 5', used: 16_000, limit: 20_000 }] },
    'limit',
    'warning',
    /uid 5 uses 16000 of 20000/,
  ],
  [
    'what the server could not look at',
    { proc: null, disk: null, descriptors: null, unseen: [{ what: '/proc', error: 'EMFILE: too many open files' }] },
    'not-seen',
    'error',
    /can't read it: EMFILE/,
  ],
  [
    'a search that took too long',
    { unseen: [{ what: 'users', error: 'the search was stopped after 3 s' }] },
    'not-seen',
    'error',
    /can't read it: the search was stopped after 3 s/,
  ],
  [
    'a kernel that pins no callers',
    { kernel: { pins_peers: false, no_pidfd_open: null } },
    'unpinned-peers',
    'warning',
    /no SO_PEERPIDFD/,
  ],
  [
    'a kernel where no process can be looked at by its pid',
    { kernel: { pins_peers: true, no_pidfd_open: 'pidfd_open fails with EPERM' } },
    'no-pidfd-open',
    'info',
    /fails with EPERM/,
  ],
  ['a user namespace with gaps', { unmapped: { uid: 65_534, gid: 65_534 } }, 'unmapped-users', 'info', /as uid 65534/],
  [
    'programs that were replaced',
    { replaced_programs: { count: 3, sample: [{ pid: 9, uid: 1, path: '/usr/bin/envoy', keeps_path: false }] } },
    'program-replaced',
    'warning',
    /process 9 \(uid 1\) runs a file that was replaced .* \(and 2 more\)/,
  ],
  [
    'labels whose key has a colon',
    { ambiguous_labels: { count: 2, sample: [{ container: 'ab12', selector: 'docker:label:role:admin:prod' }] } },
    'label-ambiguous',
    'warning',
    /docker:label:role:admin:prod, which an entry asks for \(and 1 more\)/,
  ],
  [
    'few descriptors left',
    { descriptors: { open: 900, limit: 1024, refused_connections: 0 } },
    'descriptors',
    'warning',
    /900 of 1024/,
  ],
  [
    'connections refused since there were no descriptors for them',
    { descriptors: { open: 30, limit: 1024, refused_connections: 7 } },
    'descriptors',
    'error',
    /7 connections on the pipe were refused/,
  ],
  [
    'a partner whose bundle is not fetched, while the last one is good',
    { relationships: troubled({ state: 'failing', message: 'the endpoint answers with the status 500' }) },
    'federation-failing',
    'warning',
    /partner\.example is not fetched: the endpoint answers with the status 500/,
  ],
  [
    'a partner without any good bundle',
    { relationships: troubled({ state: 'failing', message: 'no answer', expires_at: null }) },
    'federation-failing',
    'error',
    /is not fetched: no answer/,
  ],
  [
    'a partner whose endpoint is not known any more',
    { relationships: { ...troubled({ state: 'stale-bootstrap', message: 'another authority' }), troubled: 3 } },
    'federation-stale',
    'error',
    /not known any more: another authority \(and 2 more/,
  ],
  [
    'a partner that has withdrawn its trust',
    { relationships: troubled({ state: 'revoked' }) },
    'federation-revoked',
    'error',
    /without authorities/,
  ],
  [
    'many entries that have expired',
    {
      entries: {
        ...WELL.entries,
        expired: { count: 9, sample: [fault()] },
      },
    },
    'entry-expired',
    'warning',
    /and 8 more/,
  ],
];

function troubled(more: Partial<DoctorJson['relationships']['sample'][number]>): DoctorJson['relationships'] {
  const one = { trust_domain: 'partner.example', state: 'failing', message: null, fix: null, ...more } as const;
  return { count: 5, troubled: 1, sample: [{ expires_at: '2099-01-01T00:00:00.000Z', ...one }] };
}

const agentCases: readonly (typeof cases)[number][] = [
  [
    'a server that the agent has never reached',
    agent({ state: 'starting', since: null, server: null, problem: 'connect ECONNREFUSED' }),
    'server-away',
    'error',
    /^the agent has not reached its server yet: connect ECONNREFUSED$/,
  ],
  [
    'a server that is away',
    agent({ state: 'away', problem: 'connect ECONNREFUSED' }),
    'server-away',
    'error',
    /^the server has been away since .*Z: connect ECONNREFUSED$/,
  ],
  [
    "an agent's SVID that is not renewed",
    agent({ problem: 'the server refuses it' }),
    'agent-svid-ends',
    'error',
    /^the agent's own SVID ends at .*, and is not renewed: the server refuses it$/,
  ],
  [
    "an agent's SVID that has ended",
    agent({ problem: 'the server refuses it', svid_expires_at: day(-0.1) }),
    'agent-svid-ended',
    'error',
    /^the agent's own SVID ended at /,
  ],
  [
    'an agent that has not checked its server',
    agent({ joined_insecurely: true }),
    'insecure-bootstrap',
    'warning',
    /--insecure-bootstrap/,
  ],
];

describe('doctor', () => {
  it('finds nothing where nothing is amiss', () => {
    assert.deepEqual(judge({}), []);
    assert.deepEqual(judge(agent({})), []);
  });

  it('gives no command on an agent that changes what its server keeps', () => {
    const words = {
      rule: 'entry-expired',
      severity: 'warning',
      place: 'e',
      problem: 'p',
      why: 'w',
      fix: 'change it',
    } as const;
    const [moved, kept] = ['sidekey entry update e --hint x', 'chmod 660 /run/agent.sock'].map((command) =>
      onServer(AGENT)({ ...words, command }),
    );
    assert.deepEqual(moved, {
      ...words,
      fix: 'change it; on the server (a.example:1): sidekey entry update e --hint x',
    });
    assert.deepEqual(kept, { ...words, command: 'chmod 660 /run/agent.sock' });
  });

  for (const [what, change, rule, severity, problem] of [...cases, ...agentCases]) {
    it(`finds ${what}`, () => {
      const found = judge(change);
      assert.deepEqual(
        found.map((one) => [one.rule, one.severity]),
        [[rule, severity]],
      );
      assert.match(found[0]!.problem, problem);
    });
  }

  it('finds a clock that differs from the one here', () => {
    assert.deepEqual(judge({}, NOW - 60_000), []);
    assert.deepEqual(
      judge({}, NOW + 61_000).map(({ rule }) => rule),
      ['clock-differs'],
    );
  });

  it('deletes no entry: it updates it, or says where it is declared', () => {
    const kinds = ['reserved', 'expired', 'unproducible', 'shadowed', 'never-issued'] as const;
    const remedyOf = (kind: (typeof kinds)[number], change: Partial<Fault>) => {
      const entries = { ...WELL.entries, [kind]: { count: 1, sample: [fault(change)] } };
      const [found] = judge({ entries });
      return found!;
    };
    for (const kind of kinds) {
      for (const change of [{}, { source: 'file', file: '/etc/e.yaml', line: 7 }, { source: 'team' }]) {
        const { fix, command } = remedyOf(kind, { ...change, selectors: ['unix:user:web'] });
        assert.doesNotMatch(`${fix} ${command}`, /sidekey entry delete/);
        const isOurs = kind === 'unproducible' && change.source === undefined;
        assert.equal(command, isOurs ? 'sidekey entry update e --selector unix:user:web' : undefined);
        if (change.source === 'file') assert.match(fix, /edit the entry in \/etc\/e\.yaml, line 7: /);
        if (change.source === 'team') assert.match(fix, /change the entry where the source team has it: /);
      }
    }
    assert.match(remedyOf('expired', { source: 'file' }).fix, /edit the entry in the file of --entries: /);
    assert.match(remedyOf('never-issued', {}).fix, /explain --pid PID --spiffe-id spiffe:\/\/ilinux\.io\/e says/);
    assert.equal(remedyOf('unproducible', { selectors: ['unix:user:a\u202eb'] }).command, undefined);
  });

  it('finds what entries need: users who reach the pipe, and bundles', () => {
    const entry = { entry_id: 'e', spiffe_id: 'spiffe://ilinux.io/e' };
    const found = judge({
      unreachable_users: [{ ...entry, uid: 5, pid: 9, detail: 'it may not', command: null, fix: 'let it' }],
      unset_bundles: [{ ...entry, trust_domain: 'b.example', entries: 3 }],
    });
    assert.deepEqual(
      found.map(({ rule, severity }) => [rule, severity]),
      [
        ['user-unreachable', 'error'],
        ['bundle-unset', 'error'],
      ],
    );
    assert.match(found[0]!.problem, /\(uid 5\) can not connect to the pipe, as process 9 shows: it may not$/);
    assert.match(found[1]!.problem, / and 2 more federates with b\.example, whose bundle is not set$/);
  });

  it('takes hidepid for nothing where the server is root, who sees all', () => {
    assert.deepEqual(judge({ proc: { others_executables: true, hidepid: '2' } }), []);
  });
});

it('a fault of a file in a folder of entries is found at that file and line', () => {
  const found = (path: string) => {
    const problems = [{ path, problem: 'it is bad', rule: 'be good' }];
    const file = { path: '/etc/sidekey/entries', problems, pending: 0, unchecked: null };
    const [first] = judgeReload({ ...WELL, entries_file: file }, undefined).findings;
    return [first!.place, first!.line, first!.problem];
  };
  assert.deepEqual(found('/etc/sidekey/entries/a.yaml:3:4'), ['/etc/sidekey/entries/a.yaml', 3, 'it is bad; be good']);
  const inside = '/etc/sidekey/entries/a b.yaml:3 /entries/0/selectors';
  assert.deepEqual(found(inside), ['/etc/sidekey/entries/a b.yaml', 3, '/entries/0/selectors: it is bad; be good']);
  assert.deepEqual(found('/etc/sidekey/entries'), ['/etc/sidekey/entries', undefined, 'it is bad; be good']);
});

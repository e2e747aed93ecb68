import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { SidekeyError } from '../../src/base/errors.ts';
import { type ConfigSources, loadServeConfig } from '../../src/config/load.ts';
import { processorTime } from '../support/processor-time.ts';
import { tempDir } from '../support/temp-dir.ts';

type Sources = Partial<ConfigSources>;

/** Root in /etc/sidekey, with a trust domain and nothing else, unless told otherwise. */
function load({ flags = {}, env = {}, uid = 0, folder = '/etc/sidekey' }: Sources) {
  return loadServeConfig({ flags: { trustDomain: 'example.org', ...flags }, env, uid, folder });
}

/** The lines of the refusal. */
async function faults(sources: Sources): Promise<string[]> {
  const error = await load(sources).then(
    () => assert.fail('the configuration was accepted'),
    (thrown: SidekeyError) => thrown,
  );
  assert.equal(error.code, 'ERR_CONFIG');
  return error.message.split('\n');
}

function yaml(t: TestContext, text: string): string {
  const file = path.join(tempDir(t), 'sidekey.yaml');
  writeFileSync(file, text);
  return file;
}

test('root needs a trust domain only', async () => {
  assert.deepEqual(await load({}), {
    config: undefined,
    trustDomain: 'example.org',
    dataDir: '/var/lib/sidekey',
    socket: '/run/sidekey/agent.sock',
    adminSocket: '/var/lib/sidekey/admin.sock',
    socketMode: 0o660,
    socketGroup: undefined,
    adminListen: undefined,
    adminTokenFile: undefined,
    adminHost: [],
    adminInsecureListen: false,
    adminTlsCert: undefined,
    adminTlsKey: undefined,
    entries: undefined,
    dockerSocket: undefined,
    allowContained: false,
    allowUnpinnedPeers: false,
    allowWeakSelectors: false,
    newRoot: false,
    bundleFor: 'identified',
    workloadApiHold: false,
    revocationEpoch: true,
    watchEntries: false,
    disableSpiffeCertValidation: false,
    x509SvidTtl: 3_600,
    x509SvidKeyType: 'ec-p256',
    caTtl: 86_400,
    rootTtl: 31_536_000,
    rootPublishTime: 86_400,
    rootAckTimeout: 86_400,
    rootAckPolicy: 'wait',
    sdsDefaultName: 'default',
    sdsBundleName: 'ROOTCA',
    sdsAllBundlesName: 'ALL',
    caKeyType: 'ec-p256',
    jwtSvidTtl: 300,
    jwtKeyType: 'ec-p256',
    jwtKeyTtl: 86_400,
    jwtPublishBefore: 900,
    jwtIssuer: undefined,
    oidcListen: undefined,
    oidcCertFile: undefined,
    oidcKeyFile: undefined,
    federationListen: undefined,
    federationProfile: 'https_spiffe',
    federationSpiffeId: 'spiffe://example.org/sidekey/server',
    federationCertFile: undefined,
    federationKeyFile: undefined,
    federationRefreshHint: 300,
    federationPublishFile: undefined,
    federationAllow: [],
    federationMinRefresh: 60,
    agentListen: undefined,
    agentX509popCa: undefined,
    agentTtl: 3_600,
    maxJwtAudiences: 32,
    maxJwtSvidsPerSecondPerId: 50,
    maxCachedJwtSvidsPerId: 1_000,
    keyPassphraseFile: undefined,
    oldKeyPassphraseFile: undefined,
    caSubject: 'O=SPIFFE',
    upstream: 'self',
    offlineRoot: false,
    upstreamTimeout: 60,
    upstreamBundleFile: undefined,
    upstreamCertFile: undefined,
    upstreamKeyFile: undefined,
    upstreamCommand: [],
    vaultAddr: undefined,
    vaultMount: undefined,
    vaultNamespace: undefined,
    vaultCaFile: undefined,
    vaultTokenFile: undefined,
    vaultApproleRoleIdFile: undefined,
    vaultApproleSecretIdFile: undefined,
    vaultApproleMount: undefined,
    auditKeep: 7_776_000,
    auditMaxSize: 1_073_741_824,
    maxConnectionsPerUid: 2_000,
    adminMaxConnections: 100,
    maxStreamsPerUid: 20_000,
    maxRequestsPerSecondPerUid: 20_000,
    logLevel: 'info',
    logFormat: undefined,
  });
});

test("another user's places are those of the XDG specification", async () => {
  const env = { HOME: '/home/ann', XDG_RUNTIME_DIR: '/run/user/7' };
  const config = await load({ uid: 7, env });
  assert.equal(config.dataDir, '/home/ann/.local/state/sidekey');
  assert.equal(config.socket, '/run/user/7/sidekey/agent.sock');
  assert.equal(config.adminSocket, '/home/ann/.local/state/sidekey/admin.sock');
  assert.equal((await load({ uid: 7, env: { ...env, XDG_STATE_HOME: '/state' } })).dataDir, '/state/sidekey');
});

test('where there is no default place the message says what to give', async () => {
  assert.deepEqual(await faults({ uid: 7, env: { XDG_RUNTIME_DIR: 'relative' }, flags: { adminSocket: '/a' } }), [
    '--data-dir: it is not set, and its default needs HOME, which is not set to an absolute path (as after su, sudo or cron); ' +
      'give --data-dir, SIDEKEY_DATA_DIR or dataDir in the YAML file',
    '--socket: it is not set, and its default needs XDG_RUNTIME_DIR, which is not set to an absolute path (as after su, sudo or cron); ' +
      'give --socket, SIDEKEY_SOCKET or socket in the YAML file',
  ]);
});

test('a flag beats a variable and a variable beats the file', async (t) => {
  const file = yaml(t, 'trustDomain: file.test\ncaTtl: 1h\nx509SvidTtl: 1m\nlogLevel: debug\n');
  const config = await loadServeConfig({
    flags: { trustDomain: 'flag.test', config: file },
    env: { SIDEKEY_TRUST_DOMAIN: 'variable.test', SIDEKEY_CA_TTL: '2h', SIDEKEY_LOG_LEVEL: '' },
    uid: 0,
    folder: '/etc/sidekey',
  });
  assert.equal(config.trustDomain, 'flag.test');
  assert.equal(config.caTtl, 7_200);
  assert.equal(config.x509SvidTtl, 60);
  assert.equal(config.logLevel, 'debug', 'an empty variable counts as not set');
});

test('every setting can stand in the file', async (t) => {
  const file = yaml(
    t,
    `# all of them
trustDomain: "example.org"
dataDir: data
socket: /run/a.sock
adminSocket: ../b.sock
socketMode: 0666
socketGroup: 101
adminListen: "[::1]:8443"
adminTokenFile: token
adminHost: [sidekey.test, "[::2]"]
adminInsecureListen: True
adminTlsCert: cert.pem
adminTlsKey: key.pem
entries: entries.json
dockerSocket: unix:///run/podman/podman.sock
allowContained: true
allowUnpinnedPeers: true
allowWeakSelectors: true
newRoot: true
bundleFor: anyone
workloadApiHold: true
revocationEpoch: false
watchEntries: true
disableSpiffeCertValidation: false
x509SvidTtl: 20s
x509SvidKeyType: rsa-2048
caTtl: 7d
rootPublishTime: 0s
rootAckTimeout: 2h
rootAckPolicy: continue
caKeyType: rsa-3072
jwtSvidTtl: 1m
jwtKeyType: ec-p384
jwtKeyTtl: 12h
jwtPublishBefore: 1h
jwtIssuer: https://issuer.test/a
oidcListen: 0.0.0.0:8443
oidcCertFile: oidc.crt
oidcKeyFile: oidc.key
federationListen: 0.0.0.0:8444
federationProfile: https_web
federationCertFile: oidc.crt
federationKeyFile: oidc.key
federationRefreshHint: 10m
federationPublishFile: bundle.json
federationAllow: [10.1.0.0/16, 'fd00::/8']
federationMinRefresh: 5s
agentListen: 0.0.0.0:8081
agentX509popCa: agents.crt
agentTtl: 2h
maxJwtAudiences: 4
maxJwtSvidsPerSecondPerId: 9
maxCachedJwtSvidsPerId: 0
keyPassphraseFile: passphrase
oldKeyPassphraseFile: old-passphrase
caSubject: O=Acme\\, Inc.,CN=Sidekey
upstream: vault
upstreamTimeout: 5s
upstreamBundleFile: roots.pem
vaultAddr: https://vault.test:8200
vaultMount: pki/inner
vaultNamespace: team
vaultCaFile: ca.pem
vaultApproleMount: roles
vaultApproleRoleIdFile: role
vaultApproleSecretIdFile: secret
auditKeep: 30d
auditMaxSize: 64MiB
maxConnectionsPerUid: 5
maxStreamsPerUid: 6
adminMaxConnections: 8
maxRequestsPerSecondPerUid: 7
logLevel: warn
logFormat: text
sdsDefaultName: me
sdsBundleName: roots
sdsAllBundlesName: roots
`,
  );
  const folder = path.dirname(file);
  for (const name of [
    'token',
    'cert.pem',
    'key.pem',
    'entries.json',
    'passphrase',
    'old-passphrase',
    'oidc.crt',
    'oidc.key',
    'agents.crt',
  ])
    writeFileSync(path.join(folder, name), '');
  assert.deepEqual(
    await loadServeConfig({ flags: {}, env: { SIDEKEY_CONFIG: file }, uid: 0, folder: '/etc/sidekey' }),
    {
      config: file,
      trustDomain: 'example.org',
      dataDir: path.join(folder, 'data'),
      socket: '/run/a.sock',
      adminSocket: path.join(folder, '../b.sock'),
      socketMode: 0o666,
      socketGroup: '101',
      adminListen: { host: '::1', port: 8443 },
      adminTokenFile: path.join(folder, 'token'),
      adminHost: ['sidekey.test', '[::2]'],
      adminInsecureListen: true,
      adminTlsCert: path.join(folder, 'cert.pem'),
      adminTlsKey: path.join(folder, 'key.pem'),
      entries: path.join(folder, 'entries.json'),
      dockerSocket: '/run/podman/podman.sock',
      allowContained: true,
      allowUnpinnedPeers: true,
      allowWeakSelectors: true,
      newRoot: true,
      bundleFor: 'anyone',
      workloadApiHold: true,
      revocationEpoch: false,
      watchEntries: true,
      disableSpiffeCertValidation: false,
      x509SvidTtl: 20,
      x509SvidKeyType: 'rsa-2048',
      caTtl: 604_800,
      rootTtl: 31_536_000,
      rootPublishTime: 0,
      rootAckTimeout: 7_200,
      rootAckPolicy: 'continue',
      caKeyType: 'rsa-3072',
      jwtSvidTtl: 60,
      jwtKeyType: 'ec-p384',
      jwtKeyTtl: 43_200,
      jwtPublishBefore: 3_600,
      jwtIssuer: 'https://issuer.test/a',
      oidcListen: { host: '0.0.0.0', port: 8443 },
      oidcCertFile: path.join(folder, 'oidc.crt'),
      oidcKeyFile: path.join(folder, 'oidc.key'),
      federationListen: { host: '0.0.0.0', port: 8444 },
      federationProfile: 'https_web',
      federationSpiffeId: 'spiffe://example.org/sidekey/server',
      federationCertFile: path.join(folder, 'oidc.crt'),
      federationKeyFile: path.join(folder, 'oidc.key'),
      federationRefreshHint: 600,
      federationPublishFile: path.join(folder, 'bundle.json'),
      federationAllow: [
        { address: '10.1.0.0', prefix: 16 },
        { address: 'fd00::', prefix: 8 },
      ],
      federationMinRefresh: 5,
      agentListen: { host: '0.0.0.0', port: 8081 },
      agentX509popCa: path.join(folder, 'agents.crt'),
      agentTtl: 7_200,
      maxJwtAudiences: 4,
      maxJwtSvidsPerSecondPerId: 9,
      maxCachedJwtSvidsPerId: 0,
      keyPassphraseFile: path.join(folder, 'passphrase'),
      oldKeyPassphraseFile: path.join(folder, 'old-passphrase'),
      caSubject: 'O=Acme\\, Inc.,CN=Sidekey',
      upstream: 'vault',
      offlineRoot: false,
      upstreamTimeout: 5,
      upstreamBundleFile: path.join(folder, 'roots.pem'),
      upstreamCertFile: undefined,
      upstreamKeyFile: undefined,
      upstreamCommand: [],
      vaultAddr: 'https://vault.test:8200',
      vaultMount: 'pki/inner',
      vaultNamespace: 'team',
      vaultCaFile: path.join(folder, 'ca.pem'),
      vaultTokenFile: undefined,
      vaultApproleMount: 'roles',
      vaultApproleRoleIdFile: path.join(folder, 'role'),
      vaultApproleSecretIdFile: path.join(folder, 'secret'),
      auditKeep: 2_592_000,
      auditMaxSize: 67_108_864,
      maxConnectionsPerUid: 5,
      adminMaxConnections: 8,
      maxStreamsPerUid: 6,
      maxRequestsPerSecondPerUid: 7,
      logLevel: 'warn',
      logFormat: 'text',
      sdsDefaultName: 'me',
      sdsBundleName: 'roots',
      sdsAllBundlesName: 'roots',
    },
  );
});

test('flags and variables are read as the command line gives them', async (t) => {
  const folder = tempDir(t);
  writeFileSync(path.join(folder, 'e.yaml'), '');
  const config = await load({
    flags: { allowWeakSelectors: true, adminHost: ['a.test', '10.0.0.1'], entries: 'e.yaml' },
    env: { SIDEKEY_ADMIN_INSECURE_LISTEN: '1', SIDEKEY_SOCKET_MODE: '0o600' },
    folder,
  });
  assert.equal(config.allowWeakSelectors, true);
  assert.deepEqual(config.adminHost, ['a.test', '10.0.0.1']);
  assert.equal(config.entries, path.join(folder, 'e.yaml'));
  assert.equal(config.adminInsecureListen, true);
  assert.equal(config.socketMode, 0o600);
  assert.deepEqual((await load({ env: { SIDEKEY_ADMIN_HOST: 'a.test, b.test' } })).adminHost, ['a.test', 'b.test']);
});

test('an empty file is a file without settings', async (t) => {
  assert.equal((await load({ flags: { config: yaml(t, '# nothing yet\n') } })).logLevel, 'info');
});

const PATH_RULE = 'a path is absolute or starts at the working directory, in a YAML file at the folder of that file';
const HOST_PORT_RULE =
  'give a name or an address (IPv6 in brackets), a colon and a port up to 65535, such as 127.0.0.1:8080';
const DURATION_RULE =
  'a duration is whole seconds, or whole numbers with the units d, h, m, s, largest first, such as 90s, 1h30m or 7d';
const MODE_RULE =
  'a mode is three octal digits, such as 0660, and its first digit lets the owner read and write (6 or 7)';

const BAD_VALUES: [variable: string, text: string, message: string][] = [
  ['SIDEKEY_MAX_STREAMS_PER_UID', '0', '"0" is too small; it is a whole number from 1 to 1000000'],
  ['SIDEKEY_MAX_STREAMS_PER_UID', '-1', '"-1" is not a whole number; it is a whole number from 1 to 1000000'],
  ['SIDEKEY_MAX_STREAMS_PER_UID', '1e3', '"1e3" is not a whole number; it is a whole number from 1 to 1000000'],
  ['SIDEKEY_MAX_STREAMS_PER_UID', '1000001', '"1000001" is too large; it is a whole number from 1 to 1000000'],
  ['SIDEKEY_DATA_DIR', '~/data', `"~/data" begins with ~, which only a shell replaces; ${PATH_RULE}`],
  ['SIDEKEY_SOCKET_MODE', '0999', `"0999" is not an octal mode; ${MODE_RULE}`],
  ['SIDEKEY_SOCKET_MODE', '01777', `"01777" is not an octal mode; ${MODE_RULE}`],
  ['SIDEKEY_SOCKET_MODE', '0060', `"0060" does not let the owner read and write; ${MODE_RULE}`],
  ['SIDEKEY_SOCKET_GROUP', 'a b', 'this host has no group "a b"; give the name of a group in /etc/group or its number'],
  ['SIDEKEY_ADMIN_LISTEN', '8080', `"8080" is not HOST:PORT; ${HOST_PORT_RULE}`],
  ['SIDEKEY_ADMIN_LISTEN', '::1:8080', `"::1:8080" is not HOST:PORT; ${HOST_PORT_RULE}`],
  ['SIDEKEY_ADMIN_LISTEN', ':8080', `":8080" has no host before the port; ${HOST_PORT_RULE}`],
  ['SIDEKEY_ADMIN_LISTEN', '1.2.3:8080', `"1.2.3:8080" has no host before the port; ${HOST_PORT_RULE}`],
  ['SIDEKEY_ADMIN_LISTEN', '[::g]:8080', `"[::g]:8080" has no host before the port; ${HOST_PORT_RULE}`],
  ['SIDEKEY_ADMIN_LISTEN', 'localhost:65536', `"localhost:65536" has a port above 65535; ${HOST_PORT_RULE}`],
  [
    'SIDEKEY_ADMIN_HOST',
    'a.test:80',
    '"a.test:80" is not the name of a host; give a name or an address (IPv6 in brackets), without a port',
  ],
  ['SIDEKEY_ALLOW_WEAK_SELECTORS', 'yes', '"yes" is neither true nor false; give true or false (or 1 or 0)'],
  ['SIDEKEY_BUNDLE_FOR', 'all', '"all" is not a known value; give one of identified, anyone'],
  ['SIDEKEY_X509_SVID_TTL', '1.5h', `"1.5h" is not a duration; ${DURATION_RULE}`],
  ['SIDEKEY_X509_SVID_TTL', '9s', '"9s" is too short; give a duration from 10s to 365d'],
  ['SIDEKEY_X509_SVID_TTL', '366d', '"366d" is too long; give a duration from 10s to 365d'],
  ['SIDEKEY_CA_TTL', '59s', '"59s" is too short; give a duration from 1m to 3650d'],
  [
    'SIDEKEY_LOG_LEVEL',
    'INFO',
    '"INFO" is not a known value; give one of trace, debug, info, warn, error, fatal, silent',
  ],
];

test('each message names the setting as it was written, its value and the rule', async () => {
  for (const [variable, text, message] of BAD_VALUES) {
    assert.deepEqual(await faults({ env: { [variable]: text } }), [`${variable}: ${message}`]);
  }
  assert.deepEqual(await faults({ flags: { trustDomain: 'Example.org' } }), [
    '--trust-domain: "Example.org": the trust domain has the character "E" at byte 0; ' +
      'a trust domain is 1 to 255 of the characters a-z 0-9 . - _ (lower case only)',
  ]);
  assert.match((await faults({ flags: { caSubject: 'X=1' } }))[0]!, /^--ca-subject: "X=1" .*; a subject is /);
  assert.deepEqual(await faults({ flags: { dataDir: '' } }), [`--data-dir: it is empty; ${PATH_RULE}`]);
});

test('a trust domain is needed', async () => {
  await assert.rejects(loadServeConfig({ flags: {}, env: {}, uid: 0, folder: '/' }), {
    code: 'ERR_CONFIG',
    message: '--trust-domain: it is not set; give --trust-domain, SIDEKEY_TRUST_DOMAIN or trustDomain in the YAML file',
  });
});

describe('nothing but the pipe is in the directory of the pipe, which containers mount', () => {
  const RULE = (what: string) => `containers mount the directory of the pipe, so ${what} may not be in or below it`;
  const place = (t: TestContext) => {
    const folder = tempDir(t);
    for (const name of ['run', 'data', 'elsewhere']) mkdirSync(path.join(folder, name));
    return (...parts: string[]) => path.join(folder, ...parts);
  };

  for (const [title, lay] of Object.entries({
    'beside the pipe': (at) => at('run/admin.sock'),
    'below it, where nothing is yet': (at) => at('run/a/b/admin.sock'),
    'through a link to its directory': (at) => {
      symlinkSync(at('run'), at('link'));
      return at('link/admin.sock');
    },
    'through a link that leads nowhere yet': (at) => {
      symlinkSync('../run/later', at('elsewhere/link'));
      return at('elsewhere/link/admin.sock');
    },
    'by a way that goes up again': (at) => `${at('elsewhere')}/../run/admin.sock`,
  } satisfies Record<string, (at: ReturnType<typeof place>) => string>)) {
    test(`an admin socket ${title} is refused`, async (t) => {
      const at = place(t);
      const adminSocket = lay(at);
      const flags = { dataDir: at('data'), socket: at('run/agent.sock'), adminSocket };
      assert.deepEqual(await faults({ flags }), [
        `--admin-socket: the admin socket, "${path.resolve(adminSocket)}", is in the directory of the pipe, "${at('run')}"; ${RULE('the admin socket')}`,
      ]);
    });
  }

  test('an admin socket beside a pipe whose directory is reached by a link is refused', async (t) => {
    const at = place(t);
    symlinkSync(at('elsewhere'), at('link'));
    const flags = { dataDir: at('data'), socket: at('link/agent.sock'), adminSocket: at('elsewhere/admin.sock') };
    assert.match((await faults({ flags })).join(), /^--admin-socket: the admin socket, .* is in the directory/);
  });

  test('an admin socket in a directory that is mounted at a second place is refused', async (t) => {
    const at = place(t);
    if (spawnSync('mount', ['--bind', at('run'), at('elsewhere')]).status !== 0) {
      t.skip('this user may not mount');
      return;
    }
    try {
      const flags = { dataDir: at('data'), socket: at('run/agent.sock'), adminSocket: at('elsewhere/admin.sock') };
      assert.match((await faults({ flags })).join(), /^--admin-socket: the admin socket, .* is in the directory/);
    } finally {
      spawnSync('umount', [at('elsewhere')]);
    }
  });

  test('a data directory there is refused by the setting that somebody gave, and its socket is not named again', async (t) => {
    const at = place(t);
    const flags = { dataDir: at('run/data'), socket: at('run/agent.sock') };
    assert.deepEqual(await faults({ flags }), [
      `--data-dir: the data directory, "${at('run/data')}", is in the directory of the pipe, "${at('run')}"; ${RULE('the data directory')}`,
    ]);
    assert.deepEqual(await faults({ flags: { dataDir: at('run'), socket: at('run/agent.sock') } }), [
      `--data-dir: the data directory, "${at('run')}", is in the directory of the pipe, "${at('run')}"; ${RULE('the data directory')}`,
    ]);
    assert.match(
      (await faults({ env: { SIDEKEY_SOCKET: '/var/lib/agent.sock' } })).join(),
      /^SIDEKEY_SOCKET: the data /,
    );
  });

  test('so is the token of the admin API', async (t) => {
    const at = place(t);
    writeFileSync(at('run/token'), 'sixteen-letters!');
    const flags = { dataDir: at('data'), socket: at('run/agent.sock'), adminTokenFile: at('run/token') };
    assert.match((await faults({ flags })).join(), /^--admin-token-file: the token of the admin API, .* is in the /);
  });

  test('so is the TLS key of the admin API', async (t) => {
    const at = place(t);
    for (const name of ['cert', 'run/key']) writeFileSync(at(name), '');
    const paths = {
      dataDir: at('data'),
      socket: at('run/agent.sock'),
      adminTlsCert: at('cert'),
      adminTlsKey: at('run/key'),
    };
    const flags = { ...paths, adminListen: '127.0.0.1:0' };
    assert.match((await faults({ flags })).join(), /^--admin-tls-key: the TLS key of the admin API, .* is in the /);
  });

  test('so are the passphrases of the keys', async (t) => {
    const at = place(t);
    for (const key of ['keyPassphraseFile', 'oldKeyPassphraseFile'] as const) {
      writeFileSync(at('run/passphrase'), 'p');
      const flags = { dataDir: at('data'), socket: at('run/agent.sock'), [key]: at('run/passphrase') };
      assert.match((await faults({ flags })).join(), /key-passphrase-file: the passphrase of the keys, .* is in the /);
    }
  });

  test('a pipe below the data directory, and places whose names begin alike, are taken', async (t) => {
    const at = place(t);
    await load({ flags: { dataDir: at('data'), socket: at('data/run/agent.sock') } });
    await load({ flags: { dataDir: at('run-data'), socket: at('run/agent.sock') } });
  });
});

test('the admin socket is in the data directory, whoever says where that is', async (t) => {
  const file = yaml(t, 'dataDir: /yaml/data');
  const socketOf = async (given: Partial<ConfigSources>) => (await load(given)).adminSocket;
  assert.equal(await socketOf({ flags: { dataDir: '/flag' } }), '/flag/admin.sock');
  assert.equal(await socketOf({ env: { SIDEKEY_DATA_DIR: '/variable' } }), '/variable/admin.sock');
  assert.equal(await socketOf({ flags: { config: file } }), '/yaml/data/admin.sock');
  assert.equal(await socketOf({ flags: { dataDir: '/flag', adminSocket: '/a/b.sock' } }), '/a/b.sock');
});

test('a socket whose path is too long is told by the setting that makes it so', async () => {
  const long = `/${'x'.repeat(100)}`;
  assert.deepEqual(await faults({ flags: { dataDir: long } }), [
    `--data-dir: the path "${long}/admin.sock" has 112 bytes; the path of a socket has at most 107 bytes: give --admin-socket a shorter path, outside the directory of the pipe`,
  ]);
  assert.deepEqual(await faults({ env: { SIDEKEY_SOCKET: `${long}/agent.sock` } }), [
    `SIDEKEY_SOCKET: the path "${long}/agent.sock" has 112 bytes; the path of a socket has at most 107 bytes`,
  ]);
  await load({ flags: { dataDir: long, adminSocket: '/a/admin.sock' } });
});

test('the pipe and the admin API do not share a socket', async () => {
  assert.deepEqual(await faults({ flags: { socket: '/x/../a.sock' }, env: { SIDEKEY_ADMIN_SOCKET: '/a.sock' } }), [
    'SIDEKEY_ADMIN_SOCKET: "/a.sock" is the pipe; give the admin API another socket than the pipe',
  ]);
});

test('an unknown variable is refused with the nearest known one, and its value is not shown', async () => {
  assert.deepEqual(await faults({ env: { SIDEKEY_DATADIR: 'secret' } }), [
    'SIDEKEY_DATADIR: no setting has this variable; did you mean SIDEKEY_DATA_DIR?',
  ]);
  assert.match((await faults({ env: { SIDEKEY_Q: '' } }))[0]!, /; sidekey serve --help lists all settings$/);
  assert.match(
    (await faults({ env: { SIDEKEY_DISABLE_PASSPHRASE: 'x' } })).join(),
    /^SIDEKEY_DISABLE_PASSPHRASE: no setting has this variable; (did you mean|similar ones are) SIDEKEY_\w+/,
  );
});

test('variables of other commands and of Kubernetes are let be', async () => {
  await load({
    env: {
      SIDEKEY_ADMIN_URL: 'http://127.0.0.1:1',
      SIDEKEY_TOKEN_FILE: '/token',
      SIDEKEY_SERVICE_HOST: '10.0.0.1',
      SIDEKEY_ADMIN_SERVICE_PORT_HTTP: '80',
      SIDEKEY_PORT: 'tcp://10.0.0.1:80',
      SIDEKEY_PORT_80_TCP_ADDR: '10.0.0.1',
      PATH: '/bin',
    },
  });
});

test('faults of a file name its lines, and all are told at once, with those of flags and variables', async (t) => {
  const file = yaml(
    t,
    'trustDomian: a\nsocketMode: 0999\n\nentries:\ndataDir: [a, b]\nadminListen: {a: 1}\nconfig: x\n',
  );
  const lines = await faults({ flags: { config: file, caTtl: '1x' }, env: { SIDEKEY_LOG_LEVEL: 'loud' } });
  assert.deepEqual(lines.slice(0, 1), [`${file}:1 trustDomian: no setting has this key; did you mean trustDomain?`]);
  assert.match(
    lines[1]!,
    new RegExp(`^${file}:7 config: no setting has this key; sidekey serve --help lists all settings`),
  );
  assert.deepEqual(lines.slice(2), [
    `${file}:5 dataDir: it has 2 values; give one value`,
    `${file}:2 socketMode: "0999" is not an octal mode; ${MODE_RULE}`,
    `${file}:6 adminListen: its value is missing or not a plain value; give a plain value`,
    `${file}:4 entries: its value is missing or not a plain value; give a plain value`,
    `--ca-ttl: "1x" is not a duration; ${DURATION_RULE}`,
    'SIDEKEY_LOG_LEVEL: "loud" is not a known value; give one of trace, debug, info, warn, error, fatal, silent',
  ]);
});

test('keys of the file may be in snake case or with dashes, and durations are seconds too', async (t) => {
  const file = yaml(t, 'trust_domain: file.test\nx509-svid-ttl: 1800\nca_ttl: 24h\n');
  const config = await loadServeConfig({ flags: { config: file }, env: {}, uid: 0, folder: '/' });
  assert.deepEqual([config.trustDomain, config.x509SvidTtl, config.caTtl], ['file.test', 1_800, 86_400]);
  const twice = yaml(t, 'caTtl: 1h\nca_ttl: 2h\n');
  assert.deepEqual(await faults({ flags: { config: twice } }), [
    `${twice}:2 ca_ttl: it is the same setting as ${twice}:1 caTtl; give one of the two`,
  ]);
});

test('two equal SDS names are refused, except that all bundles may have the name of the own one', async () => {
  const rule =
    'a certificate and a bundle need two names; only --sds-all-bundles-name may be equal to --sds-bundle-name';
  const rows: readonly (readonly [flags: Record<string, string>, lines: readonly string[]])[] = [
    [{ sdsAllBundlesName: 'ROOTCA' }, []],
    [{ sdsBundleName: 'ALL' }, []],
    [{ sdsBundleName: 'default' }, [`--sds-bundle-name: "default" is the name of --sds-default-name too; ${rule}`]],
    [{ sdsDefaultName: 'ALL' }, [`--sds-default-name: "ALL" is the name of --sds-all-bundles-name too; ${rule}`]],
    [
      { sdsDefaultName: '' },
      ['--sds-default-name: "" has another form; an SDS name is 1 to 253 visible ASCII characters, and no SPIFFE ID'],
    ],
    [
      { sdsBundleName: 'spiffe://x' },
      [
        '--sds-bundle-name: "spiffe://x" begins like a SPIFFE ID; an SDS name is 1 to 253 visible ASCII characters, and no SPIFFE ID',
      ],
    ],
  ];
  for (const [flags, lines] of rows) {
    if (lines.length === 0) await load({ flags });
    else assert.deepEqual(await faults({ flags }), lines);
  }
});

test('what is no YAML map of settings is refused with its line', async (t) => {
  const rule = 'the file is one map of settings, such as trustDomain: example.org';
  const list = yaml(t, '- trustDomain\n');
  assert.deepEqual(await faults({ flags: { config: list } }), [`${list}:1: it is not a map; ${rule}`]);
  const twice = yaml(t, 'caTtl: 1h\n\ncaTtl: 2h\n');
  assert.deepEqual(await faults({ flags: { config: twice } }), [
    `${twice}:3 caTtl: it is the same setting as ${twice}:1 caTtl; give one of the two`,
  ]);
  const broken = yaml(t, 'logLevel: info\ncaTtl: "1h\n');
  assert.match(
    (await faults({ flags: { config: broken } }))[0]!,
    new RegExp(`^${broken}:[23]: Missing closing "quote`),
  );
});

test('a file that cannot be read is a fault of whoever named it', async (t) => {
  const missing = path.join(tempDir(t), 'missing.yaml');
  assert.deepEqual(await faults({ env: { SIDEKEY_CONFIG: missing } }), [
    `SIDEKEY_CONFIG: "${missing}" cannot be read: ENOENT: no such file or directory, open '${missing}'; ` +
      'give a YAML file that this user can read',
  ]);
});

test('a file that is not regular, too large, or has very many keys is refused in time', {
  timeout: 60_000,
}, async (t) => {
  const fifo = path.join(tempDir(t), 'fifo');
  execFileSync('mkfifo', [fifo]);
  assert.match((await faults({ flags: { config: fifo } }))[0]!, /cannot be read: it is a FIFO, not a regular file;/);
  const large = yaml(t, '#\n'.repeat(40_000));
  assert.match((await faults({ flags: { config: large } }))[0]!, /cannot be read: it has 80000 bytes; at most 65536/);
  const keys = yaml(t, Array.from({ length: 7_000 }, (_, n) => `k${n}: 1\n`).join(''));
  const begun = processorTime();
  assert.equal((await faults({ flags: { config: keys } })).length, 100);
  const used = processorTime(begun);
  assert.ok(used < 10_000, `${used} ms`);
});

test('what a file with faults would have set is not missed', async (t) => {
  const missing = path.join(tempDir(t), 'missing.yaml');
  const broken = yaml(t, 'trustDomain: "example.org\n');
  const typo = yaml(t, 'trustDomian: example.org\n');
  for (const config of [missing, broken, typo, '~/sidekey.yaml']) {
    const error = await loadServeConfig({ flags: { config }, env: {}, uid: 7, folder: '/' }).then(
      () => assert.fail('the configuration was accepted'),
      (thrown: SidekeyError) => thrown,
    );
    assert.doesNotMatch(error.message, /not set/);
    // What is known to be wrong is told all the same.
    assert.match((await faults({ flags: { config, caTtl: '1x' } })).join('\n'), /^--ca-ttl: "1x"/m);
  }
});

test('entries are watched only where there are some', async () => {
  assert.deepEqual(await faults({ flags: { watchEntries: true } }), [
    '--watch-entries: there is nothing to watch; it goes with --entries FILE or DIR',
  ]);
});

test('files and groups that are not there are told with all other faults', async (t) => {
  const directory = tempDir(t);
  const rule = 'it is a file that this user can read';
  const lines = await faults({
    flags: { entries: '/nope', adminTokenFile: directory, socketGroup: 'nosuch' },
    env: { SIDEKEY_CA_TTL: '1x' },
  });
  assert.deepEqual(lines, [
    '--socket-group: this host has no group "nosuch"; give the name of a group in /etc/group or its number',
    `--admin-token-file: "${directory}" is a directory; ${rule}`,
    `--entries: "/nope" cannot be read: ENOENT: no such file or directory, access '/nope'; it is a file or folder that this user can read`,
    `SIDEKEY_CA_TTL: "1x" is not a duration; ${DURATION_RULE}`,
  ]);
});

test('a container engine is asked over its Unix socket and nothing else', async () => {
  const flags = { trustDomain: 'example.org' };
  const given = (dockerSocket: string) => ({ uid: 0, env: {}, folder: '/here', flags: { ...flags, dockerSocket } });
  assert.equal((await loadServeConfig(given('/run/docker.sock'))).dockerSocket, '/run/docker.sock');
  assert.equal((await loadServeConfig(given('engine.sock'))).dockerSocket, '/here/engine.sock');
  assert.equal((await loadServeConfig(given('unix:///run/docker.sock'))).dockerSocket, '/run/docker.sock');
  for (const other of ['tcp://127.0.0.1:2375', 'ssh://host', 'npipe:////./pipe/docker_engine', 'unix://']) {
    await assert.rejects(loadServeConfig(given(other)), { code: 'ERR_CONFIG', message: /--docker-socket/ }, other);
  }
});

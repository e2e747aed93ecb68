import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import type { SidekeyError } from '../../src/base/errors.ts';
import type { AgentConfig } from '../../src/config/agent-config.ts';
import { AGENT_SETTINGS } from '../../src/config/agent-settings.ts';
import { type ConfigSources, loadAgentConfig } from '../../src/config/load.ts';
import type { HostConfig, ServeConfig } from '../../src/config/serve-config.ts';
import { flagOf, SETTINGS, type Setting } from '../../src/config/settings.ts';
import { tempDir } from '../support/temp-dir.ts';

type Sources = Partial<ConfigSources>;

/** Root in /etc/sidekey, with a trust domain and a server, unless told otherwise. */
function load({ flags = {}, env = {}, uid = 0, folder = '/etc/sidekey' }: Sources) {
  const given = { trustDomain: 'example.org', server: ['sidekey.example.org:8081'], ...flags };
  return loadAgentConfig({ flags: given, env, uid, folder });
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

function fileIn(t: TestContext, name: string, text = ''): string {
  const file = path.join(tempDir(t), name);
  writeFileSync(file, text);
  return file;
}

/** What only agents have, with its defaults. */
const OWN: Omit<AgentConfig, keyof HostConfig> = {
  server: [{ host: 'sidekey.example.org', port: 8081 }],
  joinToken: undefined,
  joinTokenFile: undefined,
  x509popCert: undefined,
  x509popKey: undefined,
  trustBundle: undefined,
  trustBundleUrl: undefined,
  insecureBootstrap: false,
  syncInterval: 5,
};

test("an agent of root needs a trust domain and a server; its data directory is not the server's", async () => {
  const config = await load({});
  assert.partialDeepStrictEqual(config, {
    ...OWN,
    config: undefined,
    trustDomain: 'example.org',
    dataDir: '/var/lib/sidekey-agent',
    socket: '/run/sidekey/agent.sock',
    adminSocket: '/var/lib/sidekey-agent/admin.sock',
    socketMode: 0o660,
    maxStreamsPerUid: 20_000,
    logLevel: 'info',
  });
  assert.deepEqual(Object.keys(config).sort(), Object.keys(AGENT_SETTINGS.settings).sort());
});

test("another user's data directory is that of the XDG specification", async () => {
  const env = { HOME: '/home/ann', XDG_RUNTIME_DIR: '/run/user/7' };
  assert.equal((await load({ uid: 7, env })).dataDir, '/home/ann/.local/state/sidekey-agent');
});

test('shared settings are the rows of serve, and what only a server has is none of an agent', async () => {
  const shared = Object.keys(AGENT_SETTINGS.settings).filter((key) => !(key in OWN) && key !== 'dataDir');
  for (const key of shared) {
    const row: Setting<unknown> | undefined = SETTINGS[key as keyof ServeConfig];
    assert.equal(AGENT_SETTINGS.settings[key], row, key);
  }
  // One of each kind: attestors, tokens, limits.
  assert.partialDeepStrictEqual(new Set(shared), new Set(['dockerSocket', 'maxJwtAudiences', 'maxConnectionsPerUid']));
  for (const key of ['adminListen', 'entries', 'caTtl', 'rootTtl', 'upstream', 'agentListen', 'auditKeep']) {
    assert.equal(AGENT_SETTINGS.settings[key], undefined, key);
  }
});

test('the flags of an agent that a server does not have', () => {
  assert.deepEqual(Object.keys(OWN).map(flagOf).sort(), [
    '--insecure-bootstrap',
    '--join-token',
    '--join-token-file',
    '--server',
    '--sync-interval',
    '--trust-bundle',
    '--trust-bundle-url',
    '--x509pop-cert',
    '--x509pop-key',
  ]);
});

test('servers are several flags, a list with commas, a variable, or a list of the file', async (t) => {
  const both = [
    { host: 'a.example.org', port: 8081 },
    { host: '2001:db8::1', port: 443 },
  ];
  const bare = (flags: ConfigSources['flags'], env: ConfigSources['env'] = {}) =>
    loadAgentConfig({ flags: { trustDomain: 'example.org', ...flags }, env, uid: 0, folder: '/' });
  assert.deepEqual((await bare({ server: ['a.example.org:8081', '[2001:db8::1]:443'] })).server, both);
  assert.deepEqual((await bare({ server: ['a.example.org:8081, [2001:db8::1]:443'] })).server, both);
  const env = { SIDEKEY_SERVER: 'a.example.org:8081,[2001:db8::1]:443' };
  assert.deepEqual((await bare({}, env)).server, both);
  const config = fileIn(t, 'agent.yaml', 'server: [a.example.org:8081, "[2001:db8::1]:443"]\njoinToken: abc\n');
  const read = await bare({ config });
  assert.deepEqual([read.server, read.joinToken], [both, 'abc']);
});

test('without a server, and with one that cannot be', async () => {
  const [missing] = await faults({ flags: { server: undefined } });
  assert.equal(missing, '--server: it is not set; give --server HOST:PORT');
  assert.deepEqual(await faults({ flags: { server: ['a.example.org'] } }), [
    '--server: "a.example.org" is not HOST:PORT; give a name or an address (IPv6 in brackets), a colon and a port up to 65535, such as 127.0.0.1:8080',
  ]);
  assert.deepEqual(await faults({ flags: { server: ['a.example.org:0'] } }), [
    '--server: "a.example.org" has the port 0; give the port of the server',
  ]);
});

test('an agent proves in one way which host it is, and knows its server in one way', async (t) => {
  const [cert, key, bundle] = ['cert.pem', 'key.pem', 'bundle.pem'].map((name) => fileIn(t, name)) as [
    string,
    string,
    string,
  ];
  const proof = 'an agent proves in one way which host it is';
  assert.deepEqual(await faults({ flags: { joinToken: 'abc' }, env: { SIDEKEY_JOIN_TOKEN_FILE: '/etc/token' } }), [
    `SIDEKEY_JOIN_TOKEN_FILE: --join-token is given too; ${proof}`,
  ]);
  assert.deepEqual(await faults({ flags: { joinTokenFile: '/etc/token', x509popCert: cert, x509popKey: key } }), [
    `--x509pop-cert: --join-token-file is given too; ${proof}`,
  ]);
  assert.deepEqual(await faults({ flags: { x509popCert: cert } }), [
    '--x509pop-cert: its key is missing; it goes with --x509pop-key FILE',
  ]);
  assert.deepEqual(await faults({ flags: { x509popKey: key } }), [
    '--x509pop-key: its certificate is missing; it goes with --x509pop-cert FILE',
  ]);
  const trust = 'an agent knows its server at first in one way';
  assert.deepEqual(await faults({ flags: { trustBundle: bundle, insecureBootstrap: true } }), [
    `--insecure-bootstrap: --trust-bundle is given too; ${trust}`,
  ]);
  assert.deepEqual(await faults({ flags: { trustBundle: bundle, trustBundleUrl: 'https://a.example.org/bundle' } }), [
    `--trust-bundle-url: --trust-bundle is given too; ${trust}`,
  ]);
  const { trustBundle, x509popCert, x509popKey, insecureBootstrap } = await load({
    flags: { trustBundle: bundle, x509popCert: cert, x509popKey: key, insecureBootstrap: 'false' },
  });
  assert.deepEqual([trustBundle, x509popCert, x509popKey, insecureBootstrap], [bundle, cert, key, false]);
});

test('no message shows a token or what a URL says', async () => {
  assert.deepEqual(await faults({ flags: { joinToken: 'secret token' } }), [
    '--join-token: it is not a join token; give the token as sidekey agent token prints it',
  ]);
  for (const trustBundleUrl of ['http://a.example.org/secret', 'https://user:secret@a.example.org/', 'secret']) {
    assert.deepEqual(await faults({ flags: { trustBundleUrl } }), [
      '--trust-bundle-url: it is not an https URL; give https://HOST/PATH, without user and password',
    ]);
  }
});

test('token and key are not in the directory that containers mount', async (t) => {
  const [cert, key] = [fileIn(t, 'cert.pem'), fileIn(t, 'key.pem')];
  const mounted = `in the directory of the pipe, "${path.dirname(key)}"; containers mount the directory of the pipe`;
  const flags = { socket: path.join(path.dirname(key), 'agent.sock') };
  assert.deepEqual(await faults({ flags: { ...flags, x509popCert: cert, x509popKey: key } }), [
    `--x509pop-key: the key of this host's certificate, "${key}", is ${mounted}, so the key of this host's certificate may not be in or below it`,
  ]);
  assert.deepEqual(await faults({ flags: { ...flags, joinTokenFile: key } }), [
    `--join-token-file: the join token, "${key}", is ${mounted}, so the join token may not be in or below it`,
  ]);
});

test('what an agent does not know is refused with the name of its command', async (t) => {
  assert.deepEqual(await faults({ env: { SIDEKEY_SERVERS: 'a:1' } }), [
    'SIDEKEY_SERVERS: no setting has this variable; did you mean SIDEKEY_SERVER?',
  ]);
  assert.match((await faults({ env: { SIDEKEY_Q: 'x' } }))[0]!, /; sidekey agent run --help lists all settings$/);
  const config = fileIn(t, 'agent.yaml', 'server: a.example.org:1\ncaTtl: 1h\n');
  assert.match((await faults({ flags: { config } }))[0]!, /agent\.yaml:2 caTtl: no setting has this key; /);
  const env = {
    SIDEKEY_ADMIN_URL: 'http://127.0.0.1:1',
    SIDEKEY_ADMIN_CA_FILE: '/ca.pem',
    SIDEKEY_TOKEN_FILE: '/token',
  };
  await load({ env: { ...env, SIDEKEY_SERVER_PORT: 'tcp://10.0.0.1:80', SIDEKEY_SERVER_SERVICE_HOST: '10.0.0.1' } });
});

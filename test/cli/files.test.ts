/** `sidekey fetch --write` beside a real server: files that follow the server, and what is told about them. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { makePlace, ROOT, type Served, serve } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';
import { cleanEnvironment } from './support.ts';

const WEB = 'spiffe://ilinux.io/web';
const API = 'spiffe://ilinux.io/api';

interface Running {
  readonly child: ChildProcess;
  /** Lines of its log. */
  readonly log: Record<string, unknown>[];
  logged(message: RegExp): Promise<Record<string, unknown>>;
  stop(): Promise<number | null>;
}

/** A command that goes on. */
function start(t: TestContext, args: readonly string[], socket: string): Running {
  const env = { ...cleanEnvironment(), SPIFFE_ENDPOINT_SOCKET: `unix://${socket}` };
  const child = spawn(path.join(ROOT, 'bin/sidekey'), args, { env, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
  const log: Record<string, unknown>[] = [];
  let rest = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    for (const line of lines) if (line.startsWith('{')) log.push(JSON.parse(line));
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = once(child, 'close');
  const stop = async () => {
    child.kill('SIGTERM');
    return (await ended)[0] as number | null;
  };
  t.after(stop);
  const logged = (message: RegExp) =>
    wait(`${message} in the log`, {
      look: async () =>
        log.find(({ msg }) => message.test(String(msg))) ?? (child.exitCode === null ? undefined : { stderr }),
      until: (line) => line !== undefined,
    }) as Promise<Record<string, unknown>>;
  return { child, log, logged, stop };
}

async function run(args: readonly string[], socket: string) {
  const env = { ...cleanEnvironment(), SPIFFE_ENDPOINT_SOCKET: `unix://${socket}` };
  const child = spawn(path.join(ROOT, 'bin/sidekey'), args, { env, cwd: '/', stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, stdout, stderr };
}

const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];

async function create(server: Served, spiffeId: string, more: object = {}): Promise<string> {
  const { body } = await server.request('POST', '/v1/entries', { spiffe_id: spiffeId, selectors, ...more });
  return body.id;
}

const read = (directory: string, name: string) => readFileSync(path.join(directory, name), 'utf8');

/** The identity in the files, if they belong together. */
function identityIn(
  directory: string,
  [certificate, key]: readonly string[] = ['svid.pem', 'key.pem'],
): string | undefined {
  if (!existsSync(path.join(directory, certificate!))) return undefined;
  const leaf = new X509Certificate(read(directory, certificate!));
  assert.ok(leaf.checkPrivateKey(createPrivateKey(read(directory, key!))));
  return leaf.subjectAltName?.split(', ')[0]?.replace('URI:', '');
}

const becomes = (directory: string, id: string, names?: readonly string[]) =>
  wait(`the files of ${id}`, { look: async () => identityIn(directory, names), until: (now) => now === id });

describe('fetch --write --watch', { timeout: 120_000 }, () => {
  it('follows entries, a restart of the server, and an identity that goes and comes back', async (t) => {
    const place = makePlace(t);
    const server = await serve(t, { place });
    const [port] = await freePorts(1);
    const out = path.join(place.directory, 'out');
    const changed = path.join(place.directory, 'changed');
    const onUpdate = `sh -c 'echo $SIDEKEY_CHANGED >> ${changed}'`;
    const options = [
      '--jwt',
      'db,cache=db.jwt',
      '--jwks',
      'keys.json',
      '--health',
      `127.0.0.1:${port}`,
      '--on-update',
      onUpdate,
    ];
    const keeper = start(t, ['fetch', '--write', out, '--watch', ...options], place.socket);
    const health = async (page: string) => call(`http://127.0.0.1:${port}/${page}`);
    await keeper.logged(/no identity issued/);
    assert.deepEqual([(await health('live')).status, (await health('ready')).status], [200, 503]);

    const id = await create(server, WEB);
    await becomes(out, WEB);
    await wait('the command', {
      look: async () => (existsSync(changed) ? readFileSync(changed, 'utf8') : ''),
      until: (text) => text === 'jwt,jwt-bundle,x509\n',
    });
    const { aud, sub } = JSON.parse(Buffer.from(read(out, 'db.jwt').split('.')[1]!, 'base64url').toString());
    assert.deepEqual([aud, sub], [['cache', 'db'], WEB]);
    assert.ok(JSON.parse(read(out, 'keys.json')).keys.length > 0);
    assert.equal(statSync(path.join(out, 'db.jwt')).mode & 0o777, 0o600);
    const ready = await health('ready');
    assert.equal(ready.status, 200);
    const { health: report } = JSON.parse(ready.body);
    assert.equal(report.file_write_statuses.x509_write_status, 'written');
    assert.deepEqual(report.file_write_statuses.jwt_write_status, {
      [path.join(out, 'db.jwt')]: 'written',
      [path.join(out, 'keys.json')]: 'written',
    });

    // Another default identity: certificate and token change together.
    await create(server, API, { hint: 'default' });
    await becomes(out, API);
    const tokenBecomes = (subject: string) =>
      wait('the token of the new identity', {
        look: async () => JSON.parse(Buffer.from(read(out, 'db.jwt').split('.')[1]!, 'base64url').toString()).sub,
        until: (now) => now === subject,
      });
    await tokenBecomes(API);
    await wait('one generation', {
      look: async () => readdirSync(out).filter((name) => name.startsWith('.generation-')).length,
      until: (count) => count === 1,
    });

    const other = (await server.request('GET', '/v1/entries')).body.entries.find(
      (one: { id: string }) => one.id !== id,
    );
    await server.request('DELETE', `/v1/entries/${id}`);
    await server.request('DELETE', `/v1/entries/${other.id}`);
    await keeper.logged(/no identity issued/);
    assert.equal(identityIn(out), API, 'what is still valid stays in place');
    assert.equal((await health('ready')).status, 200);

    await server.stop();
    const again = await serve(t, { place });
    await create(again, WEB);
    await becomes(out, WEB);
    // Its token follows in a generation of its own, which would bring back the removed file.
    await tokenBecomes(WEB);

    rmSync(path.join(out, 'key.pem'));
    assert.equal((await health('ready')).status, 503, 'a file is missing');
    assert.equal((await health('nowhere')).status, 404);
    assert.equal(await keeper.stop(), 0);
    const started = keeper.log.find(({ msg }) => msg === 'keeping files');
    assert.equal(started?.health_port, port);
  });

  it('sends a signal by a pid file, which may appear later', async (t) => {
    const place = makePlace(t);
    const server = await serve(t, { place });
    await create(server, WEB);
    const pidFile = path.join(place.directory, 'its.pid');
    const out = path.join(place.directory, 'out');
    const args = ['--signal', 'usr1', '--pid-file', pidFile];
    const keeper = start(t, ['fetch', '--write', out, '--watch', ...args], place.socket);
    await keeper.logged(/^SIGUSR1 to the process of .*its\.pid failed$/);
    const child = spawn('sleep', ['60']);
    t.after(() => child.kill('SIGKILL'));
    const ended = once(child, 'exit');
    writeFileSync(pidFile, `${child.pid}\n`, { mode: 0o644 });
    assert.deepEqual(await ended, [null, 'SIGUSR1']);
    await keeper.logged(/^SIGUSR1 to the process of .*its\.pid: done$/);
  });

  it('says why it cannot start, and changes nothing', async (t) => {
    const parent = tempDir(t);
    mkdirSync(path.join(parent, 'real'));
    symlinkSync('real', path.join(parent, 'link'));
    for (const [args, message, status] of [
      [['--write', path.join(parent, 'link'), '--watch'], /link: it is a symbolic link to real; .*\(ERR_FILES\)\n$/, 1],
      [['--watch'], /--watch has no effect without --write\n$/, 2],
      [['--write', parent, '--key-mode', '0646'], /--key-mode: 0646 lets everybody write; give .*\(ERR_CONFIG\)\n$/, 2],
    ] as const) {
      const ran = await run(['fetch', ...args], path.join(parent, 'none.sock'));
      assert.match(ran.stderr, message);
      assert.equal(ran.status, status, ran.stderr);
    }
    assert.deepEqual(readdirSync(parent).sort(), ['link', 'real']);
  });
});

describe('fetch --write, for jobs', { timeout: 120_000 }, () => {
  it('waits for an identity with a limit, and fails unless everything was written', async (t) => {
    const place = makePlace(t);
    const server = await serve(t, { place });
    const out = path.join(place.directory, 'out');
    const late = await run(['fetch', '--write', out, '--wait', '1s'], place.socket);
    assert.equal(late.status, 1);
    assert.match(late.stderr, /not all files could be fetched within 1 s: .*no identity issued/);
    assert.ok(!existsSync(path.join(out, 'svid.pem')));

    const waiting = run(['fetch', '--write', out, '--wait', '30s', '--hint', 'job', '-o', 'json'], place.socket);
    await create(server, WEB);
    await create(server, API, { hint: 'job' });
    const { status, stdout, stderr } = await waiting;
    assert.equal(status, 0, stderr);
    assert.equal(identityIn(out), API);
    assert.equal(JSON.parse(stdout).identities[0].spiffe_id, API);

    const failed = await run(['fetch', '--write', out, '--on-update', 'sh -c "echo bad >&2; exit 4"'], place.socket);
    assert.deepEqual([failed.status, failed.stderr], [1, 'sidekey: it ended with exit status 4: bad\n']);
    assert.equal(identityIn(out), WEB, 'the files were written before');
    const hung = await run(
      ['fetch', '--write', out, '--on-update', 'sleep 60', '--on-update-timeout', '1s'],
      place.socket,
    );
    assert.deepEqual([hung.status, hung.stderr], [1, 'sidekey: it did not end within 1 s and was killed\n']);

    const none = await run(['fetch', '--write', out, '--hint', 'nobody'], place.socket);
    assert.equal(none.status, 1);
    assert.match(
      none.stderr,
      /no X\.509-SVID with the hint "nobody" for this process, but spiffe:.*web, spiffe:.*api \(hint job\)/,
    );
    assert.equal(identityIn(out), WEB, 'nothing was changed');
  });
});

describe('sidekey helper', { timeout: 120_000 }, () => {
  const NAMES = ['svid.pem', 'svid_key.pem'];

  /** A configuration as people have it for spiffe-helper. */
  function config(directory: string, socket: string, more = ''): string {
    const file = path.join(directory, 'helper.conf');
    mkdirSync(path.join(directory, 'certs'), { recursive: true });
    writeFileSync(
      file,
      `# as it was
agent_address = "${socket}"
cert_dir = "${directory}/certs"
svid_file_name = "svid.pem"
svid_key_file_name = "svid_key.pem"
svid_bundle_file_name = "svid_bundle.pem"
${more}
`,
    );
    return file;
  }

  it('does what spiffe-helper does with its configuration', async (t) => {
    const place = makePlace(t);
    const server = await serve(t, { place });
    await create(server, WEB);
    const [port] = await freePorts(1);
    const said = path.join(place.directory, 'said');
    const file = config(
      place.directory,
      place.socket,
      `cmd = "sh"
cmd_args = "-c ""trap 'echo renew >> ${said}' USR1; echo start >> ${said}; while :; do sleep 0.05; done"""
renew_signal = "SIGUSR1"
add_intermediates_to_bundle = true
cert_file_mode = 0444
jwt_svids = [
  { jwt_audience = "a", jwt_extra_audiences = ["b"], jwt_svid_file_name = "a.token" },
  { jwt_audience = "c", jwt_svid_file_name = "c.token" },
]
jwt_bundle_file_name = "bundle.json"
health_checks { listener_enabled = true bind_port = ${port} readiness_path = "/is/ready" }`.replaceAll('""', '\\"'),
    );
    const helper = start(t, ['helper', '-config', file], '/nowhere.sock');
    const certs = path.join(place.directory, 'certs');
    await becomes(certs, WEB, NAMES);
    await wait('readiness', {
      look: async () => (await call(`http://127.0.0.1:${port}/is/ready`)).status,
      until: (status) => status === 200,
    });
    assert.match(read(certs, 'svid_key.pem'), /^-----BEGIN PRIVATE KEY-----\n/);
    assert.equal(read(certs, 'svid.pem').split('BEGIN CERTIFICATE').length - 1, 1, 'the leaf alone');
    assert.ok(read(certs, 'svid_bundle.pem').split('BEGIN CERTIFICATE').length - 1 >= 2, 'with the intermediate');
    const { 'ilinux.io': keys } = JSON.parse(read(certs, 'bundle.json'));
    assert.ok(JSON.parse(Buffer.from(keys, 'base64').toString()).keys.length > 0);
    assert.match(read(certs, 'a.token'), /^[\w-]+\.[\w-]+\.[\w-]+$/);
    const modes = ['svid.pem', 'svid_key.pem', 'a.token', 'bundle.json'].map(
      (name) => statSync(path.join(certs, name)).mode & 0o777,
    );
    assert.deepEqual(modes, [0o444, 0o600, 0o600, 0o600]);
    const tells = (text: string) =>
      wait(text, {
        look: async () => (existsSync(said) ? readFileSync(said, 'utf8') : ''),
        until: (now) => now === text,
      });
    await tells('start\n');
    await create(server, API, { hint: 'default' });
    await becomes(certs, API, NAMES);
    await tells('start\nrenew\n');
    assert.equal(await helper.stop(), 0);
  });

  it('takes over the files that spiffe-helper has left, and says what is risky', async (t) => {
    const place = makePlace(t);
    const server = await serve(t, { place });
    await create(server, WEB);
    const file = config(place.directory, place.socket, 'daemon_mode = true');
    const certs = path.join(place.directory, 'certs');
    writeFileSync(path.join(certs, 'svid_key.pem'), 'old', { mode: 0o644 });
    chmodSync(certs, 0o777);
    const { status, stderr } = await run(['helper', `-config=${file}`, '-daemon-mode=false'], '/nowhere.sock');
    assert.equal(status, 0, stderr);
    assert.match(stderr, /^sidekey: warning: .*certs \(mode 0777\) can be written by everybody/);
    assert.equal(identityIn(certs, NAMES), WEB);
    assert.ok(lstatSync(path.join(certs, 'svid_key.pem')).isSymbolicLink());
  });

  it('names the setting of a health port that is taken', async (t) => {
    const taken = net.createServer().listen(0, '127.0.0.1');
    t.after(() => taken.close());
    await once(taken, 'listening');
    const { port } = taken.address() as net.AddressInfo;
    const watch = ['fetch', '--write', tempDir(t), '--watch', '--health', `127.0.0.1:${port}`];
    const flag = await run(watch, '/nowhere.sock');
    assert.equal(flag.status, 2);
    assert.match(flag.stderr, new RegExp(`^sidekey: --health: cannot listen on 127\\.0\\.0\\.1:${port}: .*EADDRINUSE`));
    const block = `health_checks {\n  listener_enabled = true\n  bind_port = ${port}\n}`;
    const file = config(tempDir(t), '/nowhere.sock', block);
    const helper = await run(['helper', '-config', file], '/nowhere.sock');
    assert.match(helper.stderr, /^sidekey: .*helper\.conf: health_checks: cannot listen on port \d+: .*EADDRINUSE/m);
  });

  it('takes -daemon-mode as Go reads booleans', async () => {
    for (const text of ['0', 'F', 'False', 'false', 'true']) {
      const { stderr } = await run(['helper', '-config=/nowhere/h.conf', `-daemon-mode=${text}`], '/nowhere.sock');
      assert.match(stderr, /^sidekey: \/nowhere\/h\.conf: it cannot be read/, text);
    }
    const { status, stderr } = await run(['helper', '-daemon-mode=no'], '/nowhere.sock');
    assert.equal(status, 2);
    assert.match(stderr, /--daemon-mode: "no" is neither true nor false; give true or false/);
  });

  it('with daemon_mode = false fails unless everything was written in time', async (t) => {
    const place = makePlace(t);
    await serve(t, { place });
    const file = config(place.directory, place.socket, 'daemon_mode = false\ncmd = "x"');
    const { status, stderr } = await run(['helper', '-config', file, '--wait', '1s'], '/nowhere.sock');
    assert.equal(status, 1);
    assert.match(
      stderr,
      /cmd has no effect, because daemon_mode is false\n.*not all files could be fetched within 1 s/s,
    );
  });
});

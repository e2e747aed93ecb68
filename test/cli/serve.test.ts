import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { on, once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, type TestContext, test } from 'node:test';
import { tempDir } from '../support/temp-dir.ts';
import { cleanEnvironment, ROOT, type RunOptions, sidekey } from './support.ts';

interface Server {
  readonly directory: string;
  readonly process: ChildProcess;
  /** Waits until it logs this. */
  readonly logged: (message: string) => Promise<void>;
  readonly run: (args: readonly string[], options?: RunOptions) => ReturnType<typeof sidekey>;
}

function flags(directory: string): string[] {
  return [
    ...['serve', '--trust-domain', 'ilinux.io', '--data-dir', path.join(directory, 'data')],
    ...['--socket', path.join(directory, 'run/agent.sock')],
  ];
}

/** Starts a server and waits until it says that it serves. */
async function start(t: TestContext, more: readonly string[] = []): Promise<Server> {
  // Registered before the folder, so that the server has ended when that is removed.
  let child: ChildProcess | undefined;
  t.after(async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  });
  const directory = tempDir(t);
  child = spawn(process.execPath, [path.join(ROOT, 'src/cli/main.ts'), ...flags(directory), ...more], {
    env: cleanEnvironment(),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout! });
  const logged = async (message: string) => {
    for await (const [line] of on(lines, 'line', { close: ['close'] })) if (JSON.parse(line).msg === message) return;
    throw new Error(`the server ended without "${message}"`);
  };
  await logged('serving');
  const env = {
    SIDEKEY_DATA_DIR: path.join(directory, 'data'),
    SIDEKEY_SOCKET: path.join(directory, 'run/agent.sock'),
  };
  return { directory, process: child, logged, run: (args, options) => sidekey(args, { ...options, env }) };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const exited = once(child, 'exit');
  child.kill(signal);
  const [status] = await exited;
  return status;
}

/** A socket file that nobody answers on, as a server that was killed leaves it. */
function leaveSocket(place: string): void {
  const listen = `require('node:net').createServer().listen(${JSON.stringify(place)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', listen]);
  assert.ok(statSync(place).isSocket());
}

const ME = `unix:uid:${process.getuid!()}`;
const ID = 'spiffe://ilinux.io/me';

describe('sidekey serve', () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`serves until ${signal} and exits with 0`, async (t) => {
      const server = await start(t);
      assert.equal((await server.run(['healthcheck'])).status, 0);
      assert.equal(await end(server.process, signal), 0);
      const left = ['run', 'data'].flatMap((name) => readdirSync(path.join(server.directory, name)));
      assert.deepEqual(
        left.filter((name) => name.endsWith('.sock')),
        [],
        'no socket stays behind',
      );
    });
  }

  test('ends at once at the second signal, whatever still runs', async (t) => {
    const server = await start(t);
    // A request that never ends is waited for, a second at most.
    const caller = net.connect(path.join(server.directory, 'data/admin.sock'));
    t.after(() => caller.destroy());
    const begun = ['POST /v1/entries HTTP/1.1', 'Host: x', 'Content-Type: application/json', 'Content-Length: 99'];
    caller.write([...begun, 'Expect: 100-continue', '', '{'].join('\r\n'));
    await once(caller, 'data');
    const stopping = server.logged('stopping');
    server.process.kill('SIGTERM');
    await stopping;
    assert.equal(await end(server.process, 'SIGTERM'), 1);
  });

  test('tells what keeps it from starting, with status 1', async (t) => {
    const directory = tempDir(t);
    mkdirSync(path.join(directory, 'data'));
    writeFileSync(path.join(directory, 'data/other'), '');
    chmodSync(path.join(directory, 'data'), 0o777);
    const { status, stderr } = await sidekey(flags(directory));
    assert.equal(status, 1);
    assert.match(
      stderr,
      /^sidekey: .* others can write in it \(mode 0777\), and it is not empty; .* \(ERR_DATA_DIR\)\n$/,
    );
    assert.doesNotMatch(stderr, /\n +at /, 'no stack');
  });

  test('refuses to listen beyond loopback in clear text, with status 2', async (t) => {
    const directory = tempDir(t);
    const { status, stderr } = await sidekey([...flags(directory), '--admin-listen', '0.0.0.0:0']);
    assert.equal(status, 2);
    assert.match(stderr, /--admin-listen: .*--admin-insecure-listen.* \(ERR_CONFIG\)\n$/s);
    assert.deepEqual(readdirSync(directory), [], 'nothing was made');
  });
});

describe('sidekey fetch', () => {
  test('prints and writes the identity that an entry gives to this very process', async (t) => {
    const server = await start(t);
    const into = path.join(server.directory, 'id');
    assert.equal((await server.run(['entry', 'create', '--spiffe-id', ID, '--selector', ME])).status, 0);

    const table = await server.run(['fetch']);
    assert.equal(table.status, 0, table.stderr);
    assert.match(table.stdout, /^SPIFFE ID +SERIAL +NOT BEFORE +NOT AFTER\nspiffe:\/\/ilinux\.io\/me +[0-9a-f]+ +/);

    mkdirSync(into);
    writeFileSync(path.join(into, 'key.pem'), 'an old key that others could read', { mode: 0o644 });
    const written = await server.run(['fetch', '--spiffe-id', ID, '--write', into, '--output', 'json']);
    assert.equal(written.status, 0, written.stderr);
    assert.doesNotMatch(written.stdout + table.stdout, /PRIVATE KEY/);
    const names = readdirSync(into).filter((name) => !name.startsWith('.'));
    assert.deepEqual(names.sort(), ['bundle.pem', 'key.pem', 'svid.pem']);
    assert.equal(statSync(path.join(into, 'key.pem')).mode & 0o777, 0o600);

    const read = (name: string) => readFileSync(path.join(into, name), 'utf8');
    const leaf = new X509Certificate(read('svid.pem'));
    assert.equal(leaf.subjectAltName, `URI:${ID}`);
    assert.ok(leaf.checkPrivateKey(createPrivateKey(read('key.pem'))));
    const intermediate = new X509Certificate(read('svid.pem').slice(read('svid.pem').lastIndexOf('-----BEGIN')));
    assert.ok(leaf.verify(intermediate.publicKey));
    assert.ok(intermediate.verify(new X509Certificate(read('bundle.pem')).publicKey));
    assert.equal(JSON.parse(written.stdout).identities[0].serial, leaf.serialNumber.toLowerCase());
  });

  test("fails with the server's reason and writes nothing where no entry gives it", async (t) => {
    const server = await start(t);
    const into = path.join(server.directory, 'id');
    for (const args of [['fetch'], ['fetch', '--spiffe-id', ID]]) {
      const { status, stdout, stderr } = await server.run(args);
      assert.equal(status, 1);
      assert.equal(stdout, '');
      assert.match(
        stderr,
        /^sidekey: .*agent\.sock: (no secret for this caller|no entry matches this caller).*\(decision (d-[0-9a-f]{12})\); as root or the user of the server, sidekey explain \2 says why\n$/,
      );
    }
    const written = await server.run(['fetch', '--write', into]);
    assert.deepEqual([written.status, written.stdout], [1, '']);
    assert.match(written.stderr, /agent\.sock: no identity issued; .*sidekey explain d-[0-9a-f]{12} says why\n$/);
    const other = ['--selector', 'unix:user:no-such-user', '--selector', `unix:uid:${process.getuid!()}`];
    await server.run(['entry', 'create', '--spiffe-id', ID, ...other]);
    assert.match(
      (await server.run(['fetch'])).stderr,
      /says why\nthe nearest entry, \S+ of spiffe:\S+, needs unix:user:no-such-user \(has unix:user:\S+\)\n$/,
    );
    assert.ok(!readdirSync(server.directory).includes('id'));
  });

  test('says where it found no pipe', async (t) => {
    const socket = path.join(tempDir(t), 'agent.sock');
    const { status, stderr } = await sidekey(['fetch', '--socket', socket]);
    assert.equal(status, 1);
    assert.equal(
      stderr,
      `sidekey: ${socket}: this socket does not exist: start sidekey serve, or give --socket the path that the server has (ERR_UNREACHABLE)\n`,
    );
  });

  test('says that nobody listens on what a server left behind', async (t) => {
    const socket = path.join(tempDir(t), 'agent.sock');
    leaveSocket(socket);
    const { status, stderr } = await sidekey(['fetch', '--socket', socket]);
    assert.equal(status, 1);
    assert.ok(stderr.startsWith(`sidekey: ${socket}: no process listens there:`), stderr);
    assert.match(stderr, / \(ERR_UNREACHABLE\)\n$/);
  });

  test('says whose the pipe is to who may not use it', {
    skip: process.geteuid!() === 0 ? false : 'only root can be another user',
  }, async (t) => {
    const server = await start(t);
    chmodSync(server.directory, 0o755);
    const args = ['fetch', '--socket', path.join(server.directory, 'run/agent.sock')];
    const stranger = spawnSync(
      'setpriv',
      [
        ...['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath],
        ...[path.join(ROOT, 'src/cli/main.ts'), ...args],
      ],
      { encoding: 'utf8', env: cleanEnvironment() },
    );
    assert.equal(stranger.status, 1);
    assert.match(
      stranger.stderr,
      /agent\.sock: only the socket's owner and group .*--socket-group \(ERR_UNREACHABLE\)\n$/,
    );
  });
});

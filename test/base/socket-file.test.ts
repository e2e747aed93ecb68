import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
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
import { type TestContext, test } from 'node:test';
import type { SidekeyError } from '../../src/base/errors.ts';
import { listenOnSocket } from '../../src/server/socket-file.ts';
import { NOBODY, runChild, whyNotNobody } from '../support/child.ts';
import { tempDir } from '../support/temp-dir.ts';

const notNobody = whyNotNobody() ?? false;

/** A server that sends its name on each connection. */
function greeter(t: TestContext, name = 'us'): net.Server {
  // A client that only checks for a server disconnects without reading.
  const server = net.createServer((socket) => socket.on('error', () => {}).end(name));
  t.after(() => server.close());
  return server;
}

async function ask(file: string): Promise<string> {
  let text = '';
  for await (const chunk of net.connect(file).setEncoding('utf8')) text += chunk;
  return text;
}

/** Leaves a socket without a server. */
async function leaveDead(t: TestContext, file: string): Promise<void> {
  const child = runChild(
    t,
    `import net from 'node:net';
     net.createServer().listen(${JSON.stringify(file)}, () => console.log('listening'));`,
  );
  await child.firstLine;
  await child.kill();
  assert.ok(statSync(file).isSocket());
}

test('a socket has its mode and group from the moment it has its name', async (t) => {
  const umask = process.umask(0o077);
  t.after(() => process.umask(umask));
  const directory = path.join(tempDir(t), 'run', 'sidekey');
  const file = path.join(directory, 'agent.sock');
  const server = greeter(t);
  let draft: string[] = [];
  server.once('listening', () => {
    draft = readdirSync(directory);
    assert.equal(statSync(path.join(directory, draft[0]!)).mode & 0o777, 0o600);
  });
  const groupLine = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const [group, , gid] = groupLine.find((fields) => Number(fields[2]) === process.getgid!()) ?? [
    String(process.getgid!()),
  ];

  const socket = await listenOnSocket(server, { path: file, mode: 0o660, group: group! });
  assert.equal(draft.length, 1);
  assert.notEqual(draft[0], 'agent.sock');
  assert.deepEqual(readdirSync(directory), ['agent.sock']);
  assert.equal(statSync(file).mode & 0o777, 0o660);
  assert.equal(statSync(file).gid, Number(gid ?? group));
  assert.equal(statSync(directory).mode & 0o777, 0o755);
  assert.equal(statSync(path.dirname(directory)).mode & 0o777, 0o755);
  assert.equal(process.umask(), 0o077);
  assert.equal(socket.path, file);
  assert.equal(await ask(file), 'us');
});

test('closing removes the file and keeps open connections', async (t) => {
  const file = path.join(tempDir(t), 'agent.sock');
  const server = net.createServer((socket) => socket.pipe(socket));
  const socket = await listenOnSocket(server, { path: file, mode: 0o600 });
  const client = net.connect(file);
  await Promise.all([once(client, 'connect'), once(server, 'connection')]);
  socket.close();
  assert.ok(!existsSync(file));
  client.write('still here');
  assert.equal(String((await once(client, 'data'))[0]), 'still here');
  client.destroy();
  await once(server, 'close');
  socket.close();
});

test('closing leaves the socket of a later server', async (t) => {
  const file = path.join(tempDir(t), 'agent.sock');
  const first = await listenOnSocket(greeter(t), { path: file, mode: 0o600 });
  rmSync(file);
  await listenOnSocket(greeter(t, 'the next'), { path: file, mode: 0o600 });
  first.close();
  assert.equal(await ask(file), 'the next');
});

test('a dead socket is replaced', async (t) => {
  const file = path.join(tempDir(t), 'agent.sock');
  await leaveDead(t, file);
  await listenOnSocket(greeter(t), { path: file, mode: 0o600 });
  assert.equal(await ask(file), 'us');
  assert.deepEqual(readdirSync(path.dirname(file)), ['agent.sock']);
});

test('a live socket is never replaced', async (t) => {
  const file = path.join(tempDir(t), 'agent.sock');
  await listenOnSocket(greeter(t, 'the first'), { path: file, mode: 0o600 });
  const late = greeter(t);
  await assert.rejects(listenOnSocket(late, { path: file, mode: 0o600 }), {
    code: 'ERR_SOCKET',
    message: `${file}: another server answers there; stop it, or give this server another path`,
  });
  assert.ok(!late.listening);
  assert.equal(await ask(file), 'the first');
  assert.deepEqual(readdirSync(path.dirname(file)), ['agent.sock']);
});

test('of several servers that find the same dead socket exactly one wins and answers', async (t) => {
  const file = path.join(tempDir(t), 'agent.sock');
  await leaveDead(t, file);
  const names = ['a', 'b', 'c'];
  const results = await Promise.allSettled(
    names.map((name) => listenOnSocket(greeter(t, name), { path: file, mode: 0o600 })),
  );
  const winners = names.filter((_, i) => results[i]!.status === 'fulfilled');
  assert.equal(winners.length, 1);
  for (const result of results) {
    if (result.status === 'rejected') assert.match(result.reason.message, /another server (took|answers)/);
  }
  assert.equal(await ask(file), winners[0]);
  assert.deepEqual(readdirSync(path.dirname(file)), ['agent.sock']);
});

test('a file that is not a socket is not replaced', async (t) => {
  const directory = tempDir(t);
  writeFileSync(path.join(directory, 'file'), 'precious');
  mkdirSync(path.join(directory, 'directory'));
  symlinkSync('nowhere', path.join(directory, 'link'));
  for (const name of ['file', 'directory', 'link']) {
    const file = path.join(directory, name);
    await assert.rejects(listenOnSocket(greeter(t), { path: file, mode: 0o600 }), {
      code: 'ERR_SOCKET',
      message: `${file}: something that is not a socket is in the way`,
    });
  }
  assert.equal(readFileSync(path.join(directory, 'file'), 'utf8'), 'precious');
  assert.deepEqual(readdirSync(directory).sort(), ['directory', 'file', 'link']);
});

async function refusalOf(t: TestContext, file: string): Promise<string> {
  const error = await listenOnSocket(greeter(t), { path: file, mode: 0o600 }).then(
    () => assert.fail('it listens'),
    (thrown: SidekeyError) => thrown,
  );
  assert.equal(error.code, 'ERR_SOCKET');
  assert.doesNotMatch(error.message, /chmod|chown/, 'no command adopts a planted file');
  return error.message;
}

const REMEDY =
  /; every directory from \/ down must belong to root or uid \d+ .*: put it below a directory that only root or uid \d+ can write$/;

test('a directory in which others can write is refused', async (t) => {
  const directory = path.join(tempDir(t), 'run');
  const file = path.join(directory, 'agent.sock');
  mkdirSync(directory);
  for (const [mode, who] of [
    [0o775, 'its group'],
    [0o757, 'everybody'],
    [0o777, 'everybody'],
  ] as const) {
    chmodSync(directory, mode);
    const message = await refusalOf(t, file);
    assert.ok(
      message.startsWith(
        `${file}: ${directory} (uid ${process.getuid!()}, mode 0${mode.toString(8)}) can be written by ${who}`,
      ),
    );
    assert.match(message, REMEDY);
  }
  chmodSync(directory, 0o1777);
  assert.match(await refusalOf(t, file), /: everybody may make files in .*\/run \(uid \d+, mode 01777\)/);
  chmodSync(directory, 0o1755);
  await listenOnSocket(greeter(t), { path: file, mode: 0o600 });
});

test("a directory below one in which others can write is refused, and so is one below another user's", {
  skip: notNobody,
}, async (t) => {
  const home = tempDir(t);
  const above = path.join(home, 'above');
  const file = path.join(above, 'run', 'agent.sock');
  mkdirSync(path.dirname(file), { recursive: true });
  (await listenOnSocket(greeter(t), { path: file, mode: 0o600 })).close();
  chmodSync(above, 0o777);
  assert.match(await refusalOf(t, file), /\/above \(uid 0, mode 0777\) can be written by everybody/);
  // In a sticky directory, entries of root are safe.
  chmodSync(above, 0o1777);
  (await listenOnSocket(greeter(t), { path: file, mode: 0o600 })).close();
  chownSync(path.dirname(file), NOBODY, NOBODY);
  assert.match(await refusalOf(t, file), /\/above\/run \(uid 65534, mode 0755\) belongs to another user/);
  chownSync(path.dirname(file), 0, 0);
  chmodSync(above, 0o755);
  chownSync(above, NOBODY, NOBODY);
  const message = await refusalOf(t, file);
  assert.match(message, /\/above \(uid 65534, mode 0755\) belongs to another user/);
  assert.match(message, REMEDY);
  // Nothing is created below it either.
  assert.match(await refusalOf(t, path.join(above, 'new', 'agent.sock')), /\/above \(uid 65534/);
  assert.deepEqual(readdirSync(above), ['run']);
});

test('a short name in a long directory is taken up to the limit, and leaves nothing else behind', async (t) => {
  const above = tempDir(t);
  for (const bytes of [100, 101, 105, 107]) {
    const directory = path.join(above, 'x'.repeat(bytes - above.length - 3));
    const file = path.join(directory, 's');
    assert.equal(file.length, bytes);
    const server = net.createServer((socket) => socket.end('hello'));
    const listening = await listenOnSocket(server, { path: file, mode: 0o640 });
    assert.deepEqual(readdirSync(directory), ['s']);
    assert.equal(statSync(file).mode & 0o777, 0o640);
    const [hello] = await once(net.connect(file).setEncoding('utf8'), 'data');
    assert.equal(hello, 'hello');
    listening.close();
    await once(server, 'close');
    assert.deepEqual(readdirSync(directory), []);
  }
});

test('a path that is too long for a socket address is refused with its length', async (t) => {
  const directory = tempDir(t);
  const fits = path.join(directory, 'x'.repeat(107 - directory.length - 1));
  (await listenOnSocket(greeter(t), { path: fits, mode: 0o600 })).close();
  await assert.rejects(listenOnSocket(greeter(t), { path: `${fits}x`, mode: 0o600 }), {
    code: 'ERR_SOCKET',
    message: `${fits}x: the path has 108 bytes; the path of a socket has at most 107`,
  });
});

test('an unknown group is refused', async (t) => {
  const file = path.join(tempDir(t), 'agent.sock');
  await assert.rejects(listenOnSocket(greeter(t), { path: file, mode: 0o660, group: 'no-such-group' }), {
    code: 'ERR_SOCKET',
    message: `${file}: this host has no group "no-such-group"`,
  });
  assert.deepEqual(readdirSync(path.dirname(file)), []);
});

test('a user may use only its own groups for the socket', { skip: notNobody }, async (t) => {
  const directory = tempDir(t);
  chownSync(directory, NOBODY, NOBODY);
  const file = path.join(directory, 'agent.sock');
  const listen = (group: number) => `
    import net from 'node:net';
    import { listenOnSocket } from 'src/server/socket-file.ts';
    await listenOnSocket(net.createServer(), { path: '${file}', mode: 0o660, group: '${group}' })
      .then(() => console.log('listening'), (error) => console.log(error.message));`;
  assert.equal(
    await runChild(t, listen(0), NOBODY).firstLine,
    `${file}: this user may not set the group of the socket to "0"`,
  );
  assert.deepEqual(readdirSync(directory), []);
  assert.equal(await runChild(t, listen(NOBODY), NOBODY).firstLine, 'listening');
  assert.equal(statSync(file).gid, NOBODY);
});

test('a server that already listens is unaffected', async (t) => {
  const directory = tempDir(t);
  const server = greeter(t);
  const { path: file } = await listenOnSocket(server, { path: path.join(directory, 'a.sock'), mode: 0o600 });
  await assert.rejects(listenOnSocket(server, { path: path.join(directory, 'b.sock'), mode: 0o600 }), {
    code: 'ERR_SOCKET',
  });
  assert.equal(await ask(file), 'us');
});

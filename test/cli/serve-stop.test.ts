import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { tempDir } from '../support/temp-dir.ts';
import { cleanEnvironment, ROOT } from './support.ts';

interface Started {
  readonly directory: string;
  readonly adminSocket: string;
  readonly child: ChildProcess;
}

/** Starts `sidekey serve`, whose stdout is a pipe that only the test reads, if it does. */
function start(t: TestContext, more: readonly string[] = []): Started {
  const directory = tempDir(t);
  const adminSocket = path.join(directory, 'data/admin.sock');
  const args = ['serve', '--trust-domain', 'ilinux.io', '--data-dir', path.join(directory, 'data')];
  args.push('--socket', path.join(directory, 'run/agent.sock'), ...more);
  const child = spawn(process.execPath, [path.join(ROOT, 'src/cli/main.ts'), ...args], {
    env: cleanEnvironment(),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  return { directory, adminSocket, child };
}

async function status(socketPath: string, method: string, url: string, agent?: http.Agent): Promise<number> {
  const request = http.request({ socketPath, method, path: url, agent }).end();
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  response.resume();
  await once(response, 'end');
  return response.statusCode!;
}

/** Asks until the server serves: its log is not read here. */
async function ready({ adminSocket, child }: Started): Promise<void> {
  while (child.exitCode === null) {
    if ((await status(adminSocket, 'GET', '/readyz').catch(() => 0)) === 200) return;
    await sleep(20);
  }
  assert.fail('the server ended');
}

/** Sends the signal; the status, or `late` when the process did not end in time. */
async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null | 'late'> {
  const exited = once(child, 'exit') as Promise<[number | null]>;
  child.kill(signal);
  return Promise.race([exited.then(([code]) => code), sleep(5_000, 'late' as const, { ref: false })]);
}

/** Each request logs its path of 4 kB, refusal and request: 500 of them are beyond pipe and bound. */
async function talk({ adminSocket }: Started): Promise<void> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 10 });
  const url = `/${'x'.repeat(4_000)}`;
  const statuses = await Promise.all(Array.from({ length: 500 }, () => status(adminSocket, 'DELETE', url, agent)));
  agent.destroy();
  assert.ok(
    statuses.every((one) => one >= 400 && one < 500),
    'every request is answered',
  );
}

test('a reader of the log that stalls holds neither requests nor the end', { timeout: 60_000 }, async (t) => {
  const started = start(t, ['--log-level', 'debug']);
  await ready(started);
  await talk(started);
  assert.equal(await end(started.child, 'SIGTERM'), 0);
});

test('a reader that goes on is told how many lines it missed, and reads the last', { timeout: 60_000 }, async (t) => {
  const started = start(t, ['--log-level', 'debug']);
  await ready(started);
  await talk(started);
  await talk(started);
  let text = '';
  const { promise: told, resolve } = Promise.withResolvers<void>();
  started.child.stdout!.setEncoding('utf8').on('data', (more: string) => {
    text += more;
    if (text.includes('lines were dropped')) resolve();
  });
  const closed = once(started.child, 'close');
  await told;
  assert.equal(await end(started.child, 'SIGTERM'), 0);
  await closed;
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const gap = lines.find((line) => line.msg.includes('lines were dropped'));
  const requests = lines.filter((line) => line.msg.startsWith('admin request')).length;
  assert.equal(gap.level, 'warn');
  assert.equal(requests + gap.lines, 2_000, 'a line for each refusal and one for each request');
  assert.equal(lines.at(-1).msg, 'stopped');
});

test('the SIGHUP of a terminal that closes stops it', { timeout: 60_000 }, async (t) => {
  const directory = tempDir(t);
  const adminSocket = path.join(directory, 'data/admin.sock');
  const serve = `serve --trust-domain ilinux.io --data-dir ${directory}/data --socket ${directory}/run/agent.sock`;
  // script(1) gives the server a terminal, which is hung up when script ends.
  const terminal = spawn('script', ['-qfc', `exec ${process.execPath} ${ROOT}/src/cli/main.ts ${serve}`, '/dev/null'], {
    env: cleanEnvironment(),
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  t.after(() => terminal.kill('SIGKILL'));
  let shown = '';
  terminal.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
  });
  await ready({ directory, adminSocket, child: terminal });
  assert.match(shown, /^\d\d:\d\d:\d\d .*info /m, 'the log of a terminal is text');
  while (!shown.includes('sidekey doctor')) await once(terminal.stdout, 'data');
  assert.match(
    shown,
    /In another terminal:\s+sidekey entry create --spiffe-id spiffe:\/\/ilinux\.io\/web .*--admin-socket /,
  );
  terminal.kill('SIGKILL');
  while (existsSync(adminSocket)) await sleep(20);
});

test('a signal during the start stops it before it serves', { timeout: 60_000 }, async (t) => {
  const directory = tempDir(t);
  const entries = Array.from({ length: 10_000 }, (_, n) => ({
    spiffe_id: `spiffe://ilinux.io/${n}`,
    selectors: [`unix:uid:${n}`],
  }));
  const file = path.join(directory, 'entries.json');
  writeFileSync(file, JSON.stringify({ entries }));
  const started = start(t, ['--entries', file]);
  let log = '';
  started.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  // The first that a start makes; the entries are taken over after it.
  while (!existsSync(path.join(started.directory, 'data'))) await sleep(1);
  assert.equal(await end(started.child, 'SIGTERM'), 0);
  assert.doesNotMatch(log, /serving/);
});

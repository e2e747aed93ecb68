/** Stdout that can't be written to: the server starts, serves and stops all the same, and what it writes is whole lines. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { namesOf, SdsClient } from '../support/sds-client.ts';
import { makePlace, type Place, ROOT, requestAdmin, TRUST_DOMAIN } from '../support/serve.ts';
import { makeSmallDisk, whyNoSmallDisk } from '../support/small-disk.ts';

interface Started extends Place {
  readonly child: ChildProcess;
}

/** Runs `sidekey serve` with stdout as the shell's redirection has it. */
function start(t: TestContext, redirection: string, place = makePlace(t), wrapped: readonly string[] = []): Started {
  const serve = `exec ${ROOT}/bin/sidekey serve --log-level debug --trust-domain ${TRUST_DOMAIN} --data-dir ${place.dataDir}`;
  const script = `${serve} --socket ${place.socket} --admin-socket ${place.adminSocket} ${redirection}`;
  const [program, ...args] = [...wrapped, 'sh', '-c', script];
  const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  });
  return { ...place, child };
}

/** Asks until the server serves. */
async function ready({ adminSocket, child }: Started): Promise<void> {
  while (child.exitCode === null && child.signalCode === null) {
    const answer = await requestAdmin(adminSocket, 'GET', '/readyz').catch(() => undefined);
    if (answer?.status === 200) return;
    await sleep(20);
  }
  assert.fail(`the server ended (${child.exitCode ?? child.signalCode})`);
}

/** Two lines of 4 kB each time. */
async function talk({ adminSocket }: Started, times: number): Promise<void> {
  for (let i = 0; i < times; i += 1) {
    assert.equal((await requestAdmin(adminSocket, 'DELETE', `/${'x'.repeat(4_000)}`)).status, 404);
  }
}

/** Callers on the pipe, and who asks the admin API, notice nothing. */
async function serves(started: Started): Promise<void> {
  const spiffeId = `spiffe://${TRUST_DOMAIN}/web`;
  const client = new SdsClient(started.socket);
  try {
    const stream = client.stream();
    stream.ask(spiffeId);
    await talk(started, 20);
    const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
    const { status } = await requestAdmin(started.adminSocket, 'POST', '/v1/entries', {
      spiffe_id: spiffeId,
      selectors,
    });
    assert.equal(status, 201);
    assert.deepEqual(namesOf(await stream.next()), [spiffeId]);
  } finally {
    client.close();
  }
}

async function stops({ child }: Started): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
}

function linesOf(text: string): Record<string, unknown>[] {
  assert.ok(text.endsWith('\n'), 'the last line is whole');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** What a shell alone can do to stdout. */
const BROKEN: Readonly<Record<string, string>> = {
  'a device that is always full (ENOSPC)': '>/dev/full',
  closed: '>&-',
  'open for reading only (EBADF)': '1</dev/null',
};

describe('stdout that can not be written to', { concurrency: 2, timeout: 60_000 }, () => {
  for (const [what, redirection] of Object.entries(BROKEN)) {
    it(what, async (t) => {
      const started = start(t, redirection);
      await ready(started);
      await serves(started);
      await stops(started);
    });
  }

  it('a pipe whose reader goes (EPIPE)', async (t) => {
    const started = start(t, '');
    await once(started.child.stdout!, 'data');
    started.child.stdout!.destroy();
    await ready(started);
    await serves(started);
    await stops(started);
  });

  it('a FIFO: each reader gets whole lines, and is told what was dropped', async (t) => {
    const place = makePlace(t);
    const fifo = path.join(place.directory, 'fifo');
    spawnSync('mkfifo', [fifo]);
    const first = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    const started = start(t, `>${fifo}`, place);
    await ready(started);
    closeSync(first);
    await serves(started);
    await talk(started, 200);
    const cat = spawn('cat', [fifo]);
    let text = '';
    cat.stdout.setEncoding('utf8').on('data', (more: string) => {
      text += more;
    });
    while (!text.includes('lines were dropped')) await sleep(20);
    const ended = once(cat, 'close');
    await stops(started);
    await ended;
    assert.match(String(linesOf(text).find(({ code }) => code === 'EPIPE')?.msg), /^\d+ lines were dropped: EPIPE$/);
    assert.equal(linesOf(text).at(-1)?.msg, 'stopped');
  });

  it('a socket whose other end goes', async (t) => {
    const place = makePlace(t);
    const log = path.join(place.directory, 'log.sock');
    const listener = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.destroy());
    });
    await new Promise<void>((resolve) => listener.listen(log, resolve));
    t.after(() => listener.close());
    // The shell can't connect: a program of ours does, and hands its socket on.
    const connect = `const s = require('net').connect(process.argv[1], () => {
      const [program, ...args] = process.argv.slice(2);
      const child = require('child_process').spawn(program, args, { stdio: ['ignore', s._handle.fd, 'inherit'] });
      process.on('SIGTERM', () => child.kill('SIGTERM'));
      child.on('exit', (code) => process.exit(code ?? 99));
    })`;
    const started = start(t, '', place, [process.execPath, '-e', connect, log]);
    await ready(started);
    await serves(started);
    await stops(started);
  });

  it('a terminal that was hung up (EIO)', async (t) => {
    if (spawnSync('script', ['--version']).error !== undefined)
      return t.skip('there is no script(1) to make a terminal');
    const place = makePlace(t);
    const pidFile = path.join(place.directory, 'pid');
    const file = path.join(place.directory, 'serve.sh');
    const serve = `${ROOT}/bin/sidekey serve --trust-domain ${TRUST_DOMAIN} --data-dir ${place.dataDir}`;
    // In a session of its own it does not get the SIGHUP.
    writeFileSync(
      file,
      `echo $$ >${pidFile}; exec ${serve} --socket ${place.socket} --admin-socket ${place.adminSocket}\n`,
    );
    const script = spawn('script', ['-qec', `setsid sh ${file} </dev/null`, '/dev/null'], { stdio: 'ignore' });
    t.after(() => script.kill('SIGKILL'));
    const started = { ...place, child: script };
    await ready(started);
    const pid = Number(readFileSync(pidFile, 'utf8'));
    t.after(() => {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended, as it should.
      }
    });
    script.kill('SIGKILL');
    await once(script, 'exit');
    await serves(started);
    process.kill(pid, 'SIGTERM');
    // It is no child of ours.
    while (statSync(`/proc/${pid}`, { throwIfNoEntry: false }) !== undefined && stateOf(pid) !== 'Z') await sleep(20);
  });

  it('a file at its size limit (EFBIG): lines go on once it is truncated', async (t) => {
    const place = makePlace(t);
    const log = path.join(place.directory, 'log');
    // In blocks of 512 bytes: 8 MiB, which the database stays below.
    const limit = 8 * 1024 * 1024;
    writeFileSync(log, `${'\n'.repeat(limit - 100)}`);
    const started = start(t, `>>${log}`, place, ['sh', '-c', `ulimit -f ${limit / 512}; exec "$@"`, 'sh']);
    await ready(started);
    await serves(started);
    await talk(started, 200);
    const half = readFileSync(log, 'utf8').trimStart();
    truncateSync(log, 0);
    while (!readFileSync(log, 'utf8').includes('lines were dropped')) await sleep(20);
    await stops(started);
    const lines = linesOf(half + readFileSync(log, 'utf8'));
    assert.ok(lines.some(({ msg }) => /^\d+ lines were dropped: EFBIG$/.test(String(msg))));
    assert.equal(lines.at(-1)?.msg, 'stopped');
  });

  it('a file on a full disk (ENOSPC): it starts, serves, tells what was dropped, and no line is broken', async (t) => {
    const why = whyNoSmallDisk();
    if (why !== undefined) return t.skip(why);
    const place = makePlace(t);
    const disk = makeSmallDisk(t, 4_096);
    const log = path.join(disk.directory, 'log');
    // What a former process has left of its last line.
    writeFileSync(log, '{"level":"info","msg":"ha');
    disk.fill(0);
    const started = start(t, `>>${log}`, place);
    await ready(started);
    await serves(started);
    await talk(started, 200);
    disk.free();
    while (!readFileSync(log, 'utf8').includes('lines were dropped')) await sleep(20);
    await stops(started);
    const [broken, ...whole] = readFileSync(log, 'utf8').split('\n');
    assert.ok(broken!.startsWith('{"level":"info","msg":"ha'));
    const lines = linesOf(whole.join('\n'));
    assert.ok(lines.some(({ msg }) => /^\d+ lines were dropped: ENOSPC$/.test(String(msg))));
    assert.equal(lines.at(-1)?.msg, 'stopped');
  });

  it('a command says that its output is lost, and ends with status 1', () => {
    for (const redirection of ['>/dev/full', '1</dev/null']) {
      const { status, stderr } = spawnSync('sh', ['-c', `${ROOT}/bin/sidekey --version ${redirection}`], {
        encoding: 'utf8',
      });
      assert.equal(status, 1);
      assert.match(stderr, /^sidekey: the output could not be written: .*\n$/);
    }
  });

  it('a command whose stderr can not be written to ends with its status', () => {
    for (const redirection of ['2>/dev/full', '2</dev/null', '2>&-', '2>&1 | true']) {
      const { status } = spawnSync('sh', [
        '-c',
        `set -o pipefail 2>/dev/null; ${ROOT}/bin/sidekey nonsense ${redirection}`,
      ]);
      assert.ok(status === 2 || redirection.includes('|'), `${redirection}: ${status}`);
    }
  });
});

function stateOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /s, '')[0]!;
  } catch {
    return 'Z';
  }
}

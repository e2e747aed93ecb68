/** What follows a change: real commands, tried again by a clock of the test's own. */

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { ReloadCommand, SupervisedProgram } from '../../src/svid-files/command.ts';
import { type Kind, type Reaction, Reactor } from '../../src/svid-files/reaction.ts';
import { TestClock } from '../support/clock.ts';
import { recordingLog } from '../support/recording-log.ts';
import { tempDir } from '../support/temp-dir.ts';

const SECOND = 1_000;
const isGone = (pid: number) =>
  !existsSync(`/proc/${pid}`) || readFileSync(`/proc/${pid}/status`, 'utf8').includes('\nState:\tZ');

describe('a command', () => {
  it('gets its arguments as they are, and the kinds of changes', async (t) => {
    const out = path.join(tempDir(t), 'out');
    const script = 'printf "%s|" "$SIDEKEY_CHANGED" "$@" > "$0"';
    await new ReloadCommand(['sh', '-c', script, out, 'a b', '$HOME', '*'], 10 * SECOND).react(['jwt', 'x509']);
    assert.equal(readFileSync(out, 'utf8'), 'jwt,x509|a b|$HOME|*|');
  });

  it('that fails is reported with its status and the end of its output', async () => {
    const fails = (...argv: [string, ...string[]]) => new ReloadCommand(argv, 10 * SECOND).react(['x509']);
    await assert.rejects(fails('sh', '-c', 'echo no such server >&2; exit 3'), {
      message: 'it ended with exit status 3: no such server',
    });
    await assert.rejects(fails('sh', '-c', 'kill -USR1 $$'), { message: 'it was ended by SIGUSR1' });
    await assert.rejects(
      fails('sh', '-c', 'yes | head -c 10000000; exit 1'),
      (error: Error) => error.message.length < 2_200,
    );
    await assert.rejects(fails('/nowhere/at-all'), /ENOENT/);
  });

  it('has its arguments and its output in no report: the health endpoint shows it to everybody', async () => {
    const { log, lines } = recordingLog();
    const command = new ReloadCommand(['sh', '-c', 'echo hunter2; exit 3', 'postgres://u:s3cr3t@db'], 10 * SECOND);
    const reactor = new Reactor(command, log, new TestClock());
    reactor.changed(['x509']);
    await wait('its end', { look: async () => reactor.problem, until: (problem) => problem !== undefined });
    assert.equal(reactor.problem, 'the command sh: it ended with exit status 3');
    assert.equal(lines.at(-1)!.problem, 'it ended with exit status 3: hunter2');
    assert.doesNotMatch(JSON.stringify(lines), /s3cr3t/);
    await reactor.close();
  });

  it('may leave a program running that has its output open', async (t) => {
    const pid = path.join(tempDir(t), 'pid');
    const command = new ReloadCommand(['sh', '-c', 'sleep 300 & echo $! > "$0"', pid], 10 * SECOND);
    await command.react(['x509']);
    const left = Number(readFileSync(pid, 'utf8'));
    assert.ok(!isGone(left));
    process.kill(left, 'SIGKILL');
  });

  it('that hangs is killed with all that it started', async (t) => {
    const pids = path.join(tempDir(t), 'pids');
    const script = 'trap "" TERM HUP; sleep 300 & echo $$ $! > "$0.new"; mv "$0.new" "$0"; wait; sleep 300';
    const command = new ReloadCommand(['sh', '-c', script, pids], SECOND);
    await assert.rejects(command.react(['x509']), { message: 'it did not end within 1 s and was killed' });
    for (const pid of readFileSync(pids, 'utf8').trim().split(' ').map(Number)) {
      await wait(`process ${pid} to end`, { look: async () => isGone(pid), until: (gone) => gone });
    }
  });
});

describe('a supervised program', () => {
  it('is signalled while it runs, started again once it has ended, and its end is reported', async (t) => {
    const folder = tempDir(t);
    const { log, lines } = recordingLog();
    const script =
      'trap "echo renew >> $0" USR1; echo start >> "$0"; while [ ! -e "$0.end" ]; do sleep 0.05; done; exit 7';
    const file = path.join(folder, 'said');
    const program = new SupervisedProgram(['sh', '-c', script, file], 'SIGUSR1', log);
    t.after(() => program.close());
    const said = (text: string) =>
      wait(text, {
        look: async () => (existsSync(file) ? readFileSync(file, 'utf8') : ''),
        until: (now) => now === text,
      });
    await program.react();
    await said('start\n');
    await program.react();
    await said('start\nrenew\n');
    writeFileSync(`${file}.end`, '');
    const ended = () => lines.find(({ msg }) => /: it ended with exit status 7; /.test(String(msg)));
    await wait('the report', { look: async () => ended() !== undefined, until: (there) => there });
    assert.match(String(ended()!.msg), /it is run again when the files change$/);
    assert.equal(ended()!.level, 50);
    writeFileSync(file, '');
    await program.react();
    await said('start\n');
  });
});

describe('what failed', () => {
  function failing(times: number): Reaction & { readonly calls: (readonly Kind[])[] } {
    const calls: (readonly Kind[])[] = [];
    return {
      calls,
      what: 'the command x',
      react: async (kinds) => {
        calls.push(kinds);
        if (calls.length <= times) throw new Error(`failure ${calls.length}`);
      },
      close: async () => undefined,
    };
  }
  const settle = () => new Promise((resolve) => setImmediate(resolve));

  it('is tried again after 1, 2, 4 … s, until it works', async () => {
    const clock = new TestClock();
    const reaction = failing(3);
    const reactor = new Reactor(reaction, recordingLog().log, clock);
    reactor.changed(['x509']);
    for (const [seconds, calls] of [
      [0, 1],
      [1, 2],
      [2, 3],
      [4, 4],
      [600, 4],
    ] as const) {
      clock.advance(seconds * SECOND);
      await settle();
      assert.equal(reaction.calls.length, calls);
    }
    assert.equal(reactor.problem, undefined);
  });

  it('is given up after ten tries, until the files change; kinds are joined', async () => {
    const clock = new TestClock();
    const { log, lines } = recordingLog();
    const reaction = failing(10);
    const reactor = new Reactor(reaction, log, clock);
    reactor.changed(['x509']);
    for (let round = 0; round < 20; round += 1) {
      await settle();
      clock.advance(60 * SECOND);
    }
    await settle();
    assert.equal(reaction.calls.length, 10);
    assert.equal(reactor.problem, 'the command x: failure 10');
    assert.match(String(lines.at(-1)!.msg), /failed 10 times; it is tried again when the files change$/);
    reactor.changed(['jwt']);
    await settle();
    assert.deepEqual(reaction.calls.at(-1), ['jwt', 'x509']);
    assert.equal(reactor.problem, undefined);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { Readiness } from '../../src/admin/health.ts';
import { notifyAddress } from '../../src/server/notify-socket.ts';
import { Supervisor } from '../../src/server/supervisor.ts';
import { TestClock } from '../support/clock.ts';
import { recordingLog } from '../support/recording-log.ts';

const READY: Readiness = { ready: true, parts: [{ name: 'socket', ready: true, since: 0, reason: undefined }] };

/** A supervisor whose manager and store fail as the test says. */
function supervised(watchdogMs?: number) {
  const clock = new TestClock();
  const { log, lines } = recordingLog();
  const sent: string[] = [];
  const state = { refuses: undefined as string | undefined, store: async () => {} };
  const send = (text: string) => {
    if (state.refuses === undefined) sent.push(text);
    return state.refuses;
  };
  const supervisor = new Supervisor({ send, watchdogMs });
  let listener: (seen: Readiness) => void = () => {};
  const follow = () =>
    supervisor.follow({
      ...{ clock, log, summary: () => 'serving' },
      readiness: {
        look: () => READY,
        onLook: (given) => {
          listener = given;
        },
      },
      askStore: () => state.store(),
    });
  return { supervisor, clock, lines, sent, state, follow, look: (seen: Readiness) => listener(seen) };
}

describe('the supervisor', () => {
  it('repeats what the manager did not take, in order, and logs the outage once', async () => {
    const { supervisor, lines, sent, state, follow } = supervised();
    state.refuses = 'EAGAIN';
    supervisor.starting();
    follow();
    supervisor.reloading(Promise.resolve());
    supervisor.stopping();
    assert.equal(sent.length, 0);
    state.refuses = undefined;
    while (sent.length < 3) await pause(10);
    assert.deepEqual(
      sent.map((text) => text.split('\n', 1)[0]),
      ['READY=1', 'RELOADING=1', 'STOPPING=1'],
    );
    assert.deepEqual(
      lines.map(({ error }) => error),
      ['EAGAIN'],
    );
  });

  it('gives no sign of life while the store fails or does not answer, and says so', async () => {
    const { clock, lines, sent, state, follow, look } = supervised(2_000);
    const lives = () => sent.filter((text) => text === 'WATCHDOG=1').length;
    follow();
    await pause(0);
    assert.equal(lives(), 1);
    state.store = () => Promise.reject(new Error('disk I/O error'));
    for (let beat = 0; beat < 3; beat += 1) {
      clock.advance(1_000);
      await pause(0);
    }
    assert.equal(lives(), 1);
    assert.equal(lines.length, 1, 'one line for the outage');
    look(READY);
    assert.equal(sent.at(-1), 'STATUS=the store does not answer: disk I/O error; serving');
    const never = Promise.withResolvers<void>();
    state.store = () => never.promise;
    clock.advance(1_000);
    state.store = async () => {};
    clock.advance(1_000);
    await pause(0);
    assert.equal(lives(), 1, 'the question from before is not answered yet');
    never.resolve();
    await pause(0);
    assert.equal(lives(), 2);
  });

  it('says in one line of bounded length what a part waits for', () => {
    const { sent, follow, look } = supervised();
    follow();
    const reason = `first\nREADY=1\n${'x'.repeat(1_000)}`;
    look({ ready: false, parts: [{ name: 'authority', ready: false, since: 0, reason }] });
    assert.ok(sent.at(-1)!.startsWith('STATUS=waiting for authority: first\\u000aREADY=1'));
    assert.ok(sent.at(-1)!.length <= 510);
  });
});

describe('the address of NOTIFY_SOCKET', () => {
  for (const [name, address] of [
    ['/run/n', '0100 2f72756e2f6e 00'],
    ['@abc', '0100 00 616263'],
    ['@', undefined],
    ['/', undefined],
    ['run/n', undefined],
    ['vsock:2:9', undefined],
    ['/a\0b', undefined],
    [`/${'x'.repeat(107)}`, undefined],
    [`@${'x'.repeat(108)}`, undefined],
  ] as const) {
    it(`${JSON.stringify(name).slice(0, 20)} is ${address ?? 'refused'}`, () => {
      assert.equal(notifyAddress(name)?.toString('hex'), address?.replaceAll(' ', ''));
    });
  }
  it('may have 107 bytes as a path', () => {
    assert.equal(notifyAddress(`/${'x'.repeat(106)}`)?.length, 110);
  });
});

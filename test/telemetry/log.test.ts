import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SidekeyError } from '../../src/base/errors.ts';
import { LINE_BUDGET, SUMMARY_MS } from '../../src/telemetry/line-budget.ts';
import { createLog, ownedLog } from '../../src/telemetry/log.ts';
import { TestClock } from '../support/clock.ts';
import { recordingLog } from '../support/recording-log.ts';

interface Logged {
  readonly type: string;
  readonly code?: string;
  readonly message: string;
  readonly stack?: string;
  readonly cause?: Logged;
}

function makeLog() {
  const clock = new TestClock();
  const texts: string[] = [];
  const log = createLog('debug', { clock, write: (line) => texts.push(line) });
  const lines = () => texts.map((text) => JSON.parse(text));
  return { clock, log, texts, lines };
}

test('an error and its causes are logged by their names, even if a bundle renames the classes', () => {
  const { log, lines } = recordingLog();
  const Renamed = class _SidekeyError extends SidekeyError {};
  const cause = new TypeError('what happened', { cause: new Renamed('ERR_CA', 'at first') });
  log.error({ err: new Renamed('ERR_STORE', 'not written', { cause }) }, 'something failed');
  const { type, code, message, cause: second } = lines[0]!.err as Logged;
  assert.deepEqual([type, code, message], ['SidekeyError', 'ERR_STORE', 'not written']);
  assert.deepEqual([second?.type, second?.cause?.type], ['TypeError', 'SidekeyError']);
});

test('a stack is logged for a bug, and not for an error that says what is wrong', () => {
  const { log, lines } = recordingLog();
  const refused = new SidekeyError('ERR_UPSTREAM', 'it refuses', { cause: new Error('403') });
  for (const err of [refused, SidekeyError.from(new TypeError('x is undefined')), new Error('unexpected')]) {
    log.error({ err }, 'something failed');
  }
  const [brief, internal, unexpected] = lines.map(({ err }) => JSON.stringify(err));
  assert.deepEqual(JSON.parse(brief!), {
    type: 'SidekeyError',
    code: 'ERR_UPSTREAM',
    message: 'it refuses',
    cause: { type: 'Error', message: '403' },
  });
  assert.match(internal!, /"stack":.*log\.test/);
  assert.match(unexpected!, /"stack":.*log\.test/);
});

test('a thrown value that is not an error is logged', () => {
  const { log, lines } = recordingLog();
  const cause = { no: 'error' };
  log.error({ err: new Error('failed', { cause }) }, 'something failed');
  log.error({ err: 'a text' }, 'something failed');
  assert.equal((lines[0]!.err as Logged).type, 'Error');
  assert.equal(lines[1]!.err, 'a text');
});

describe('a call of the log never throws', () => {
  const circular: Record<string, unknown> = {};
  circular.itself = circular;
  const thrower = () => {
    throw new Error('no value');
  };
  const selfCaused = new Error('of itself');
  selfCaused.cause = selfCaused;
  const FIELDS: Readonly<Record<string, object>> = {
    circular,
    BigInt: { n: 1n, deep: { n: 2n } },
    'a getter that throws': Object.defineProperty({}, 'field', { enumerable: true, get: thrower }),
    'a deep getter that throws': { deep: Object.defineProperty({}, 'field', { enumerable: true, get: thrower }) },
    'toJSON that throws': { field: { toJSON: thrower } },
    'an error that caused itself': { err: selfCaused },
    'an error whose message throws': { err: Object.defineProperty(new Error(), 'message', { get: thrower }) },
    'a frozen error': { err: Object.freeze(new Error('frozen')) },
    'a revoked proxy': (() => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      return { field: proxy };
    })(),
    symbols: { symbol: Symbol('s'), [Symbol('key')]: 1 },
    'no prototype': Object.create(null, { field: { enumerable: true, value: 1 } }),
  };
  for (const [name, fields] of Object.entries(FIELDS)) {
    test(name, () => {
      const { log, lines } = makeLog();
      log.warn(fields, 'something happened');
      log.child(fields).warn('a child says so');
      ownedLog(log, 'uid 1', fields).warn(fields, 'an owned child says so');
      const messages = lines().map(({ msg }) => msg);
      assert.deepEqual(messages, ['something happened', 'a child says so', 'an owned child says so']);
    });
  }
});

test('characters that a terminal interprets or does not show are escaped in every line', () => {
  const { log, texts, lines } = makeLog();
  const unseen = '\u007f\u0080\u009b31m\u009f\u2028\u2029\u202e\u2066\u200b\ufeff\u001b[31m\r\n\u{e0041}';
  log.info({ [`key${unseen}`]: unseen, deep: [{ unseen }] }, unseen);
  assert.match(texts[0]!, /^[ -~]*\n$/);
  assert.deepEqual(lines()[0].deep, [{ unseen }]);
  assert.equal(lines()[0].msg, unseen);
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const { log, texts, lines } = makeLog();
      log.child({ text }).info({ text }, text);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      assert.doesNotMatch(texts[0]!.slice(0, -1), /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/);
      assert.equal(lines()[0].msg, text);
    }),
  );
});

describe('lines that a caller causes', () => {
  test('are limited to its budget, the rest is counted, and other lines are unaffected', () => {
    const { clock, log, lines } = makeLog();
    for (let i = 0; i < 1_000; i += 1) ownedLog(log, 'uid 7', { stream: i }).child({ more: 1 }).warn('broke a rule');
    log.warn('of the server');
    ownedLog(log, 'uid 8').warn('of another');
    assert.equal(lines().length, LINE_BUDGET.burst + 2);
    clock.advance(SUMMARY_MS);
    const { msg, owner, lines: left, level } = lines().at(-1);
    assert.deepEqual([owner, left, level], ['uid 7', 950, 'warn']);
    assert.match(msg, /^950 log lines of uid 7 were left out/);
  });

  test('are all logged at debug', () => {
    const { log, lines } = makeLog();
    for (let i = 0; i < 1_000; i += 1) ownedLog(log, 'uid 7').debug('sent');
    assert.equal(lines().length, 1_000);
  });

  test('have no stack and short messages, but a bug of Sidekey has its place in the code', () => {
    const { log, texts, lines } = makeLog();
    const cause = new TypeError('x is undefined');
    ownedLog(log, 'uid 7').error({ err: new SidekeyError('ERR_STORE', 'm'.repeat(1e6), { cause }) }, 'failed');
    assert.ok(texts[0]!.length < 2_000);
    const { err } = lines()[0] as { err: Logged & { cause: { at: string } } };
    assert.deepEqual(
      [err.type, err.code, err.stack, err.cause.stack],
      ['SidekeyError', 'ERR_STORE', undefined, undefined],
    );
    assert.match(err.cause.at, /^at .*log\.test\.ts/);
  });
});

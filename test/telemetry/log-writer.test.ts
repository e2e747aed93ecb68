import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { BOUND_BYTES, LogWriter } from '../../src/telemetry/log-writer.ts';
import { TestClock } from '../support/clock.ts';

/** A descriptor that accepts a number of bytes and then fails with an error. */
function makeSink() {
  const clock = new TestClock();
  const sink = { text: '', room: Number.POSITIVE_INFINITY, code: 'ENOSPC', tries: 0 };
  const writer = new LogWriter({
    clock,
    open: () => 1,
    report: ({ lines, code }) => `dropped ${lines} ${code}\n`,
    writeBytes: (_fd, bytes, offset) => {
      sink.tries += 1;
      if (sink.room <= 0) throw Object.assign(new Error(sink.code), { code: sink.code });
      const part = Buffer.from(bytes.subarray(offset, offset + sink.room));
      sink.room -= part.length;
      sink.text += part.toString('latin1');
      return part.length;
    },
  });
  return { clock, sink, writer };
}

describe('the log writer', () => {
  test('writes at once while there is room', () => {
    const { sink, writer } = makeSink();
    writer.write('one\n');
    writer.write('two\n');
    assert.equal(sink.text, 'one\ntwo\n');
  });

  test('finishes a partly written line before the next one', () => {
    const { clock, sink, writer } = makeSink();
    sink.room = 2;
    writer.write('first\n');
    writer.write('second\n');
    assert.equal(sink.text, 'fi');
    sink.room = Number.POSITIVE_INFINITY;
    clock.advance(1_000);
    assert.equal(sink.text, 'first\nsecond\n');
  });

  test('ends a partial line when its reader is gone, and writes it as a whole for the next reader', () => {
    const { clock, sink, writer } = makeSink();
    sink.room = 2;
    sink.code = 'EPIPE';
    writer.write('first\n');
    sink.room = Number.POSITIVE_INFINITY;
    clock.advance(1_000);
    assert.equal(sink.text, 'fi\nfirst\n');
  });

  for (const code of ['ENOSPC', 'EPIPE', 'EAGAIN', 'EIO', 'EBADF', 'EFBIG', 'EDQUOT', 'ECONNRESET', 'ENXIO']) {
    test(`${code}: a bounded number of lines waits, the rest is counted and reported once there is room`, () => {
      const { clock, sink, writer } = makeSink();
      sink.room = 0;
      sink.code = code;
      const line = `${'x'.repeat(1_023)}\n`;
      const fits = BOUND_BYTES / line.length;
      for (let i = 0; i < fits + 7; i += 1) writer.write(line);
      clock.advance(60_000);
      assert.equal(sink.text, '');
      sink.room = Number.POSITIVE_INFINITY;
      clock.advance(1_000);
      writer.write('last\n');
      const lines = sink.text.split('\n');
      assert.deepEqual(lines.slice(fits), [`dropped 7 ${code}`, 'last', '']);
    });
  }

  test('tries again about once a second, however many lines come', () => {
    const { clock, sink, writer } = makeSink();
    sink.room = 0;
    for (let second = 0; second < 60; second += 1) {
      for (let i = 0; i < 1_000; i += 1) writer.write('line\n');
      clock.advance(1_000);
    }
    assert.ok(sink.tries < 80, `${sink.tries} tries`);
  });

  test('also retries a descriptor that cannot be opened', () => {
    const clock = new TestClock();
    let text = '';
    let fails = true;
    const writer = new LogWriter({
      clock,
      open: () => {
        if (fails) throw Object.assign(new Error('EMFILE'), { code: 'EMFILE' });
        return 1;
      },
      report: () => '',
      writeBytes: (_fd, bytes) => {
        text += Buffer.from(bytes).toString();
        return bytes.length;
      },
    });
    writer.write('one\n');
    fails = false;
    clock.advance(1_000);
    assert.equal(text, 'one\n');
  });

  test('property: only whole lines, in order, each written or counted once, whatever the descriptor accepts', () => {
    const step = fc.oneof(
      fc.record({ line: fc.integer({ min: 1, max: 400_000 }) }),
      fc.record({ room: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 1_000_000 })) }),
      fc.record({ ms: fc.integer({ min: 1, max: 3_000 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const { clock, sink, writer } = makeSink();
        let lines = 0;
        for (const one of steps) {
          if ('line' in one) {
            writer.write(`${lines} ${'x'.repeat(one.line)}\n`);
            lines += 1;
          } else if ('room' in one) sink.room = one.room;
          else clock.advance(one.ms);
        }
        sink.room = Number.POSITIVE_INFINITY;
        clock.advance(2_000);
        let next = 0;
        for (const text of sink.text.split('\n').slice(0, -1)) {
          const dropped = /^dropped (\d+) ENOSPC$/.exec(text)?.[1];
          if (dropped !== undefined) next += Number(dropped);
          else {
            assert.match(text, /^\d+ x+$/);
            assert.equal(Number.parseInt(text, 10), next);
            next += 1;
          }
        }
        assert.equal(next, lines);
      }),
      { numRuns: 50 },
    );
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { wantsColour } from '../../src/base/colour.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { textLine } from '../../src/telemetry/log-text.ts';

const line = (fields: object) => JSON.stringify({ level: 'warn', time: '2026-06-01T12:34:56.789Z', ...fields });

test('a line has time, level, message and fields', () => {
  const fields = {
    msg: 'entries file applied',
    file: '/a/b.yaml',
    created: 2,
    note: 'two words',
    none: null,
    list: ['a'],
  };
  assert.equal(
    textLine(line(fields), false),
    '12:34:56 warn  entries file applied file=/a/b.yaml created=2 note="two words" none=null list=["a"]\n',
  );
  const err = { type: 'Error', message: 'it broke', code: 'ERR_STORE', stack: 'Error: it broke\n at x' };
  assert.equal(textLine(line({ msg: 'm', err }), false), '12:34:56 warn  m err="it broke (ERR_STORE)"\n');
  assert.equal(textLine(line({ msg: 'm' }), true), '12:34:56 \x1b[33mwarn \x1b[0m m\n');
});

test('whatever is in a line, the text is one line without control characters', () => {
  const texts: string[] = [];
  const log = createLog('info', { write: (json) => texts.push(textLine(json, false)) });
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.dictionary(fc.string(), fc.jsonValue()), (msg, fields) => {
      texts.length = 0;
      log.info({ fields }, msg);
      assert.match(texts[0]!, /^[^\p{Cc}]*\n$/u);
    }),
  );
});

test('colours are for terminals whose user does not refuse them', () => {
  assert.equal(wantsColour(true, {}), true);
  assert.equal(wantsColour(true, { NO_COLOR: '' }), true);
  assert.equal(wantsColour(true, { NO_COLOR: '1' }), false);
  assert.equal(wantsColour(true, { TERM: 'dumb' }), false);
  assert.equal(wantsColour(false, {}), false);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseRfc3339 } from '../../src/registry/instant.ts';

test('an RFC 3339 time is read with its fraction and offset', () => {
  const rows: readonly (readonly [text: string, instant: number])[] = [
    ['2030-01-31T12:00:00Z', Date.UTC(2030, 0, 31, 12)],
    ['2030-01-31t12:00:00z', Date.UTC(2030, 0, 31, 12)],
    ['2030-01-31T12:00:00.5Z', Date.UTC(2030, 0, 31, 12, 0, 0, 500)],
    ['2030-01-31T12:00:00.123999999Z', Date.UTC(2030, 0, 31, 12, 0, 0, 123)],
    ['2030-01-31T12:00:00+02:00', Date.UTC(2030, 0, 31, 10)],
    ['2030-01-31T12:00:00-00:30', Date.UTC(2030, 0, 31, 12, 30)],
    ['2028-02-29T23:59:59Z', Date.UTC(2028, 1, 29, 23, 59, 59)],
    ['1970-01-01T00:00:00Z', 0],
    ['9999-12-31T23:59:59Z', 253_402_300_799_000],
  ];
  for (const [text, instant] of rows) assert.equal(parseRfc3339(text), instant, text);
});

test('what is no RFC 3339 time, or no time of any calendar, is none', () => {
  const rows = [
    '',
    'tomorrow',
    '2030-01-31',
    '2030-01-31T12:00Z',
    '2030-01-31T12:00:00',
    '2030-01-31 12:00:00Z',
    ' 2030-01-31T12:00:00Z',
    '2030-01-31T12:00:00Z\n',
    '2030-1-31T12:00:00Z',
    '+02030-01-31T12:00:00Z',
    '2030-00-01T00:00:00Z',
    '2030-13-01T00:00:00Z',
    '2030-01-32T00:00:00Z',
    '2030-02-29T00:00:00Z',
    '2030-01-31T24:00:00Z',
    '2030-01-31T12:60:00Z',
    '2016-12-31T23:59:60Z',
    '2030-01-31T12:00:00.Z',
    '2030-01-31T12:00:00+0200',
    '2030-01-31T12:00:00+24:00',
    '2030-01-31T12:00:00+00:60',
    '0070-01-01T00:00:00Z',
    '２030-01-31T12:00:00Z',
  ];
  for (const text of rows) assert.equal(parseRfc3339(text), undefined, JSON.stringify(text));
});

test('whatever toISOString writes is read back', () => {
  const date = fc.date({ min: new Date('0100-01-01'), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true });
  fc.assert(fc.property(date, (d) => assert.equal(parseRfc3339(d.toISOString()), d.getTime())));
});

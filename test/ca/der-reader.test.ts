import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { octetString, sequence, tlv } from '../../src/ca/der.ts';
import { DerReader, TAG } from '../../src/ca/der-reader.ts';

const around = [126, 127, 128, 129, 254, 255, 256, 257, 65_535, 65_536];
const contents = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc.constantFrom(...around).map((length) => new Uint8Array(length).fill(7)),
);

test('the reader reads what the writer wrote, at every length', () => {
  fc.assert(
    fc.property(fc.array(contents, { maxLength: 4 }), (parts) => {
      const reader = new DerReader(sequence(...parts.map((part) => octetString(part))));
      const read = reader.inside(TAG.sequence, (all) =>
        parts.map(() => Uint8Array.from(all.contents(TAG.octetString))),
      );
      reader.end();
      assert.deepEqual(read, parts);
    }),
  );
});

test('a truncated element is refused, wherever it ends', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.nat(), (bytes, cut) => {
      const der = octetString(bytes);
      assert.throws(() => new DerReader(der.subarray(0, cut % der.length)).contents(TAG.octetString), RangeError);
      const inner = sequence(der.subarray(0, cut % der.length));
      assert.throws(
        () => new DerReader(inner).inside(TAG.sequence, (all) => all.contents(TAG.octetString)),
        RangeError,
      );
    }),
  );
});

test('a wrong tag, surplus bytes, and a length that is not in the shortest form are refused', () => {
  const read = (hex: string) => new DerReader(Buffer.from(hex, 'hex')).contents(TAG.octetString);
  assert.equal(read('040107').toString('hex'), '07');
  for (const hex of [
    '',
    '04',
    '020107',
    '048107',
    '04810107',
    '0482000107',
    '0480070000',
    `0484${'00'.repeat(3)}0107`,
  ]) {
    assert.throws(() => read(hex), RangeError, hex);
  }
  assert.throws(() => read(`0482007f${'00'.repeat(127)}`), RangeError);
  assert.throws(() => read(`048200ff${'00'.repeat(255)}`), RangeError);
  const more = new DerReader(Buffer.from('300504010704 00'.replace(' ', ''), 'hex'));
  assert.throws(() => more.inside(TAG.sequence, (all) => all.contents(TAG.octetString)), RangeError);
});

test('demand compares every byte of an element', () => {
  const expected = Buffer.from('2a8648', 'hex');
  const demand = (bytes: Uint8Array) => new DerReader(tlv(TAG.oid, bytes)).demand(TAG.oid, expected);
  demand(expected);
  for (const hex of ['', '2a86', '2a864800', '2a8649', '2b8648']) {
    assert.throws(() => demand(Buffer.from(hex, 'hex')), RangeError, hex);
  }
});

test('a number has six bytes at most', () => {
  const number = (hex: string) => new DerReader(tlv(TAG.oid, Buffer.from(hex, 'hex'))).number(TAG.oid);
  assert.equal(number('551d0e'), 0x551d0e);
  assert.equal(number('ffffffffffff'), 2 ** 48 - 1);
  assert.throws(() => number('00000000000001'), RangeError);
});

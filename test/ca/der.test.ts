import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { elements, integer, octetString, oid, sequence, timeElement, tlv } from '../../src/ca/der.ts';

test('a length has the shortest form', () => {
  const heads: [number, string][] = [
    [0, '0400'],
    [1, '0401'],
    [127, '047f'],
    [128, '048180'],
    [255, '0481ff'],
    [256, '04820100'],
    [65_535, '0482ffff'],
    [65_536, '0483010000'],
    [16_777_216, '048401000000'],
  ];
  for (const [length, head] of heads) {
    const der = octetString(Buffer.alloc(length));
    assert.equal(der.subarray(0, der.length - length).toString('hex'), head);
  }
});

test('the reader reads what the writer wrote, at every length', () => {
  const around = [126, 127, 128, 129, 254, 255, 256, 257, 65_535, 65_536];
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.constantFrom(...around).map((length) => new Uint8Array(length).fill(7)),
  );
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 4 }), (parts) => {
      const [outer, ...more] = elements(sequence(...parts.map((part) => tlv(0x04, part))));
      assert.equal(outer!.tag, 0x30);
      assert.deepEqual(more, []);
      assert.deepEqual(
        elements(outer!.contents).map((e) => [e.tag, Uint8Array.from(e.contents)]),
        parts.map((part) => [0x04, part]),
      );
    }),
  );
});

test('a truncated element is refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.nat(), (bytes, cut) => {
      const der = octetString(bytes);
      assert.throws(() => elements(der.subarray(0, 1 + (cut % (der.length - 1)))), RangeError);
    }),
  );
});

test('an integer is never negative and has no surplus byte', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 24 }), (bytes) => {
      const [read] = elements(integer(bytes));
      const { contents } = read!;
      assert.equal(contents[0]! & 0x80, 0);
      assert.ok(contents.length === 1 || contents[0] !== 0 || contents[1]! >= 0x80);
      assert.equal(BigInt(`0x0${contents.toString('hex')}`), BigInt(`0x0${Buffer.from(bytes).toString('hex')}`));
    }),
  );
  assert.equal(integer(Uint8Array.of()).toString('hex'), '020100');
  assert.equal(integer(Uint8Array.of(0, 0, 0x7f)).toString('hex'), '02017f');
  assert.equal(integer(Uint8Array.of(0x80)).toString('hex'), '02020080');
});

test('object identifiers are written in base 128', () => {
  assert.equal(oid('2.5.29.17').toString('hex'), '0603551d11');
  assert.equal(oid('1.2.840.10045.4.3.2').toString('hex'), '06082a8648ce3d040302');
  assert.equal(oid('2.999.128').toString('hex'), '060488378100');
});

test('a date is UTCTime until the end of 2049 and GeneralizedTime after that, on whole seconds', () => {
  const text = (instant: number) => {
    const [read] = elements(timeElement(instant));
    return `${read!.tag} ${read!.contents.toString('latin1')}`;
  };
  assert.equal(text(Date.UTC(2026, 10, 2, 3, 4, 5, 999)), '23 261102030405Z');
  assert.equal(text(Date.UTC(2049, 11, 31, 23, 59, 59, 999)), '23 491231235959Z');
  assert.equal(text(Date.UTC(2050, 0, 1)), '24 20500101000000Z');
  assert.equal(text(Date.UTC(2123, 0, 1)), '24 21230101000000Z');
});

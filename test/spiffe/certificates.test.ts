import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certificatesOf } from '../../src/spiffe/certificates.ts';
import { makeCertificate } from '../support/certificates.ts';
import { processorTime } from '../support/processor-time.ts';

const all = await Promise.all(['one', 'two', 'three'].map((name) => makeCertificate({ name })));
const one = all[0]!.der;

test('certificates one after the other are read in their order', () => {
  const found = certificatesOf(Buffer.concat(all.map(({ der }) => der)));
  assert.deepEqual(
    found.map(({ raw }) => raw),
    all.map(({ der }) => der),
  );
  assert.deepEqual(certificatesOf(Buffer.alloc(0)), []);
});

test('anything else is refused, and more than any bundle has, without much work', () => {
  const long = Buffer.from([0x30, 0x84, 0xff, 0xff, 0xff, 0xff]);
  const indefinite = Buffer.concat([Buffer.from([0x30, 0x80]), one]);
  for (const bytes of [
    one.subarray(1),
    one.subarray(0, -1),
    Buffer.concat([one, long]),
    indefinite,
    Buffer.from([0x30]),
    Buffer.from([0x30, 0x85, 1, 1, 1, 1, 1]),
    Buffer.from([0x30, 0]),
  ]) {
    assert.throws(() => certificatesOf(bytes), Error);
  }
  const begun = processorTime();
  assert.throws(() => certificatesOf(Buffer.concat(Array.from({ length: 20_000 }, () => one))), {
    message: 'there are more than 1000 certificates',
  });
  assert.ok(processorTime(begun) < 3_000);
});

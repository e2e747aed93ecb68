/** Compares the own PEM encoder with Node's base64. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readPemBlock } from '../../src/ca/key-reader.ts';
import { pem } from '../../src/ca/pem.ts';

const bytes = fc.uint8Array({ minLength: 1, maxLength: 400 }).map((array) => Buffer.from(array));

test('a block is base64 in lines of 64 characters, whatever its bytes', () => {
  fc.assert(
    fc.property(bytes, (der) => {
      const lines = der.toString('base64').match(/.{1,64}/g)!;
      const expected = ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
      assert.equal(pem('CERTIFICATE', der), expected);
      assert.deepEqual(readPemBlock(expected, 'CERTIFICATE'), der);
    }),
  );
});

test('a block that differs from the strict form by one character is refused', () => {
  const change = fc.record({ der: bytes, at: fc.nat(), by: fc.constantFrom('', '\n', ' ', 'A', '=', '-', '\r\n') });
  fc.assert(
    fc.property(change, ({ der, at, by }) => {
      const text = pem('PRIVATE KEY', der);
      const place = at % (text.length + 1);
      for (const other of [
        text.slice(0, place) + by + text.slice(place + 1),
        text.slice(0, place) + by + text.slice(place),
      ]) {
        if (other === text) continue;
        let read: Buffer | undefined;
        try {
          read = readPemBlock(other, 'PRIVATE KEY');
        } catch {
          continue;
        }
        // Changing one base64 character changes the bytes.
        assert.notDeepEqual(read, der);
        assert.equal(pem('PRIVATE KEY', read), other);
      }
    }),
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { percentEncode, statusHeaders } from '../../src/wire/status.ts';
import { Status } from '../../src/wire/types.ts';

test('details are sent as printable ASCII without spaces at the ends, and decode to the same text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const encoded = percentEncode(text);
      assert.match(encoded, /^[ -~]*$/);
      assert.equal(encoded.trim(), encoded);
      assert.equal(decodeURIComponent(encoded), text.toWellFormed());
    }),
    { examples: [[' a '], ['100 %'], ['a\nb'], ['\ud800'], ['äö'], ['%41'], ['  ']] },
  );
});

test('a status without details has no message', () => {
  assert.deepEqual(statusHeaders(Status.OK, ''), { 'grpc-status': '0' });
  assert.deepEqual(statusHeaders(Status.NOT_FOUND, 'no, %'), { 'grpc-status': '5', 'grpc-message': 'no, %25' });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status as grpcStatus } from '@grpc/grpc-js';
import fc from 'fast-check';
import { Status as RpcStatus } from '../../src/gen/google/rpc/status.ts';
import { MAX_DETAILS_BYTES, MAX_STATUS_MESSAGE_BYTES, percentEncode, statusHeaders } from '../../src/wire/status.ts';
import { Status, type StatusDetail } from '../../src/wire/types.ts';

test('the codes are those of gRPC', () => {
  const known = Object.entries(grpcStatus).filter(([name]) => Number.isNaN(Number(name)));
  assert.deepEqual({ ...Status }, Object.fromEntries(known));
});

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

const messageOf = (text: string) => String(statusHeaders(Status.NOT_FOUND, text)['grpc-message']);

test('a message of any length is sent in 2 KiB, with its begin and its end', () => {
  assert.equal(messageOf('x'.repeat(MAX_STATUS_MESSAGE_BYTES)), 'x'.repeat(MAX_STATUS_MESSAGE_BYTES));
  for (const filler of ['x', 'ä', '%', '\u{1f600}', ' ', '\ud800']) {
    const sent = messageOf(`no secret under ${filler.repeat(100_000)} (decision d-1)`);
    assert.ok(sent.length <= MAX_STATUS_MESSAGE_BYTES && sent.length > MAX_STATUS_MESSAGE_BYTES / 4, `${sent.length}`);
    assert.match(decodeURIComponent(sent), /^no secret under .*….* \(decision d-1\)$/u);
  }
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 100, maxLength: 1_200 }), (text) => {
      const sent = messageOf(text);
      assert.ok(sent.length <= MAX_STATUS_MESSAGE_BYTES);
      const whole = percentEncode(text);
      if (whole.length <= MAX_STATUS_MESSAGE_BYTES) assert.equal(sent, whole);
      else {
        const [head, tail] = decodeURIComponent(sent).split('…');
        assert.ok(text.toWellFormed().startsWith(head!) || head!.includes('\ufffd'));
        assert.ok(tail !== undefined);
      }
    }),
  );
});

const detail = (size: number, fill = 7): StatusDetail => ({
  typeUrl: 'type.googleapis.com/a.B',
  value: new Uint8Array(size).fill(fill),
});

function rpcStatusOf(message: string, ...details: StatusDetail[]): RpcStatus | undefined {
  const sent = statusHeaders(Status.UNAVAILABLE, message, details)['grpc-status-details-bin'];
  if (sent === undefined) return undefined;
  assert.match(String(sent), /^[A-Za-z0-9+/]+$/, 'base64 without padding');
  return RpcStatus.decode(Buffer.from(String(sent), 'base64'));
}

test('details are sent as a google.rpc.Status with the same code and message', () => {
  const status = rpcStatusOf('ä', detail(3), detail(4));
  assert.deepEqual([status?.code, status?.message], [Status.UNAVAILABLE, 'ä']);
  assert.deepEqual(
    status?.details.map(({ typeUrl, value }) => [typeUrl, value.length]),
    [
      ['type.googleapis.com/a.B', 3],
      ['type.googleapis.com/a.B', 4],
    ],
  );
  assert.equal(rpcStatusOf('no details'), undefined);
});

test('details that do not fit into 4 KiB are left out, the last ones first; the message is still sent', () => {
  assert.deepEqual(
    rpcStatusOf('m', detail(2_000), detail(1_000), detail(2_000), detail(1))?.details.map(({ value }) => value.length),
    [2_000, 1_000],
  );
  assert.equal(rpcStatusOf('m', detail(MAX_DETAILS_BYTES)), undefined);
  const sent = statusHeaders(Status.UNAVAILABLE, 'x'.repeat(1_000_000), [detail(1_900), detail(1_900)]);
  const total = Object.entries(sent).reduce((sum, [name, value]) => sum + name.length + String(value).length + 32, 0);
  assert.ok(total < 8 * 1024, `${total}`);
});

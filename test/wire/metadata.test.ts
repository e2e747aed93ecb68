import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RequestMetadata } from '../../src/wire/metadata.ts';
import { Status } from '../../src/wire/types.ts';

const of = (...headers: (readonly [name: string, value: string])[]) => new RequestMetadata(headers.flat());

test('the headers of HTTP/2 and gRPC are no metadata', () => {
  const metadata = of(
    [':path', '/a.B/C'],
    [':authority', 'x'],
    ['te', 'trailers'],
    ['content-type', 'application/grpc'],
    ['user-agent', 'envoy'],
    ['grpc-timeout', '1S'],
    ['grpc-trace-bin', 'AAAA'],
    ['workload.spiffe.io', 'true'],
    ['x-bin', 'AQ'],
    ['workload.spiffe.io', 'again'],
  );
  assert.deepEqual(metadata.names(), ['workload.spiffe.io', 'x-bin']);
  for (const name of [':path', 'te', 'content-type', 'user-agent', 'grpc-timeout']) {
    assert.deepEqual(metadata.texts(name), [], name);
  }
  assert.deepEqual(metadata.bytes('grpc-trace-bin'), []);
});

test('a name has its values in their order; values of other names are not among them', () => {
  const metadata = of(['a', 'b'], ['b', 'a'], ['a', ' c '], ['a', '']);
  assert.deepEqual(metadata.texts('a'), ['b', 'c', '']);
  assert.deepEqual(metadata.texts('b'), ['a']);
  assert.deepEqual(metadata.texts('c'), []);
  assert.deepEqual(metadata.texts('A'), []);
});

test('binary values are base64, with or without padding; a comma separates values', () => {
  const bytes = (value: string) =>
    of(['x-bin', value])
      .bytes('x-bin')
      .map((one) => [...one]);
  assert.deepEqual(bytes('AQ'), [[1]]);
  assert.deepEqual(bytes('AQ=='), [[1]]);
  assert.deepEqual(bytes('AQI='), [[1, 2]]);
  assert.deepEqual(bytes('AQID, AQ,'), [[1, 2, 3], [1], []]);
  assert.deepEqual(bytes('+/+/'), [[251, 255, 191]]);
  fc.assert(
    fc.property(fc.array(fc.uint8Array(), { minLength: 1 }), fc.boolean(), (values, padded) => {
      const texts = values.map((value) => Buffer.from(value).toString('base64'));
      const text = texts.map((one) => (padded ? one : one.replaceAll('=', ''))).join(',');
      assert.deepEqual(
        bytes(text),
        values.map((value) => [...value]),
      );
    }),
  );
});

test('a malformed value is refused where it is read, naming the metadata and the rule', () => {
  for (const value of ['!!', 'A', 'AAAAA', 'AQ=', 'A===', 'AQ==AQ', 'AQ-_', 'AQ AQ', 'ä']) {
    const metadata = of(['x-bin', value], ['y', 'z']);
    assert.deepEqual(metadata.texts('y'), ['z']);
    assert.throws(() => metadata.bytes('x-bin'), {
      status: Status.INTERNAL,
      message: 'the value of the metadata "x-bin" is not base64',
    });
  }
  for (const value of ['\u00e4', '\t', '\u007f']) {
    assert.throws(() => of(['x', value]).texts('x'), {
      status: Status.INTERNAL,
      message: 'the value of the metadata "x" is not printable ASCII',
    });
  }
});

test('text and binary values are not taken for each other', () => {
  assert.throws(() => of(['x-bin', 'AQ']).texts('x-bin'), TypeError);
  assert.throws(() => of(['x', 'AQ']).bytes('x'), TypeError);
});

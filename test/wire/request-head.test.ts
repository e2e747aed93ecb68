import assert from 'node:assert/strict';
import type { IncomingHttpHeaders } from 'node:http2';
import { test } from 'node:test';
import { isRefusal, readRequestHead } from '../../src/wire/request-head.ts';
import { type Method, Status } from '../../src/wire/types.ts';

const method: Method = { path: '/a.B/C', kind: 'unary', call: async (_peer, request) => request };
const METHODS = new Map([[method.path, method]]);

function read(headers: IncomingHttpHeaders) {
  const usual = { ':method': 'POST', ':path': method.path, 'content-type': 'application/grpc', te: 'trailers' };
  const head = readRequestHead({ ...usual, ...headers }, [], METHODS);
  if (isRefusal(head)) return head;
  const { method: found, timeout } = head;
  return { method: found, timeout };
}

test('a request for a known method is a call', () => {
  assert.deepEqual(read({}), { method, timeout: undefined });
});

test('the headers that node:http2 keeps are counted', () => {
  const kept = (headers: IncomingHttpHeaders) => {
    const usual = { ':method': 'POST', ':path': method.path, 'content-type': 'application/grpc' };
    const head = readRequestHead({ ...usual, ...headers }, [], METHODS);
    return isRefusal(head) ? undefined : head.keptBytes;
  };
  assert.equal(kept({}), 0);
  assert.equal(kept({ ':scheme': 'http', ':authority': 'pipe', x: 'y' }), 8);
  assert.equal(kept({ host: 'localhost' }), 9);
});

test('the content type must be gRPC with protobuf', () => {
  for (const type of [
    'application/grpc',
    'application/grpc+proto',
    'Application/gRPC',
    'application/grpc; charset=utf-8',
  ]) {
    assert.ok('method' in read({ 'content-type': type }), type);
  }
  for (const type of [
    '',
    'text/plain',
    'application/grpc+json',
    'application/grpc-web',
    'application/grpcx',
    'x application/grpc',
  ]) {
    assert.deepEqual(read({ 'content-type': type }), { httpStatus: 415 }, type);
  }
});

test('the HTTP method must be POST', () => {
  for (const verb of ['GET', 'HEAD', 'PUT', 'OPTIONS', 'post']) {
    assert.deepEqual(read({ ':method': verb }), { httpStatus: 405 }, verb);
  }
});

test('a gRPC method is matched by its path, byte for byte', () => {
  for (const path of ['', '/', '/a.B', '/a.B/', '/a.B/c', '/a.B/C/', '/a.B/C?x', '//a.B/C', '/a.B/%43']) {
    const refused = read({ ':path': path });
    assert.ok('status' in refused && refused.status === Status.UNIMPLEMENTED, path);
  }
  const refused = read({ ':path': `/${'x'.repeat(10_000)}` });
  assert.ok('message' in refused && refused.message.length < 300);
});

test('te and :authority are not checked', () => {
  assert.ok('method' in read({ te: undefined, ':authority': undefined }));
  assert.ok('method' in read({ te: 'gzip', ':authority': '%2Frun%2Fpipe.sock' }));
});

test('a timeout has at most eight digits and a unit; one of more than a day is ignored', () => {
  const timeouts: [string, number | undefined][] = [
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3_000],
    ['4m', 4],
    ['5000u', 5],
    ['6000000n', 6],
    ['0S', 0],
    ['24H', 24 * 3_600_000],
    ['25H', undefined],
    ['99999999H', undefined],
  ];
  for (const [text, timeout] of timeouts) assert.deepEqual(read({ 'grpc-timeout': text }), { method, timeout });
  for (const text of ['', 'never', '1', 'S', '1s', '-1S', '1.5S', '123456789S', '1S,2S', ' 1S']) {
    const refused = read({ 'grpc-timeout': text });
    assert.ok('status' in refused && refused.status === Status.INTERNAL, text);
  }
});

test('the headers may have 16 KiB together, counted as HTTP/2 counts them', () => {
  const refused = (headers: string[]) => {
    const usual = { ':method': 'POST', ':path': method.path, 'content-type': 'application/grpc' };
    const head = readRequestHead(usual, headers, METHODS);
    return isRefusal(head) && 'status' in head && head.status === Status.RESOURCE_EXHAUSTED;
  };
  assert.equal(refused(['x', 'y'.repeat(16_384 - 33)]), false);
  assert.equal(refused(['x', 'y'.repeat(16_384 - 32)]), true);
  assert.equal(refused(Array<string>(2 * 496).fill('')), false);
  assert.equal(refused(Array<string>(2 * 513).fill('')), true);
});

test('compressed messages are refused with the supported encoding', () => {
  for (const encoding of ['identity']) {
    assert.deepEqual(read({ 'grpc-encoding': encoding }), { method, timeout: undefined });
  }
  for (const encoding of ['gzip', 'deflate', 'br', 'GZIP', 'toString', '']) {
    const refused = read({ 'grpc-encoding': encoding });
    assert.ok('status' in refused && refused.status === Status.UNIMPLEMENTED, encoding);
    assert.deepEqual(refused.headers, { 'grpc-accept-encoding': 'identity' });
  }
});

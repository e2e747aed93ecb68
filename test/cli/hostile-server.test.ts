/** The commands beside a server that answers what no Sidekey would: anything may be behind SPIFFE_ENDPOINT_SOCKET. */

import assert from 'node:assert/strict';
import http2 from 'node:http2';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { status } from '@grpc/grpc-js';
import { MAX_MESSAGE_BYTES } from '../../src/cli/pipe-failure.ts';
import {
  JWTBundlesResponse,
  JWTSVIDResponse,
  ValidateJWTSVIDResponse,
  X509BundlesResponse,
} from '../../src/gen/workload.ts';
import { tempDir } from '../support/temp-dir.ts';
import { makeToken } from '../svid-files/support.ts';
import { sidekey } from './support.ts';

const WEB = 'spiffe://ilinux.io/web';

/** A message, then the end; or the announcement of a message of that many bytes, and a part of it. */
type Answer = { readonly message?: Uint8Array; readonly code?: number; readonly details?: string } | number;

/** @param answers by the name of the method; others end with OK and without a message */
async function serve(t: TestContext, answers: Readonly<Record<string, Answer>>) {
  const server = http2.createServer();
  server.on('stream', (stream, headers) => {
    stream.on('error', () => undefined);
    const answer = answers[String(headers[':path']).split('/').at(-1)!] ?? {};
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    if (typeof answer === 'number') return void stream.write(frame(answer, Buffer.alloc(1_000)));
    const { message, code = status.OK, details = '' } = answer;
    stream.on('wantTrailers', () => {
      stream.sendTrailers({ 'grpc-status': String(code), 'grpc-message': encodeURIComponent(details) });
    });
    stream.end(message === undefined ? undefined : frame(message.length, message));
  });
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on('session', (session) => void sessions.add(session));
  t.after(() => {
    server.close();
    for (const session of sessions) session.destroy();
  });
  const socket = path.join(tempDir(t), 's');
  await new Promise<void>((resolve) => void server.listen(socket, resolve));
  return { env: { SPIFFE_ENDPOINT_SOCKET: `unix://${socket}` } };
}

function frame(length: number, bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, bytes]);
}

const jwt = (svid: string, more: { readonly spiffeId?: string; readonly hint?: string } = {}) => ({
  message: JWTSVIDResponse.encode(JWTSVIDResponse.fromPartial({ svids: [{ spiffeId: WEB, svid, ...more }] })).finish(),
});

describe('a hostile server', { timeout: 240_000, concurrency: 2 }, () => {
  it('that ends a stream without a message is a failure, not an empty answer', async (t) => {
    const at = await serve(t, {});
    for (const args of [
      ['fetch', 'x509'],
      ['fetch', '--write', path.join(tempDir(t), 'out')],
    ]) {
      const { status, stdout, stderr } = await sidekey(args, at);
      assert.deepEqual([status, stdout], [1, ''], args.join(' '));
      assert.match(stderr, /^sidekey: .*: the server ended the stream( without a message)?$/m);
    }
  });

  it('cannot have a message collected that is larger than any', async (t) => {
    const at = await serve(t, { FetchX509SVID: 0xffff_ffff, FetchSecrets: MAX_MESSAGE_BYTES + 1 });
    for (const args of [
      ['fetch', 'x509'],
      ['fetch'],
      ['api', 'fetch'],
      ['fetch', '--write', path.join(tempDir(t), 'out')],
    ]) {
      const { status, stderr } = await sidekey(args, at);
      assert.equal(status, 1, args.join(' '));
      assert.match(stderr, /message larger than max/, args.join(' '));
    }
  });

  it('gets a token refused that is none, or has an end that no date has', async (t) => {
    for (const [token, message] of [
      [`a.${Buffer.from('{"exp":"s3cr3t').toString('base64url')}.b`, /the JWT-SVID is not a token/],
      [makeToken({ exp: 1e300 }), /the JWT-SVID has no end/],
    ] as const) {
      const at = await serve(t, { FetchJWTSVID: jwt(token) });
      const { status, stdout, stderr } = await sidekey(['fetch', 'jwt', '--audience', 'a'], at);
      assert.deepEqual([status, stdout], [1, '']);
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /s3cr3t/);
    }
  });

  it('cannot send control characters to a terminal', async (t) => {
    const odd = 'spiffe://x/\x1b[2J\u009b1m\u202e';
    const bundles = { [odd]: Buffer.from('{"keys":[],\t"x":"\u009b"}') };
    const token = makeToken({ exp: 4e9 });
    const at = await serve(t, {
      FetchX509SVID: { code: status.PERMISSION_DENIED, details: 'no\x1b[31m\nsidekey: forged' },
      FetchJWTSVID: jwt(token, { spiffeId: odd, hint: '\x1b[2J' }),
      FetchJWTBundles: { message: JWTBundlesResponse.encode({ bundles }).finish() },
      FetchX509Bundles: {
        message: X509BundlesResponse.encode({ crl: [], bundles: { [odd]: Buffer.alloc(0) } }).finish(),
      },
      ValidateJWTSVID: {
        message: ValidateJWTSVIDResponse.encode({ spiffeId: odd, claims: { a: '\u009b' } }).finish(),
      },
    });
    for (const args of [
      ['fetch', 'x509'],
      ['fetch', 'bundle'],
      ['api', 'fetch'],
      ['api', 'fetch', 'jwt', '-audience', 'a', '-output', 'json'],
      ['api', 'validate', 'jwt', '-audience', 'a', '-svid', 'x'],
    ]) {
      const { stdout, stderr } = await sidekey(args, at);
      assert.doesNotMatch(stdout + stderr, /[^\P{C}\n\t]/u, args.join(' '));
      assert.doesNotMatch(stderr, /^sidekey: forged/m, args.join(' '));
      assert.notEqual(stdout + stderr, '', args.join(' '));
    }
    const { stdout } = await sidekey(['api', 'fetch', 'jwt', '-audience', 'a'], at);
    assert.equal(
      stdout,
      [
        'token(spiffe://x/\\u001b[2J\\u009b1m\\u202e):',
        `\t${token}`,
        'hint(spiffe://x/\\u001b[2J\\u009b1m\\u202e):',
        '\t\\u001b[2J',
        'bundle(spiffe://x/\\u001b[2J\\u009b1m\\u202e):',
        '\t{"keys":[],\t"x":"\\u009b"}',
        '',
      ].join('\n'),
      'tabs stay',
    );
  });
});

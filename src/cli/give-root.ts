/** `sidekey migrate give-root`: puts Sidekey's roots into the bundle of a SPIRE server. */

import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { readBundleRoots } from './bundle-roots.ts';
import type { GiveRootOptions } from './migrate-options.ts';
import { jsonText } from './output.ts';
import { openClient } from './target.ts';

/** @see spire-api-sdk, spire/api/server/bundle/v1/bundle.proto; SPIRE has no command for it */
const APPEND_BUNDLE = '/spire.api.server.bundle.v1.Bundle/AppendBundle';
const TIMEOUT_MS = 5_000;

/** Own roots only: a carried one is SPIRE's. @throws Error with SPIRE's reason */
export async function giveRoot({ spireSocket, ...options }: GiveRootOptions): Promise<void> {
  const client = await openClient(options);
  const own = (await readBundleRoots(client)).own.map(({ raw }) => raw);
  await appendBundle(spireSocket, own);
  const text = `SPIRE's bundle has ${own.length} root${own.length === 1 ? '' : 's'} of Sidekey now. Agents get it within 10 seconds.\n`;
  process.stdout.write(options.output === 'table' ? text : `${jsonText({ given: own.length }, 2)}\n`);
}

function appendBundle(socket: string, roots: readonly Buffer[]): Promise<void> {
  const client = new Client(`unix:${socket}`, credentials.createInsecure());
  return new Promise<void>((resolve, reject) => {
    const deadline = Date.now() + TIMEOUT_MS;
    const same = (bytes: Buffer) => bytes;
    client.makeUnaryRequest(APPEND_BUNDLE, same, same, appendRequest(roots), { deadline }, (error) => {
      if (error === null) resolve();
      else reject(explained(error, socket));
    });
  }).finally(() => client.close());
}

function explained({ code, details }: ServiceError, socket: string): Error {
  const server = `the SPIRE server at ${socket}`;
  if (code === status.DEADLINE_EXCEEDED)
    return new Error(`${server} did not answer within ${TIMEOUT_MS / 1_000} s; is it the socket_path of server.conf?`);
  if (code === status.UNAVAILABLE) {
    const [, reason = details] = /\b(E[A-Z]{4,})\b/.exec(details) ?? [];
    return new Error(`${server} cannot be reached (${reason}); give --spire-socket: the socket_path of server.conf`);
  }
  return new Error(`${server} refused the roots: ${details}; use the server's own socket, not that of an agent`);
}

/** AppendBundleRequest {x509_authorities = 1: repeated X509Certificate {asn1 = 1: bytes}} */
function appendRequest(roots: readonly Buffer[]): Buffer {
  return Buffer.concat(roots.map((der) => field1(field1(der))));
}

/** A field with the number 1 and a length. */
function field1(bytes: Buffer): Buffer {
  const length: number[] = [];
  for (let rest = bytes.length; ; rest >>>= 7) {
    if (rest < 0x80) {
      length.push(rest);
      break;
    }
    length.push((rest & 0x7f) | 0x80);
  }
  return Buffer.concat([Buffer.from([0x0a, ...length]), bytes]);
}

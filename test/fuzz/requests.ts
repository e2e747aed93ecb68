/** Requests to begin from: those of a real Envoy 1.40, captured, and made ones. */

import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { DiscoveryRequest } from '../../src/gen/envoy/service/discovery/v3/discovery.ts';
import { SECRET_TYPE } from '../support/sds-client.ts';
import type { Random } from './random.ts';

const fixtures = path.join(import.meta.dirname, 'fixtures');

/** An Envoy's first requests, an ACK and a NACK: 61 KB each, nearly all of it the node's list of extensions. */
export const captured: readonly Buffer[] = globSync('*.bin.gz', { cwd: fixtures })
  .sort()
  .map((file) => gunzipSync(readFileSync(path.join(fixtures, file))));

/** The same with three extensions, so that a change hits something else. */
export const small: readonly Buffer[] = captured.map((bytes) => {
  const request = DiscoveryRequest.decode(bytes);
  const node = { ...request.node!, extensions: request.node!.extensions.slice(0, 3) };
  return encode({ ...request, node });
});

/** Names that mean something, and that don't. */
export const NAMES = [
  'spiffe://ilinux.io/own',
  'spiffe://ilinux.io/theirs',
  'spiffe://ilinux.io',
  'spiffe://other.example/x',
  'default',
  'ROOTCA',
  'ALL',
  '*',
  '',
  'spiffe://ilinux.io/../theirs',
  '\u0000',
];
const TOO_LONG = 'x'.repeat(2_049);

export function made(random: Random): Buffer {
  const metadata = {
    disable_spiffe_cert_validation: random.pick<unknown>([true, false, 'true', 'no', 7, null, {}, []]),
  };
  return encode({
    versionInfo: random.pick(['', '1', 'deadbeef']),
    responseNonce: random.pick(['', '1', 'abcd.1.1']),
    typeUrl: random.pick(['', SECRET_TYPE, SECRET_TYPE, SECRET_TYPE, random.chance(0.2) ? 'a/b' : '']),
    resourceNames: random.chance(0.05) ? [TOO_LONG] : random.some(NAMES),
    ...(random.chance(0.5) ? { node: { id: 'n', cluster: 'c', ...(random.chance(0.5) ? { metadata } : {}) } } : {}),
    ...(random.chance(0.2) ? { errorDetail: { code: 13, message: 'no' } } : {}),
  });
}

function encode(request: Parameters<typeof DiscoveryRequest.fromPartial>[0]): Buffer {
  return Buffer.from(DiscoveryRequest.encode(DiscoveryRequest.fromPartial(request)).finish());
}

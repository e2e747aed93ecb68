/** Calls of the Workload API to begin from. */

import { JWTSVIDRequest, ValidateJWTSVIDRequest } from '../../src/gen/workload.ts';
import type { Random } from './random.ts';
import { NAMES } from './requests.ts';
import { madeToken } from './tokens.ts';

const SERVICE = '/SpiffeWorkloadAPI';
const AUDIENCES = ['db', '', ' ', 'a\nb', '\u0000', 'x'.repeat(1_025), 'ü'];

/** A method of the Workload API, a message for it, and its metadata: mostly what the specification asks for. */
export function madeCall(random: Random): { path: string; message: Buffer; headers: [string, string][] } {
  const method = random.pick([
    'FetchX509SVID',
    'FetchX509Bundles',
    'FetchJWTBundles',
    'FetchJWTSVID',
    'ValidateJWTSVID',
    'FetchWITSVID',
  ]);
  const headers: [string, string][] = random.chance(0.9) ? [['workload.spiffe.io', 'true']] : [];
  if (random.chance(0.1)) headers.push(['workload.spiffe.io', random.pick(['true', 'TRUE', '', '1'])]);
  return { path: `${SERVICE}/${method}`, message: Buffer.from(messageFor(method, random)), headers };
}

function messageFor(method: string, random: Random): Uint8Array {
  if (method === 'FetchJWTSVID') {
    const audience = random.chance(0.02) ? new Array<string>(10_000).fill('a') : random.some(AUDIENCES);
    return JWTSVIDRequest.encode({ audience, spiffeId: random.pick(NAMES) }).finish();
  }
  if (method === 'ValidateJWTSVID') {
    return ValidateJWTSVIDRequest.encode({ audience: random.pick(AUDIENCES), svid: madeToken(random) }).finish();
  }
  return random.chance(0.9) ? Buffer.alloc(0) : random.bytes(random.below(30));
}

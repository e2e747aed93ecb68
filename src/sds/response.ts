/**
 * Encodes the first fields of a response. Encoded fields can be concatenated, so only version and nonce are written for
 * each response; the secrets and the constant fields are encoded already.
 */

import { FieldWriter, fieldLength } from './field-writer.ts';

/** Field numbers of `version_info` (delta: `system_version_info`) and `nonce`, the same in both variants. */
const VERSION = 1;
const NONCE = 5;
/** Our own versions and nonces are under 128 bytes, so their length takes one byte. */
const LONG = 0x80;

/** Version and nonce are generated here, never by a client: short ASCII texts. */
export function versionAndNonce(version: string, nonce: string): Buffer {
  if (version.length >= LONG || nonce.length >= LONG) throw new RangeError('version or nonce is too long');
  const length = fieldLength(version.length) + fieldLength(nonce.length);
  return new FieldWriter(Buffer.allocUnsafe(length)).ascii(VERSION, version).ascii(NONCE, nonce).bytes;
}

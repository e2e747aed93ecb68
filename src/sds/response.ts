/**
 * What responses of both variants begin with. An encoded message is the same as its fields encoded one by one, so that
 * only version and nonce are written for each: the secrets, and what all responses have in common, are ready.
 */

import { FieldWriter, fieldLength } from './field-writer.ts';

/** The fields of either variant's response: `version_info` (`system_version_info`) and `nonce`. */
const VERSION = 1;
const NONCE = 5;
/** What is of our making is shorter. */
const LONG = 0x80;

/** Room for one after the other, by their length: a change is written for ten thousand streams, and each copies it. */
const rooms: Buffer[] = [];

/**
 * Both are of our making, never a client's words: ASCII, and short.
 * @returns bytes that are the caller's until the next call
 */
export function versionAndNonce(version: string, nonce: string): Buffer {
  if (version.length >= LONG || nonce.length >= LONG) throw new RangeError('a version or nonce is too long');
  const length = fieldLength(version.length) + fieldLength(nonce.length);
  rooms[length] ??= Buffer.alloc(length);
  return new FieldWriter(rooms[length]).ascii(VERSION, version).ascii(NONCE, nonce).bytes;
}

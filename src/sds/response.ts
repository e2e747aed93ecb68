/**
 * What responses of both variants begin with. An encoded message is the same as its fields encoded one by one, so that
 * only version and nonce are written for each: the secrets, and what all responses have in common, are ready.
 */

/** `version_info` (`system_version_info`) and `nonce`: field 1 and field 5 of either variant's response. */
const VERSION_TAG = (1 << 3) | 2;
const NONCE_TAG = (5 << 3) | 2;
/** Lengths below it are one byte. */
const LONG = 0x80;

/** Both are of our making, never a client's words: ASCII, and short. */
export function versionAndNonce(version: string, nonce: string): Buffer {
  if (version.length >= LONG || nonce.length >= LONG) throw new RangeError('a version or nonce is too long');
  const bytes = Buffer.allocUnsafe(4 + version.length + nonce.length);
  bytes[0] = VERSION_TAG;
  bytes[1] = version.length;
  writeAscii(bytes, version, 2);
  const at = 2 + version.length;
  bytes[at] = NONCE_TAG;
  bytes[at + 1] = nonce.length;
  writeAscii(bytes, nonce, at + 2);
  return bytes;
}

/** A few characters: the call of a native method costs more than they do. */
function writeAscii(bytes: Buffer, text: string, at: number): void {
  for (let i = 0; i < text.length; i += 1) bytes[at + i] = text.charCodeAt(i);
}

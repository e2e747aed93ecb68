/**
 * Reads the JWT authorities of a bundle from user input. An unusable key is ignored with a warning, since the X.509
 * authorities do not depend on it.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md section 6.2
 */

import { createPublicKey, type JsonWebKey } from 'node:crypto';
import type { JwtAuthority } from '../spiffe/index.ts';
import type { BundleRules } from './bundle-authorities.ts';
import type { Place } from './place.ts';

const MAX_AUTHORITIES = 100;
/** Maximum number of keys that are read, usable or not: each stops the event loop for a moment. */
const MAX_READ = 2 * MAX_AUTHORITIES;
const MAX_KEY_ID_LENGTH = 1_024;
/** Maximum length of a member in characters: an RSA modulus of 16,384 bits has 2,731, and OpenSSL verifies no longer one. */
const MAX_MEMBER_LENGTH = 4_096;

export class JwtAuthorities {
  readonly list: JwtAuthority[] = [];
  readonly #warn: BundleRules['warn'];
  readonly #keyIds = new Set<string>();
  /** Number of keys that were read, usable or not. */
  #read = 0;

  constructor({ warn }: BundleRules) {
    this.#warn = warn;
  }

  /** Adds a key. @param key a member of the document's `keys` with the use `jwt-svid` */
  add(key: Record<string, unknown>, place: Place): void {
    const { kid } = key;
    if (typeof kid !== 'string' || kid === '' || kid.length > MAX_KEY_ID_LENGTH) {
      this.#ignore(place.at('kid'), 'it is missing or too long', `a kid has 1 to ${MAX_KEY_ID_LENGTH} characters`);
    } else if (this.#keyIds.has(kid)) {
      this.#ignore(place.at('kid'), 'an earlier key has the same one', 'each jwt-svid key has a kid of its own');
    } else if (this.list.length === MAX_AUTHORITIES || this.#read === MAX_READ) {
      this.#ignore(place, 'there are too many', `a bundle has at most ${MAX_AUTHORITIES} jwt-svid keys`);
    } else {
      this.#read += 1;
      const publicKey = readPublicKey(key);
      if (publicKey === undefined) {
        this.#ignore(place, 'it is no EC or RSA key', 'tokens are signed with EC or RSA keys');
        return;
      }
      this.#keyIds.add(kid);
      this.list.push({ keyId: kid, publicKey });
    }
  }

  #ignore({ path }: Place, problem: string, rule: string): void {
    this.#warn({ path, problem, rule: `${rule}; the key is ignored` });
  }
}

/** The public members of the key; undefined if it is not a key of a known type. */
function readPublicKey(key: Record<string, unknown>): JsonWebKey | undefined {
  if (key.kty !== 'EC' && key.kty !== 'RSA') return undefined;
  const { crv, x, y, n, e } = key;
  for (const member of [crv, x, y, n, e]) {
    if (typeof member === 'string' && member.length > MAX_MEMBER_LENGTH) return undefined;
  }
  try {
    return createPublicKey({ key: key as JsonWebKey, format: 'jwk' }).export({ format: 'jwk' });
  } catch {
    return undefined;
  }
}

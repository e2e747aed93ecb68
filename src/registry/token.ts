/** Bearer tokens of the admin API: their text, of which only a hash is stored. */

import { hash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Role } from '../base/index.ts';

/** Immutable; a token is never changed, only revoked. */
export interface Token {
  readonly name: string;
  readonly role: Role;
  /** {@link tokenHash} of its text. */
  readonly hash: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  /** Milliseconds since the epoch; 0: never. */
  readonly expiresAt: number;
}

/** The name under which the token of `admin.token` or `--admin-token-file` acts; no stored token may have it. */
export const FILE_TOKEN_NAME = 'admin.token';

/** Marks the text as a secret of Sidekey's, so that scanners of repositories and logs find it. */
const PREFIX = 'sidekey_';

/** The form of a token's text, for scanners: the prefix, 256 random bits and their CRC-32, in hex. */
export const TOKEN_PATTERN = /^sidekey_[0-9a-f]{64}[0-9a-f]{8}$/;

/** A new token's text: {@link TOKEN_PATTERN}. The checksum lets a scanner tell a token from a lookalike. */
export function newTokenText(): string {
  const secret = randomBytes(32).toString('hex');
  return `${PREFIX}${secret}${crc32(secret).toString(16).padStart(8, '0')}`;
}

/**
 * SHA-256 of the text, in hex. A slow hash protects passwords, which can be guessed; 256 random bits can't be, and each
 * request computes it.
 */
export function tokenHash(text: string): string {
  return hash('sha256', text);
}

export function isExpiredToken({ expiresAt }: Pick<Token, 'expiresAt'>, now: number): boolean {
  return expiresAt !== 0 && expiresAt <= now;
}

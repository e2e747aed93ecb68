/** The files of a backup, their order and their largest sizes. */

import { parseTrustDomain } from '../spiffe/index.ts';
import { MAX_SIZE } from './tar.ts';

/** The first file. */
export const MANIFEST = 'sidekey-backup.json';
/** The last file: the digest of each file before it, in the form that `sha256sum -c` reads. */
export const CHECKSUMS = 'SHA256SUMS';
export const DATABASE = 'sidekey.db';
export const TOKEN = 'admin.token';
export const AUTHORITIES = 'ca';

/** The largest database that a backup can hold, in bytes. */
export const MAX_DATABASE = MAX_SIZE;
/** The largest number of files in the directory of the authorities. */
export const MAX_AUTHORITY_FILES = 1_000;

const FORMAT = 'sidekey-backup-1';
const KIB = 1024;
/** Names of files of the authorities; `ca/` itself also checks that it knows the name. */
const AUTHORITY_FILE = /^ca\/[a-z0-9][a-z0-9._-]{0,89}$/;

/** What a backup says about itself. */
export interface Manifest {
  /** The version of the Sidekey that made it. */
  readonly sidekey: string;
  readonly trustDomain: string;
  /** The instant of the snapshot, in milliseconds since the epoch. */
  readonly createdAt: number;
}

/** The largest size of a file with this name, in bytes; undefined for a name that a backup does not have. */
export function sizeLimitOf(name: string): number | undefined {
  if (name === DATABASE) return MAX_DATABASE;
  if (name === MANIFEST) return 64 * KIB;
  if (name === TOKEN) return 64 * KIB;
  if (name === CHECKSUMS) return 256 * KIB;
  return AUTHORITY_FILE.test(name) ? KIB * KIB : undefined;
}

/** The position of a file: the manifest, the authorities by name, the token, the database, the checksums. */
export function isInOrder(before: string | undefined, next: string): boolean {
  if (before === undefined) return next === MANIFEST;
  const rank = (name: string) => [MANIFEST, AUTHORITIES, TOKEN, DATABASE, CHECKSUMS].indexOf(name.split('/')[0]!);
  return rank(next) > rank(before) || (rank(next) === rank(before) && next > before && next.startsWith('ca/'));
}

export function writeManifest({ sidekey, trustDomain, createdAt }: Manifest): Buffer {
  const members = {
    format: FORMAT,
    sidekey,
    trust_domain: trustDomain,
    created_at: new Date(createdAt).toISOString(),
  };
  return Buffer.from(`${JSON.stringify(members, undefined, 2)}\n`);
}

/** @throws Error that says what is wrong */
export function readManifest(bytes: Buffer): Manifest {
  let members: Record<string, unknown>;
  try {
    members = Object(JSON.parse(bytes.toString('utf8'))) as Record<string, unknown>;
  } catch (cause) {
    throw new Error(`its ${MANIFEST} is not JSON`, { cause });
  }
  const { format, sidekey, trust_domain: trustDomain, created_at: created } = members;
  if (typeof format === 'string' && /^sidekey-backup-\d{1,6}$/.test(format) && format !== FORMAT) {
    throw new Error(
      `it has the format ${format}, made by Sidekey ${short(sidekey)}; this one reads ${FORMAT}: use that version, or a newer one`,
    );
  }
  if (format !== FORMAT) throw new Error(`its ${MANIFEST} names no known format`);
  const createdAt = typeof created === 'string' ? Date.parse(created) : Number.NaN;
  if (!Number.isSafeInteger(createdAt) || new Date(createdAt).toISOString() !== created) {
    throw new Error(`the time in its ${MANIFEST} is invalid`);
  }
  if (typeof sidekey !== 'string' || !/^[\x21-\x7e]{1,100}$/.test(sidekey)) {
    throw new Error(`the version in its ${MANIFEST} is invalid`);
  }
  if (typeof trustDomain !== 'string') throw new Error(`its ${MANIFEST} has no trust domain`);
  try {
    return { sidekey, trustDomain: parseTrustDomain(trustDomain), createdAt };
  } catch (cause) {
    throw new Error(`the trust domain in its ${MANIFEST} is invalid`, { cause });
  }
}

function short(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 40) : 'of an unknown version';
}

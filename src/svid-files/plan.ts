/** What is written where: the files of one directory, and who may read them. */

import { octal, type Problem } from '../base/index.ts';

/** One file at the top of the directory. */
export interface FilePlan {
  readonly name: string;
  /** Permission bits. */
  readonly mode: number;
}

export interface X509Plan {
  readonly certificate: FilePlan;
  readonly key: FilePlan;
  readonly bundle: FilePlan;
  /** The certificate file has the leaf alone; its intermediates are added to the bundle file. */
  readonly intermediatesInBundle: boolean;
  /** The bundle file also has the authorities of federated trust domains. */
  readonly federated: boolean;
  /** Authorities that have ended are left out of the bundle file. */
  readonly omitExpired: boolean;
}

export interface JwtPlan {
  /** At least one. */
  readonly audiences: readonly string[];
  readonly file: FilePlan;
}

export interface JwtBundlePlan {
  readonly file: FilePlan;
  /** `jwks`: the own trust domain's JWK Set. `by-domain`: JSON of trust domain names and base64 of their JWK Sets, as spiffe-helper writes it. */
  readonly form: 'jwks' | 'by-domain';
}

/** Which of several identities is written: of this SPIFFE ID or hint; without either the default one. */
export interface Choice {
  readonly spiffeId?: string | undefined;
  readonly hint?: string | undefined;
}

export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

export interface FilesPlan {
  /** Absolute. */
  readonly directory: string;
  /** By default the files belong to the user and group of this process. */
  readonly owner?: FileOwner | undefined;
  /** Other users may have write access to the directory: this is logged instead of refused. */
  readonly allowShared: boolean;
  readonly choice: Choice;
  readonly x509?: X509Plan | undefined;
  readonly jwts: readonly JwtPlan[];
  readonly jwtBundle?: JwtBundlePlan | undefined;
}

/** Every file of a plan, with the place in the settings that names it. */
export function filesOf({ x509, jwts, jwtBundle }: Omit<FilesPlan, 'directory'>): readonly FilePlan[] {
  return [
    ...(x509 === undefined ? [] : [x509.certificate, x509.key, x509.bundle]),
    ...jwts.map(({ file }) => file),
    ...(jwtBundle === undefined ? [] : [jwtBundle.file]),
  ];
}

/** NAME_MAX of Linux, less what a draft adds. */
const MAX_NAME_BYTES = 200;

export const NAME_RULE = `give a file name without a slash that does not begin with a dot, at most ${MAX_NAME_BYTES} bytes`;
export const MODE_RULE =
  'give an octal mode of read, write and execute bits without write access for others, such as 0640';

/** Undefined for a good name. */
export function nameProblem(path: string, name: string): Problem | undefined {
  const shown = JSON.stringify(name);
  if (name === '') return { path, problem: 'it is empty', rule: NAME_RULE };
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return { path, problem: 'it is too long', rule: NAME_RULE };
  if (name.includes('/') || name.includes('\0')) return { path, problem: `${shown} is not a name`, rule: NAME_RULE };
  if (name.startsWith('.')) return { path, problem: `${shown} begins with a dot`, rule: NAME_RULE };
  return undefined;
}

/** Undefined for a good mode. */
export function modeProblem(path: string, mode: number): Problem | undefined {
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o777) {
    return { path, problem: `${octal(mode)} has bits besides read, write and execute`, rule: MODE_RULE };
  }
  if ((mode & 0o002) !== 0) return { path, problem: `${octal(mode)} lets everybody write`, rule: MODE_RULE };
  return undefined;
}

/** The first name that two files have. */
export function repeatedName(files: readonly FilePlan[]): string | undefined {
  const names = files.map(({ name }) => name);
  return names.find((name, at) => names.indexOf(name) !== at);
}

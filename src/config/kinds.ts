/** Parses the text of a setting; each kind has one rule for its texts. */

import { accessSync, constants, type Stats, statSync } from 'node:fs';
import { isIPv4, isIPv6 } from 'node:net';
import path from 'node:path';
import {
  DURATION_RULE,
  formatDuration,
  groupId,
  isLoopback,
  parseDuration,
  readSocketPath,
  SidekeyError,
} from '../base/index.ts';
import { parseName } from '../ca/index.ts';
import {
  EPOCH_TRUST_DOMAIN,
  parseSpiffeId,
  parseTrustDomain,
  pathOf,
  type SpiffeId,
  SpiffeIdError,
  type TrustDomain,
} from '../spiffe/index.ts';
import type { HostPort, Network } from './serve-config.ts';

export interface SettingKind<T> {
  /** The number of texts: one, any number, or (as a flag) one or none. */
  readonly takes: 'one' | 'many' | 'none';
  /** The placeholder in `--help`. */
  readonly placeholder: string;
  /**
   * Reads the texts (exactly one unless it takes many); a relative path starts at `folder`.
   * @throws SidekeyError with problems, their paths empty
   */
  read(texts: readonly string[], folder: string): T;
}

/** The error for a text that breaks a rule; the loader adds its place. */
export function settingError(problem: string, rule: string): SidekeyError {
  return SidekeyError.badInput([{ path: '', problem, rule }], 'ERR_CONFIG');
}

export function quote(text: string): string {
  return JSON.stringify(text);
}

function one<T>(placeholder: string, read: (text: string, folder: string) => T): SettingKind<T> {
  return { takes: 'one', placeholder, read: (texts, folder) => read(texts[0]!, folder) };
}

export const directory = pathKind('DIR');
export const file = pathKind('FILE');

function pathKind(placeholder: string): SettingKind<string> {
  const rule = 'a path is absolute or starts at the working directory, in a YAML file at the folder of that file';
  return one(placeholder, (text, folder) => {
    if (text === '') throw settingError('it is empty', rule);
    if (text.startsWith('~')) throw settingError(`${quote(text)} begins with ~, which only a shell replaces`, rule);
    return path.resolve(folder, text);
  });
}

const socketFile = pathKind('PATH');

/** A Unix socket, as a path or as the URL that the tools of SPIFFE, gRPC and Docker have: `unix:///run/docker.sock`. */
export const socket: SettingKind<string> = {
  ...socketFile,
  read(texts, folder) {
    const place = texts[0] === '' ? '' : readSocketPath(texts[0]!);
    if (typeof place === 'string') return socketFile.read([place], folder);
    throw settingError(place.problem, place.rule);
  },
};

/** An existing file that this user can read. */
export const readableFile: SettingKind<string> = readable(file, 'it is a file that this user can read', (stats) =>
  stats.isDirectory() ? 'is a directory' : undefined,
);

/** An existing file or folder that this user can read. */
export const readableFileOrFolder: SettingKind<string> = readable(
  pathKind('FILE|DIR'),
  'it is a file or folder that this user can read',
  () => undefined,
);

function readable(
  of: SettingKind<string>,
  rule: string,
  faultOf: (stats: Stats) => string | undefined,
): SettingKind<string> {
  return {
    ...of,
    read(texts, folder) {
      const place = of.read(texts, folder);
      try {
        accessSync(place, constants.R_OK);
      } catch (thrown) {
        throw settingError(`${quote(place)} cannot be read: ${(thrown as Error).message}`, rule);
      }
      const fault = faultOf(statSync(place));
      if (fault !== undefined) throw settingError(`${quote(place)} ${fault}`, rule);
      return place;
    },
  };
}

/** On or off: a flag without a value, or `true` or `false`. */
export const toggle: SettingKind<boolean> = {
  takes: 'none',
  placeholder: 'true|false',
  read(texts) {
    const word = texts[0]!.toLowerCase();
    if (word === 'true' || word === '1') return true;
    if (word === 'false' || word === '0') return false;
    throw settingError(`${quote(texts[0]!)} is neither true nor false`, 'give true or false (or 1 or 0)');
  },
};

export function choice<const T extends string>(...words: readonly T[]): SettingKind<T> {
  return one(words.join('|'), (text) => {
    const word = words.find((candidate) => candidate === text);
    if (word === undefined)
      throw settingError(`${quote(text)} is not a known value`, `give one of ${words.join(', ')}`);
    return word;
  });
}

/** A duration in seconds, from `least` to `most`. */
export function duration(least: string, most: string): SettingKind<number> {
  const [min, max] = [parseDuration(least)!, parseDuration(most)!];
  return one('DURATION', (text) => {
    const seconds = parseDuration(text);
    if (seconds === undefined) throw settingError(`${quote(text)} is not a duration`, DURATION_RULE);
    const rule = `give a duration from ${formatDuration(min)} to ${formatDuration(max)}`;
    if (seconds < min) throw settingError(`${quote(text)} is too short`, rule);
    if (seconds > max) throw settingError(`${quote(text)} is too long`, rule);
    return seconds;
  });
}

/** A count from `least` to `most`. */
export function count(least: number, most: number): SettingKind<number> {
  return one('N', (text) => {
    const rule = `it is a whole number from ${least} to ${most}`;
    if (!/^\d{1,15}$/.test(text)) throw settingError(`${quote(text)} is not a whole number`, rule);
    const value = Number(text);
    if (value < least) throw settingError(`${quote(text)} is too small`, rule);
    if (value > most) throw settingError(`${quote(text)} is too large`, rule);
    return value;
  });
}

const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** A size in bytes, from `least` to `most`. */
export function size(least: string, most: string): SettingKind<number> {
  const [min, max] = [parseSize(least)!, parseSize(most)!];
  return one('SIZE', (text) => {
    const bytes = parseSize(text);
    const rule = `give a size from ${least} to ${most}: a whole number of bytes, or of KiB, MiB or GiB`;
    if (bytes === undefined) throw settingError(`${quote(text)} is not a size`, rule);
    if (bytes < min) throw settingError(`${quote(text)} is too small`, rule);
    if (bytes > max) throw settingError(`${quote(text)} is too large`, rule);
    return bytes;
  });
}

function parseSize(text: string): number | undefined {
  const match = /^(\d{1,15})([KMG]iB)?$/.exec(text);
  return match === null ? undefined : Number(match[1]) * SIZE_UNITS[match[2] ?? '']!;
}

/** Permission bits in octal. */
export const mode: SettingKind<number> = one('MODE', (text) => {
  const rule = 'a mode is three octal digits, such as 0660, and its first digit lets the owner read and write (6 or 7)';
  const digits = /^0?o?([0-7]{3})$/.exec(text)?.[1];
  if (digits === undefined) throw settingError(`${quote(text)} is not an octal mode`, rule);
  const bits = Number.parseInt(digits, 8);
  if ((bits & 0o600) !== 0o600) throw settingError(`${quote(text)} does not let the owner read and write`, rule);
  return bits;
});

export const group: SettingKind<string> = one('NAME', (text) => {
  if (groupId(text) !== undefined) return text;
  throw settingError(`this host has no group ${quote(text)}`, 'give the name of a group in /etc/group or its number');
});

const HOST_NAME = /^(?=.*[a-z])[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/i;

export const hostPort: SettingKind<HostPort> = one('HOST:PORT', (text) => {
  const rule = 'give a name or an address (IPv6 in brackets), a colon and a port up to 65535, such as 127.0.0.1:8080';
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  if (match === null) throw settingError(`${quote(text)} is not HOST:PORT`, rule);
  const [, bracketed, plain, port] = match;
  const known = bracketed === undefined ? isIPv4(plain!) || HOST_NAME.test(plain!) : isIPv6(bracketed);
  if (!known) throw settingError(`${quote(text)} has no host before the port`, rule);
  if (Number(port) > 65_535) throw settingError(`${quote(text)} has a port above 65535`, rule);
  return { host: bracketed ?? plain!, port: Number(port) };
});

/** Several, with commas between them or one by one; at least one. */
export const hostPorts: SettingKind<readonly HostPort[]> = {
  takes: 'many',
  placeholder: 'HOST:PORT,…',
  read: (texts, folder) => {
    const all = texts.flatMap((text) => text.split(',')).map((text) => hostPort.read([text.trim()], folder));
    const zero = all.find(({ port }) => port === 0);
    if (zero !== undefined) throw settingError(`${quote(zero.host)} has the port 0`, 'give the port of the server');
    return all;
  },
};

/** Host names as in a Host header. */
export const hosts: SettingKind<readonly string[]> = {
  takes: 'many',
  placeholder: 'NAME',
  read: (texts) => texts.map(readHost),
};

function readHost(text: string): string {
  if (isIPv4(text) || HOST_NAME.test(text)) return text;
  if (text.startsWith('[') && text.endsWith(']') && isIPv6(text.slice(1, -1))) return text;
  throw settingError(
    `${quote(text)} is not the name of a host`,
    'give a name or an address (IPv6 in brackets), without a port',
  );
}

/** Networks in the form of RFC 4632: 10.1.0.0/16 or fd00::/8. */
export const networks: SettingKind<readonly Network[]> = {
  takes: 'many',
  placeholder: 'NETWORK',
  read: (texts) => texts.map(readNetwork),
};

function readNetwork(text: string): Network {
  const [, address = '', digits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(text) ?? [];
  const bits = isIPv4(address) ? 32 : isIPv6(address) && !address.includes('%') ? 128 : 0;
  if (bits > 0 && Number(digits) <= bits) return { address, prefix: Number(digits) };
  throw settingError(
    `${quote(text)} is not a network`,
    'give an address and the length of its prefix, such as 10.1.0.0/16, fd00::/8, or 10.1.2.3/32 for one address',
  );
}

export const trustDomain: SettingKind<TrustDomain> = one('NAME', (text) => {
  try {
    const domain = parseTrustDomain(text);
    if (domain !== EPOCH_TRUST_DOMAIN) return domain;
  } catch (thrown) {
    if (thrown instanceof SpiffeIdError) throw settingError(`${quote(text)}: ${thrown.problem}`, thrown.rule);
    throw thrown;
  }
  throw settingError(
    `${quote(text)} is reserved for revocation lists (docs/revocation.md)`,
    'give another trust domain',
  );
});

/** The SPIFFE ID of a server of the trust domain: of a path that no entry can have, so that no workload stands in for it. */
export const endpointId: SettingKind<SpiffeId> = one('SPIFFE_ID', (text) => {
  let id: SpiffeId;
  try {
    id = parseSpiffeId(text);
  } catch (thrown) {
    if (thrown instanceof SpiffeIdError) throw settingError(`${quote(text)}: ${thrown.problem}`, thrown.rule);
    throw thrown;
  }
  if (/^\/(?:sidekey|spire)\//.test(pathOf(id))) return id;
  throw settingError(
    `the path of ${quote(text)} is one that entries can have`,
    'it begins with /sidekey/ or /spire/: a workload with the same SPIFFE ID could stand in for the endpoint',
  );
});

/** A program and its arguments, as they are: no shell reads them. */
export const program: SettingKind<readonly string[]> = {
  takes: 'many',
  placeholder: 'WORD',
  read(texts) {
    const [file] = texts;
    if (file !== undefined && !path.isAbsolute(file)) {
      throw settingError(
        `${quote(file)} is not an absolute path`,
        'the first word is the absolute path of the program',
      );
    }
    const bad = texts.find((text) => text.includes('\0'));
    if (bad !== undefined) throw settingError(`${quote(bad)} has a NUL character`, 'arguments have no NUL characters');
    return [...texts];
  },
};

/** The address of a Vault or OpenBao. http would show the token, so it is allowed to this host only. */
export const vaultUrl: SettingKind<string> = one('URL', (text) => {
  const rule = 'give https://HOST:PORT, or http:// and a loopback address';
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:\/\//i.test(text)) throw settingError(`${quote(text)} is not an http URL`, rule);
  // A secret may be in it, so it is not shown.
  if (url.username !== '' || url.password !== '') throw settingError('it has a user or a password', rule);
  if (url.search !== '' || url.hash !== '') throw settingError(`${quote(text)} has a query or a fragment`, rule);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (url.protocol === 'http:' && host !== 'localhost' && !isLoopback(host)) {
    throw settingError(`${quote(text)} has no encryption, and ${host} is not a loopback address`, rule);
  }
  return url.href.replace(/\/$/, '');
});

/** An https URL; what it says may be secret, so messages do not show it. */
export const bundleUrl: SettingKind<string> = one('URL', (text) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'https:' && url.username === '' && url.password === '') return url.href;
  throw settingError('it is not an https URL', 'give https://HOST/PATH, without user and password');
});

const MAX_TOKEN = 256;

/** A join token, which messages do not show. */
export const joinToken: SettingKind<string> = one('TOKEN', (text) => {
  if (new RegExp(`^[\\x21-\\x7e]{1,${MAX_TOKEN}}$`).test(text)) return text;
  throw settingError('it is not a join token', 'give the token as sidekey agent token prints it');
});

/**
 * The issuer of tokens. It is kept as it is written, since consumers compare it byte by byte with the token's `iss`.
 * @see https://openid.net/specs/openid-connect-discovery-1_0.html section 3, issuer
 */
export const issuer: SettingKind<string> = one('URL', (text) => {
  const rule = 'give an https:// URL, or http:// for tests, without user, query and fragment';
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = /^https?:\/\/[\x21-\x7e]{1,2000}$/.test(text);
  if (url === undefined || !isPlain) throw settingError(`${quote(text)} is not an http URL`, rule);
  if (url.username !== '' || url.password !== '') throw settingError('it has a user or a password', rule);
  if (/[?#]/.test(text)) throw settingError(`${quote(text)} has a query or a fragment`, rule);
  return text;
});

/** A path in Vault, such as that of a mount. */
export const vaultPath: SettingKind<string> = one('PATH', (text) => {
  const trimmed = text.replace(/^\/|\/$/g, '');
  if (/^[\w.-]+(\/[\w.-]+)*$/.test(trimmed) && !/(^|\/)\.\.?(\/|$)/.test(trimmed)) return trimmed;
  throw settingError(
    `${quote(text)} is not a path of Vault`,
    'it consists of names of letters, digits and . _ -, separated by single slashes',
  );
});

/** A name that SDS clients ask for. */
export const sdsName: SettingKind<string> = one('NAME', (text) => {
  const rule = 'an SDS name is 1 to 253 visible ASCII characters, and no SPIFFE ID';
  if (!/^[\x21-\x7e]{1,253}$/.test(text)) throw settingError(`${quote(text)} has another form`, rule);
  if (/^spiffe:/i.test(text)) throw settingError(`${quote(text)} begins like a SPIFFE ID`, rule);
  return text;
});

export const subject: SettingKind<string> = one('NAME', (text) => {
  parseName(text, '');
  return text;
});

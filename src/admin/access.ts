/**
 * Access control of the admin API. The Unix socket accepts its owner's uid and root, as the kernel reports them, but no
 * process in a container, where any user may be root. TCP requires a known Host header, against DNS rebinding, and a bearer
 * token, because a connection over loopback does not identify its user.
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { SidekeyError } from '../base/index.ts';

/** How a request came in. */
export type AdminCaller =
  | {
      readonly via: 'unix';
      readonly uid: number;
      readonly pid: number;
      /** Why the caller counts as a process in a container; undefined if it does not. */
      readonly contained: string | undefined;
    }
  | {
      readonly via: 'tcp';
      /** The address of the client, without its port. */
      readonly address: string;
    };

export interface AccessRules {
  /** The uid that owns the Unix socket; root may always. */
  readonly ownerUid: number;
  /** The token that TCP callers need; undefined: TCP callers are refused. */
  readonly token: string | undefined;
  /** Host names in addition to the loopback names, without ports. */
  readonly hosts: readonly string[];
}

/** The parts of a request that access control checks. */
export interface AccessRequest {
  readonly host: string | undefined;
  readonly authorization: string | undefined;
  /** Whether the path needs no token. */
  readonly open: boolean;
}

/** The reason for refusing this caller; undefined if it is accepted. */
export function accessRefusal(
  caller: AdminCaller,
  request: AccessRequest,
  rules: AccessRules,
): SidekeyError | undefined {
  if (caller.via === 'unix') {
    if (caller.contained !== undefined) {
      return new SidekeyError(
        'ERR_FORBIDDEN',
        `this process is in a container (${caller.contained}), and root there is not root of this host: run the command on the host or in the server's own container, or start sidekey serve with --allow-contained`,
      );
    }
    if (caller.uid === 0 || caller.uid === rules.ownerUid) return undefined;
    return new SidekeyError('ERR_FORBIDDEN', `uid ${caller.uid} is neither the owner of this socket nor root`);
  }
  if (!isKnownHost(request.host, rules.hosts)) {
    return new SidekeyError(
      'ERR_FORBIDDEN_HOST',
      `the Host ${JSON.stringify(request.host ?? '')} is neither a loopback name nor an --admin-host`,
    );
  }
  if (request.open || isToken(request.authorization, rules.token)) return undefined;
  return new SidekeyError('ERR_UNAUTHORIZED', whyNoToken(request.authorization));
}

const WHERE =
  "the token is in the file of the server's --admin-token-file, by default admin.token in its data directory; the command line reads it with --token-file";

function whyNoToken(authorization: string | undefined): string {
  const header = 'Authorization: Bearer <token>';
  if (!authorization) return `the request has no token: send the header "${header}"; ${WHERE}`;
  if (!BEARER.test(authorization)) {
    return `the request's Authorization header has another form than "${header}"; ${WHERE}`;
  }
  return `the token is not the one of this server; ${WHERE}`;
}

/** `localhost`, `127.0.0.0/8`, `[::1]` and the listed names, in any case, on any port. */
function isKnownHost(header: string | undefined, hosts: readonly string[]): boolean {
  const match = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::\d{1,5})?$/.exec((header ?? '').toLowerCase());
  if (match === null) return false;
  const name = match[1]!;
  if (name === 'localhost' || name === '[::1]' || (isIPv4(name) && name.startsWith('127.'))) return true;
  return hosts.some((host) => host.toLowerCase() === name);
}

const BEARER = /^bearer +(\S+) *$/i;

/** Compares digests, so that neither time nor length reveals anything about the token. */
function isToken(authorization: string | undefined, token: string | undefined): boolean {
  if (token === undefined) return false;
  const given = BEARER.exec(authorization ?? '')?.[1];
  return given !== undefined && timingSafeEqual(sha256(given), sha256(token));
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
